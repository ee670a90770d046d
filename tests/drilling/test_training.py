"""A training run and the demo through a recording client; configuration; pictures."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from drilling.cli import train
from drilling.config import TrainingConfig, read_config
from drilling.dataset import load_holes
from drilling.demo import USER_DATA, mirror_logs, run_demo
from drilling.errors import InvalidConfig, NoLogs, TooFewHoles
from drilling.evaluation import as_metrics, depth_errors, mean_error_mm
from drilling.synthetic import write_folder
from drilling.training import IntegratedTrainingPipeline
from mlops import MLOpsClient

SMALL = {"layers": 1, "d_model": 8, "head_channels": 8, "head_layers": 3, "cnn_channels": 8, "holes": 40}
TINY = TrainingConfig(epochs=20, batch=8, folds=0, pretraining_epochs=0, **SMALL)
PARAMS = Path(__file__).parents[2] / "projects" / "drilling" / "params.yaml"
PNG = b"\x89PNG"


@pytest.fixture
def logs_without_truth(tmp_path: Path, synthetic_folder: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in sorted(synthetic_folder.glob("*.xls"))[:14]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.xls").write_bytes(b"nothing")
    air = "\n".join(f"-{depth / 100:.3f}\t0,0\t0,0\t1,0\t0,2\t1,0\t0,0" for depth in range(60, 600))
    (folder / "air.xls").write_text(air.replace(".", ","))
    return folder


def test_a_run_records_data_metrics_pictures_and_models(client) -> None:
    data = client.dvc_add("data/raw")
    run_id = IntegratedTrainingPipeline(client, TINY, progress=False).execute_training(data, "trial")
    assert run_id == "r1"
    assert client.run_status == "FINISHED"
    assert client.experiment == "trial"
    assert ("log_data", data) in client.calls
    assert client.tags["data.synthetic"] == "true"
    assert client.tags["labels"] == "truth"
    assert client.tags["split.grouped"] == "true"
    assert client.metrics.keys() >= {"train_loss", "val_mae_mm", "val_exit_p95_mm", "automatic_mae_mm"}
    assert client.metrics["parity_max_mm"] < 1e-4
    drawn = {"errors", "hole_typical", "hole_worst_1", "hole_worst_2", "hole_worst_3"}
    assert {f"figures/{name}.png" for name in drawn} <= set(client.artifacts)
    pictures = [content for name, content in client.artifacts.items() if name.endswith(".png")]
    assert all(content.startswith(PNG) for content in pictures)
    assert [model[:3] for model in client.models] == [
        ("keypoints-torch", "torch", True),
        ("keypoints", "onnx", True),
    ]
    assert client.aliases == {("keypoints", "challenger"): 1}


def test_the_recording_client_takes_what_the_real_one_takes(client) -> None:
    verbs = [name for name, _ in inspect.getmembers(type(client), inspect.isfunction) if name[0] != "_"]
    assert "log_model" in verbs
    for verb in verbs:
        offered = inspect.signature(getattr(MLOpsClient, verb)).parameters
        assert set(inspect.signature(getattr(type(client), verb)).parameters) <= set(offered), verb
    assert {"dashboard_url", "token_file"} <= set(dir(MLOpsClient))


def test_the_demo_twice_adds_a_version_and_no_data(client) -> None:
    first = run_demo(client, TINY, progress=False)
    second = run_demo(client, TINY, progress=False)
    assert first.synthetic
    assert first.labels == "truth"
    assert first.data_hash == second.data_hash
    assert (first.model_version, second.model_version) == (1, 2)
    assert ("deploy_model", 2) in client.calls
    assert first.trained_on + first.held_out == first.holes == 40
    assert set(first.errors) == {"entry", "transition", "exit"}
    assert first.errors == second.errors, "the same seed and data give the same figures"
    assert f"$(cat '{client.token_file}')" in first.curl
    assert first.mlflow_login.endswith(f"password $(cat '{client.mlflow_password_file}')")
    assert first.asked_hole in first.curl
    assert json.loads(json.dumps(first.as_dict()))["answer_mm"].keys() == {
        "entry_mm",
        "transition_mm",
        "exit_mm",
    }


def test_the_demo_shows_how_far_the_deployment_is(client, monkeypatch) -> None:
    shown: list[str] = []

    @contextmanager
    def recorded(description: str, **_: bool) -> Iterator[Callable[[str], None]]:
        shown.append(description)
        yield shown.append

    monkeypatch.setattr("drilling.demo.staged", recorded)
    run_demo(client, TINY, progress=False)
    assert shown == ["Deploying keypoints", "packaging", "starting", "running"]


def test_the_demo_on_a_users_logs_says_what_its_figures_are(client, logs_without_truth: Path) -> None:
    report = run_demo(client, TINY, logs=logs_without_truth, progress=False)
    assert report.synthetic, "the test's logs are generated, and say so wherever they are copied"
    assert report.labels == "automatic"
    assert report.automatic_errors == {}
    assert report.data_path == USER_DATA
    assert (report.holes, report.files_left_out, report.holes_unlabelled) == (14, 1, 1)
    assert client.tags["data.synthetic"] == "true"


def test_the_printed_report_holds_a_curl_line_that_is_one_line(client, logs_without_truth: Path) -> None:
    from io import StringIO

    from rich.console import Console

    from drilling.report import print_report

    report = run_demo(client, TINY, logs=logs_without_truth, progress=False)
    text = StringIO()
    print_report(report, Console(file=text, width=60))
    lines = text.getvalue().splitlines()
    assert report.curl in lines
    assert any("no ground truth" in line for line in lines)


def test_too_few_holes_begin_no_run(client, tmp_path: Path) -> None:
    write_folder(tmp_path / "few", holes=4, seed=1, progress=False)
    with pytest.raises(TooFewHoles, match="4 labelled holes"):
        IntegratedTrainingPipeline(client, TINY, progress=False).train(client.dvc_add("few"))
    assert not any(name == "start_run" for name, _ in client.calls)


def test_mirroring_copies_what_changed_and_removes_the_rest(tmp_path: Path, synthetic_folder: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "panel").mkdir(parents=True)
    log = next(synthetic_folder.glob("*.xls"))
    (source / "panel" / "a.xls").write_bytes(log.read_bytes())
    (source / "notes.txt").write_text("not a log")
    assert mirror_logs(source, target) == 1
    assert mirror_logs(source, target) == 0
    (source / "panel" / "a.xls").rename(source / "b.xls")
    assert mirror_logs(source, target) == 2
    assert [path.name for path in target.rglob("*") if path.is_file()] == ["b.xls"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("empty", "holds no readable drilling log"),
        ("unreadable", r"holds no readable drilling log \(2 .xls files hold no signal\)"),
        ("absent", "does not exist"),
        ("file", "is not a folder"),
    ],
)
def test_users_folder_without_a_log_is_named_and_keeps_what_was_there(
    client, tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "unreadable").mkdir()
    for log in ("a.xls", "b.xls"):
        (tmp_path / "unreadable" / log).write_bytes(b"nothing")
    (tmp_path / "file").write_text("no folder")
    earlier = client.root / USER_DATA / "old.xls"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("old")
    with pytest.raises(NoLogs, match=rf"{tmp_path}/{name} {problem}") as caught:
        run_demo(client, TINY, logs=tmp_path / name, progress=False)
    assert "Setitec .xls files" in caught.value.remedy
    assert earlier.exists()
    assert client.calls == []


def test_a_truth_without_the_generators_marker_is_not_believed(tmp_path: Path) -> None:
    write_folder(tmp_path, holes=2, seed=1, progress=False)
    (tmp_path / "SYNTHETIC").unlink()
    dataset = load_holes(tmp_path, progress=False)
    assert dataset.synthetic, "the logs themselves say so"
    assert not dataset.has_truth
    assert dataset.holes[0].groups == ("TAG000A", "HD000", "")


def test_logs_that_do_not_say_synthetic_are_taken_as_measured(tmp_path: Path) -> None:
    write_folder(tmp_path, holes=2, seed=1, progress=False)
    for path in (tmp_path / "SYNTHETIC", tmp_path / "truth.csv"):
        path.unlink()
    for path in tmp_path.glob("*.xls"):
        path.write_bytes(path.read_bytes().replace(b"SYNTHETIC DATA", b"A customer"))
    assert not load_holes(tmp_path, progress=False).synthetic


def test_the_projects_parameters_are_the_defaults() -> None:
    assert read_config(PARAMS) == TrainingConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", "unknown keys in `training`: epoch"),
        ("training: {epochs: 1.5}", "epochs = 1.5 is not a whole number"),
        ("training: {epochs: 0}", "epochs = 0 is not above 0"),
        ("training: {learning_rate: fast}", "'fast' is not a number"),
        ("training: {held_out_share: 1.0}", "is not below 1"),
        ("training: {patch: 24}", "patch = 24 does not divide a window of 512"),
        ("training: {kernel: 8}", "kernel = 8 is not odd"),
        ("training: {folds: 1}", "folds = 1 leaves nothing to train on"),
        ("data: {}", "no table `training`"),
        ("training: [", "not YAML"),
    ],
)
def test_unusable_parameters_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InvalidConfig, match=message):
        read_config(path)


def test_missing_parameters_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"params\.yaml: No such file"):
        read_config(tmp_path / "params.yaml")


def test_errors_leave_out_unknown_depths() -> None:
    labels = np.array([[1.0, np.nan, np.nan], [2.0, 3.0, np.nan]])
    errors = depth_errors(labels + 0.1, labels)
    assert {name: error.holes for name, error in errors.items()} == {"entry": 2, "transition": 1}
    assert mean_error_mm(errors) == pytest.approx(0.1)
    assert as_metrics(errors, "val")["val_entry_mae_mm"] == pytest.approx(0.1)
    assert as_metrics({}, "val") == {}


@pytest.mark.parametrize(
    ("environment", "taken"), [({}, "dvc_add"), ({"DVC_STAGE": "training"}, "data_version")]
)
def test_the_command_takes_the_recorded_version_as_a_stage_of_dvc(
    client, monkeypatch, environment: dict[str, str], taken: str
) -> None:
    """`dvc repro` holds DVC's lock while its stages run."""
    app = typer.Typer()
    app.command()(train)
    monkeypatch.setattr("mlops.MLOpsClient", SimpleNamespace(from_project=lambda _: client))
    small = ", ".join(f"{name}: {value}" for name, value in {**SMALL, "epochs": 1}.items())
    (client.root / "params.yaml").write_text(f"training: {{{small}}}")
    result = CliRunner().invoke(app, ["--quick", "--json"], env=environment)
    assert result.exit_code == 0, result.output
    versions = [name for name, _ in client.calls if name in ("dvc_add", "data_version")]
    assert versions == [taken]
