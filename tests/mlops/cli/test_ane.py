"""mlops:ane-report over files, and over models of a real MLflow server."""

from __future__ import annotations

import io
import json
import tempfile
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from mlops.entities import ModelVersion, RunStatus
from mlops.installation import Installation
from mlops.serving.runtimes.mlmodel import read
from mlops.workspace import Workspace
from tests.mlops.cli.conftest import Invoke
from tests.mlops.cli.test_sync import record
from tests.mlops.hardware.ane import nets
from tests.servers import Account

X = np.linspace(0, 1, 80, dtype=np.float32).reshape(20, 4)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """The three layers, with an operation that leaves the engine."""
    path = tmp_path / "net.onnx"
    onnx.save(nets.three_layers(), path)
    return path


@pytest.fixture
def leaving(tmp_path: Path) -> Path:
    path = tmp_path / "leaving.onnx"
    onnx.save(nets.single("Add", [2, 3], [2, 3], dtype=TensorProto.INT64), path)
    return path


# -- files --------------------------------------------------------------------------------------


def test_a_file_is_reported_and_each_line_says_heuristic(invoke: Invoke, net: Path) -> None:
    result = invoke("mlops:ane-report", str(net))
    assert result.code == 0
    assert "100.0% of 75,776 multiply-adds; 4 of 4 operations" in result.out
    assert "conv     1      1          55,296         72.9%  heuristic" in result.out
    assert "41,428" in result.out
    lines = [line for line in result.out.splitlines() if line and not line.isupper() and "BASIS" not in line]
    assert [line for line in lines if "heuristic" not in line] == []


def test_what_leaves_is_told_with_what_to_do(invoke: Invoke, leaving: Path) -> None:
    out = invoke("mlops:ane-report", str(leaving)).out
    assert "computes in int64" in out
    assert "the-node" in out
    assert "→ compute in float32" in out


def test_json_is_the_whole_report(invoke: Invoke, leaving: Path) -> None:
    report = invoke("mlops:ane-report", str(leaving), "--json").json
    assert (report["model"], report["format"], report["basis"]) == ("leaving.onnx", "onnx", "heuristic")
    assert {each["basis"] for each in report["assumptions"]} == {"heuristic"}
    assert all(each["text"] for each in report["assumptions"])
    assert [row["type"] for row in report["rows"]] == ["add"]
    assert report["breaks"][0]["operation"] == "the-node"
    bases = {each["basis"] for each in (*report["rows"], *report["breaks"], report["sizes"])}
    assert bases == {"heuristic"}


def test_a_chart_is_drawn_on_demand_alone(invoke: Invoke, net: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    assert invoke("mlops:ane-report", str(net)).code == 0
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "home"}
    assert invoke("mlops:ane-report", str(net), "--chart", str(tmp_path / "chart.png")).code == 0
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("gone.onnx", 3, "name:version"),
        ("net.pt2", 3, "--allow-pickle"),
        ("./gone", 3, "no such file"),
        ("net.pt", 3, "torch.export.save"),
        ("a:b:c", 3, "name@alias"),
        ("no such name", 3, "safe name"),
    ],
)
def test_what_cannot_be_reported_is_an_error_with_a_remedy(
    name: str, code: int, problem: str, invoke: Invoke, register: Callable[[str], Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(register("alpha"))
    Path("net.pt").write_bytes(b"pickle")
    Path("net.pt2").write_bytes(b"pickles")
    result = invoke("mlops:ane-report", name)
    assert (result.code, result.out) == (code, "")
    assert problem in result.err


def test_a_charts_name_is_checked_before_anything(invoke: Invoke) -> None:
    result = invoke("mlops:ane-report", "gone.onnx", "--chart", "chart.doc")
    assert (result.code, "chart.doc" in result.err) == (3, True)


def test_an_unknown_model_is_not_found(
    invoke: Invoke, register: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name, which has no model's ending, is not meant by it."""
    register("alpha")
    monkeypatch.chdir(tmp_path)
    Path("unknown").write_bytes(b"x")
    result = invoke("mlops:ane-report", "unknown", "--project", "alpha", "--json")
    assert (result.code, result.json["error"]["type"]) == (4, "ModelNotFound")
    assert "./unknown" in result.json["error"]["remedy"]


class Harm:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def harmful(folder: Path, mark: Path) -> Path:
    """A real `.pt2` whose example inputs make `mark` when they are read."""
    import torch

    module = torch.nn.Linear(4, 5).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 4),)), folder / "good.pt2")
    pickled = io.BytesIO()
    torch.save(Harm(mark), pickled)
    with zipfile.ZipFile(folder / "good.pt2") as good, zipfile.ZipFile(folder / "harm.pt2", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, pickled.getvalue() if "sample_inputs" in name else good.read(name))
    return folder / "harm.pt2"


