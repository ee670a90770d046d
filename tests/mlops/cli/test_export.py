"""mlops:export: which deployment is meant, what is written, and every way it says no."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops.installation import Installation
from tests.mlops.serving.models import package, save_onnx, tag_of

RUN, DATA = "r" * 32, {"data/raw": "0123abcd.dir"}
MOMENT = "2026-01-02T03:04:05+00:00"


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of Bentos, and the tag of the one in it."""
    home = tmp_path_factory.mktemp("bentos")
    model = save_onnx(tmp_path_factory.mktemp("model") / "onnx")
    return home, tag_of(package(model, home, run_id=RUN, data=DATA))


@pytest.fixture
def bento(packaged: tuple[Path, str], installation: Installation) -> str:
    """The tag of a Bento that the installation has."""
    installation.bentos_dir.rmdir()
    installation.bentos_dir.symlink_to(packaged[0])
    return packaged[1]


def row(bento: str, **given: Any) -> dict[str, Any]:
    return {
        "id": 9, "project": "drilling", "model": "depth", "version": 3, "state": "running", "replicas": 1,
        "side": "champion", "weight": 0, "url": "", "created_at": MOMENT, "updated_at": MOMENT,
        "bento": bento, "error": "", **given,
    }  # fmt: skip


def serve(gateway: Any, *rows: dict[str, Any]) -> None:
    gateway.answers["GET /api/deployments"] = 200, list(rows)


@pytest.mark.parametrize(
    ("target", "manifest"), [("kuberay", "rayservice.yaml"), ("kserve", "inferenceservice.yaml")]
)
def test_the_champion_is_written_by_default(
    invoke, gateway, register, bento: str, tmp_path: Path, monkeypatch, target: str, manifest: str
) -> None:
    (register("drilling") / "project.toml").write_text(
        '[project]\nname = "drilling"\n[quotas]\nreplica_cpus = 0.75\n'
    )
    serve(gateway, row("gone:1", id=10, version=4, side="canary"), row(bento), row("gone:1", model="width"))
    monkeypatch.chdir(tmp_path)
    result = invoke("mlops:export", target, "depth", "--project", "drilling")
    assert result.code == 0, result.err
    folder = tmp_path / f"drilling-depth-3-{target}"
    assert yaml.safe_load((folder / manifest).read_text())["metadata"]["name"] == "drilling-depth"
    assert "0.75" in (folder / manifest).read_text() or "750m" in (folder / manifest).read_text()
    assert f"Written: {folder}" in result.out
    assert f"docker build --tag drilling-depth:3 {folder}" in result.out
    assert f"kubectl apply --filename {folder / manifest}" in result.out
    again = invoke("mlops:export", target, "depth", "--project", "drilling")
    assert again.code == 3
    assert "has files in it" in again.err


def test_a_canary_by_its_version_with_an_image_of_ones_own(
    invoke, gateway, register, bento: str, tmp_path: Path
) -> None:
    register("drilling")
    serve(gateway, row("gone:1"), row(bento, id=10, version=4, side="canary", weight=25))
    result = invoke(
        "mlops:export", "kserve", "depth", "-p", "drilling", "--version", "4", "--image", "host.test/depth:4",
        "--memory", "3Gi", "--output", str(tmp_path / "out"), "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert (told["kind"], told["version"], told["image"]) == ("kserve", 4, "host.test/depth:4")
    assert told["folder"] == str(tmp_path / "out")
    assert told["manifest"] in told["files"]
    predictor = yaml.safe_load((tmp_path / "out" / told["manifest"]).read_text())["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 25
    assert predictor["containers"][0]["image"] == "host.test/depth:4"
    assert predictor["containers"][0]["resources"]["limits"] == {"memory": "3Gi"}


@pytest.mark.parametrize(
    ("rows", "options", "code", "told"),
    [
        ([], [], 4, "model 'depth' of project 'drilling' is not deployed"),
        ([row("", state="packaging")], [], 4, "mlops:deploy depth <version> --project drilling"),
        ([row("")], ["--version", "7"], 4, "does not serve version 7; it serves 3 (champion)"),
        ([row("", side="canary")], [], 4, "does not serve a champion; it serves 3 (canary)"),
        ([row("drilling.depth:3-99")], [], 3, "holds no Bento that this release opens"),
        ([row("")], [], 3, "is not a Bento's tag"),
    ],
)
def test_what_cannot_be_written_is_named(
    invoke, gateway, register, bento: str, tmp_path: Path, monkeypatch, rows, options, code: int, told: str
) -> None:
    register("drilling")
    serve(gateway, *rows)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = invoke("mlops:export", "kuberay", "depth", "--project", "drilling", *options)
    assert (result.code, told in result.err) == (code, True), result.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("option", "value"), [("--image", "two words"), ("--memory", "much")])
def test_wrong_options_are_named(invoke, gateway, register, bento: str, option: str, value: str) -> None:
    register("drilling")
    serve(gateway, row(bento))
    result = invoke("mlops:export", "kuberay", "depth", "--project", "drilling", option, value)
    assert result.code == 3
    assert value in result.err


def test_run_and_data_are_told_as_the_bento_has_them(
    invoke, gateway, register, bento: str, tmp_path: Path
) -> None:
    register("drilling")
    serve(gateway, row(bento))
    result = invoke("mlops:export", "kserve", "depth", "--project", "drilling", "-o", str(tmp_path / "out"))
    assert result.code == 0, result.err
    told = yaml.safe_load((tmp_path / "out" / "inferenceservice.yaml").read_text())["metadata"]["annotations"]
    assert told["efficientai-toolkit/run"] == RUN
    assert json.loads(told["efficientai-toolkit/data"]) == DATA


def test_another_target_is_wrong_usage(invoke) -> None:
    result = invoke("mlops:export", "nomad", "depth")
    assert result.code == 2
    assert "kuberay" in result.err


def test_a_project_that_is_not_registered_is_named(invoke, gateway) -> None:
    result = invoke("mlops:export", "kserve", "depth", "--project", "drilling")
    assert result.code == 4
    assert "drilling" in result.err