def test_a_file_that_runs_code_is_not_read_unless_it_is_said(invoke: Invoke, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = harmful(tmp_path, mark)
    refused = invoke("mlops:ane-report", str(path))
    assert (refused.code, refused.out, mark.exists()) == (3, "", False)
    assert "may run code" in refused.err
    assert "--allow-pickle" in refused.err
    invoke("mlops:ane-report", str(path), "--allow-pickle")
    assert mark.exists()  # the file is what it is said to be


def test_the_unknown_is_told_beside_the_share(invoke: Invoke, tmp_path: Path) -> None:
    own = [helper.make_node(f"Own{place}", ["y"], [f"y{place}"], domain="own") for place in range(3)]
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    made = nets.model([product, *own], {"x": [1, 4]}, ["y2"], {"w": nets.weights(4, 4)})
    onnx.save(made, tmp_path / "own.onnx")
    out = invoke("mlops:ane-report", str(tmp_path / "own.onnx")).out
    assert "100.0% of 16 multiply-adds counted; unknown those of 3 operations; 1 of 4 operations" in out


def test_names_of_a_model_cannot_move_the_terminal(invoke: Invoke, tmp_path: Path) -> None:
    node = helper.make_node("Own\x1b[31m", ["x"], ["y"], name="first\nsecond\x1b[2J", domain="own")
    onnx.save(nets.model([node], {"x": [4]}, ["y"]), tmp_path / "net.onnx")
    out = invoke("mlops:ane-report", str(tmp_path / "net.onnx")).out
    assert "\x1b" not in out
    assert r"first\nsecond\x1b[2J" in out


@pytest.mark.parametrize(("chart", "problem"), [("gone/chart.png", "no folder"), ("is.png", "is a folder")])
def test_where_no_chart_can_be_is_told_before_anything(
    chart: str, problem: str, invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "is.png").mkdir()
    result = invoke("mlops:ane-report", "gone.onnx", "--chart", str(tmp_path / chart))
    assert (result.code, problem in result.err) == (3, True)


def test_a_chart_that_fails_leaves_the_report(invoke: Invoke, net: Path, tmp_path: Path) -> None:
    name = tmp_path / ("c" * 260 + ".png")
    result = invoke("mlops:ane-report", str(net), "--chart", str(name), "--json")
    assert (result.code, result.json["multiply_adds"]) == (3, nets.MULTIPLY_ADDS)
    assert "cannot be written" in result.err


# -- registered models --------------------------------------------------------------------------


@pytest.fixture
def project(
    installation: Installation,
    mlflow_accounts: tuple[Account, Account],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Workspace:
    """A registered project with an account on the server, in whose folder commands are run."""
    monkeypatch.setenv("MLOPS_MLFLOW_URI", mlflow_accounts[0].url)
    workspace = record(mlflow_accounts[0], tmp_path)
    monkeypatch.chdir(workspace.info.root)
    return workspace


Registered = Callable[..., ModelVersion]


@pytest.fixture
def registered(project: Workspace) -> Registered:
    """Registers a model of an ended run."""

    def register(model: Any, name: str, flavor: str = "onnx", example: Any = None) -> ModelVersion:
        run = project.tracking.start_run(None, {}, None)
        version = project.registry.log_model(run.id, model, name, flavor=flavor, input_example=example)
        project.tracking.end_run(run.id, RunStatus.FINISHED)
        assert version is not None
        return version

    return register


@pytest.fixture
def name() -> str:
    return f"net-{uuid.uuid4().hex[:8]}"


def project_session(project: Workspace) -> Any:
    """The server as the project's account sees it."""
    from mlops.binding.context import Binding
    from mlops.binding.session import MLflowSession

    info, secrets = project.info, project.installation
    password = secrets.secret(secrets.project_secret_name(info.project_name, "mlflow"))
    binding = Binding(secrets.mlflow_url, info.namespace, info.namespace, password, info.mlflow_experiment_id)
    return MLflowSession(binding)


def kept(project: Workspace, version: ModelVersion, file: str) -> bytes:
    """What lies beside the version."""
    from mlflow.artifacts import download_artifacts

    below = f"ane-report/{version.name}-v{version.version}/{file}"
    with project_session(project).bound() as client:
        uri = f"{client.get_run(version.run_id).info.artifact_uri}/{below}"
        url = project.installation.mlflow_url
        return Path(download_artifacts(artifact_uri=uri, tracking_uri=url)).read_bytes()


def test_a_registered_model_keeps_report_and_chart(
    invoke: Invoke, project: Workspace, registered: Registered, name: str
) -> None:
    version = registered(nets.three_layers(), name)
    result = invoke("mlops:ane-report", name)
    assert result.code == 0, result.err
    assert f"{name}:1 (onnx)" in result.out
    assert result.err.count("heuristic: kept as ") == 2
    assert f"ane-report/{name}-v1/report.json" in result.err
    assert kept(project, version, "chart.png").startswith(b"\x89PNG")
    report = json.loads(kept(project, version, "report.json"))
    assert (report["model"], report["multiply_adds"]) == (f"{name}:1", nets.MULTIPLY_ADDS)


def test_a_version_an_alias_or_the_newest_is_meant(
    invoke: Invoke, project: Workspace, registered: Registered, name: str
) -> None:
    registered(nets.three_layers(), name)
    registered(nets.single("Relu", [2, 3]), name)
    project.registry.set_alias(name, "champion", 1)

    def model(reference: str) -> str:
        result = invoke("mlops:ane-report", reference, "--no-save", "--json")
        assert result.code == 0, result.err
        assert "kept" not in result.err
        return str(result.json["model"])

    assert model(name) == model(f"{name}:2") == f"{name}:2"
    assert model(f"{name}:1") == model(f"{name}@champion") == f"{name}:1"
    unknown = invoke("mlops:ane-report", f"{name}@challenger")
    assert unknown.code == 4
    assert "champion" in unknown.err
    assert invoke("mlops:ane-report", f"{name}:3").code == 4


def test_a_model_without_operations_is_refused(invoke: Invoke, registered: Registered, name: str) -> None:
    registered(LogisticRegression().fit(X, np.arange(20) % 2), name, "sklearn", X)
    result = invoke("mlops:ane-report", name)
    assert (result.code, "sklearn" in result.err, "ONNX" in result.err) == (3, True, True)


def test_a_torch_pickle_is_read_only_where_the_project_allows_it(
    invoke: Invoke, project: Workspace, registered: Registered, name: str
) -> None:
    from torch import nn

    registered(nn.Linear(4, 5), name, "torch", X)
    registered(nn.Linear(4, 5), name, "torch")
    refused = invoke("mlops:ane-report", f"{name}:1")
    assert refused.code == 3
    assert "allow_pickle = true" in refused.err
    toml = project.info.root / "project.toml"
    toml.write_text(toml.read_text() + "[serving]\nallow_pickle = true\n")
    result = invoke("mlops:ane-report", f"{name}:1", "--json", "--no-save")
    assert result.code == 0, result.err
    assert (result.json["format"], result.json["multiply_adds"]) == ("torch", 20)
    unsigned = invoke("mlops:ane-report", f"{name}:2")
    assert (unsigned.code, "input_example" in unsigned.err) == (3, True)


Foreign = Callable[[str, dict[str, bytes]], None]


@pytest.fixture
def foreign(project: Workspace) -> Foreign:
    """Registers files that no flavor of ours wrote, by the account's own client."""
    session = project_session(project)

    def register(name: str, files: dict[str, bytes]) -> None:
        run = project.tracking.start_run(None, {}, None)
        with tempfile.TemporaryDirectory() as folder, session.bound() as client:
            for file, content in {"note.txt": b"", **files}.items():
                Path(folder, file).write_bytes(content)
            client.log_artifacts(run.id, folder, "foreign")
            client.create_registered_model(name)
            source = f"{client.get_run(run.id).info.artifact_uri}/foreign"
            client.create_model_version(name, source, run.id)
        project.tracking.end_run(run.id, RunStatus.FINISHED)

    return register


@pytest.mark.parametrize(
    ("mlmodel", "problem"),
    [
        (None, "MLmodel cannot be read"),
        (b"a: [1\n b: {", "not YAML"),
        (b"flavors: [onnx]", "no flavors"),
        (b"flavors: {onnx: null}", "no flavors"),
        (b"flavors: {onnx: {}}\nsignature: {inputs: 5}", "signature"),
        (b"flavors: {onnx: {}}\nsignature: [1]", "signature"),
        (b"flavors: {onnx: {data: ../../outside}}", "outside"),
        (b"flavors: {onnx: {data: gone.onnx}}", "not there"),
        (b"flavors: {onnx: {data: note.txt}}", "not an ONNX model"),
        (b"flavors: {1: {}, keras: {}}", "keras"),
    ],
)
def test_a_foreign_models_files_are_refused_by_its_name(
    mlmodel: bytes | None, problem: str, invoke: Invoke, foreign: Foreign, name: str
) -> None:
    foreign(name, {} if mlmodel is None else {"MLmodel": mlmodel})
    result = invoke("mlops:ane-report", name, "--json")
    assert result.code == 3
    error = result.json["error"]
    assert (error["type"], error["fields"]["value"]) == ("InvalidInput", repr(f"{name}:1"))
    assert problem in error["message"]
    assert tempfile.gettempdir() not in result.out + result.err


def test_a_file_that_is_no_text_is_no_mlmodel(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"^MLmodel is not YAML$"):
        read(tmp_path)


def test_an_onnx_flavor_runs_no_code_whatever_its_file_is_called(
    invoke: Invoke, foreign: Foreign, name: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    harm = harmful(tmp_path, mark).read_bytes()
    foreign(name, {"MLmodel": b"flavors: {onnx: {data: m.pt2}}", "m.pt2": harm})
    result = invoke("mlops:ane-report", name)
    assert (result.code, mark.exists()) == (3, False)
    assert "not an ONNX model" in result.err


def test_a_name_without_versions_is_not_found(invoke: Invoke, project: Workspace, name: str) -> None:
    with project_session(project).bound() as client:
        client.create_registered_model(name)
    for reference in (name, f"{name}@champion", f"{name}:1"):
        result = invoke("mlops:ane-report", reference, "--json")
        assert (result.code, result.json["error"]["type"]) == (4, "ModelNotFound")


def test_a_report_that_cannot_be_kept_is_printed(
    invoke: Invoke, project: Workspace, registered: Registered, name: str
) -> None:
    version = registered(nets.three_layers(), name)
    with project_session(project).bound() as client:
        client.delete_run(version.run_id)
    result = invoke("mlops:ane-report", name, "--json")
    assert (result.code, result.json["multiply_adds"]) == (4, nets.MULTIPLY_ADDS)
    assert "report.json was not kept" in result.err
    assert "--no-save" in result.err
