"""MLflow itself, used inside a run of one project, reaches nothing of another whose ids it knows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType

from mlops.entities import RunStatus
from mlops.tracking.mlflow import MLflowTracker
from tests.servers import Account

pytestmark = pytest.mark.xdist_group("mlflow_server")


@pytest.fixture(autouse=True)
def tracking_uri_is_restored() -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture
def a(mlflow_accounts: tuple[Account, Account], tmp_path: Path) -> MLflowTracker:
    return MLflowTracker(**mlflow_accounts[0].settings(), journal=tmp_path / "a")


@pytest.fixture
def b(mlflow_accounts: tuple[Account, Account], tmp_path: Path) -> MLflowTracker:
    return MLflowTracker(**mlflow_accounts[1].settings(), journal=tmp_path / "b")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "f.txt").write_text("x")
    return tmp_path / "f.txt"


def attempts(run_id: str, experiment_id: str, file: Path, to: Path) -> dict[str, Callable[[], Any]]:
    """Calls of MLflow's client that name a run or an experiment."""
    client = mlflow.MlflowClient()
    return {
        "get_run": lambda: client.get_run(run_id),
        "get_metric_history": lambda: client.get_metric_history(run_id, "x"),
        "list_artifacts": lambda: client.list_artifacts(run_id),
        "download_artifacts": lambda: client.download_artifacts(run_id, "f.txt", str(to)),
        "fluent download": lambda: mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path="f.txt", dst_path=str(to)
        ),
        "log_metric": lambda: client.log_metric(run_id, "x", 99),
        "log_param": lambda: client.log_param(run_id, "forged", 1),
        "set_tag": lambda: client.set_tag(run_id, "forged", "1"),
        "delete_tag": lambda: client.delete_tag(run_id, "kept"),
        "log_batch": lambda: client.log_batch(
            run_id, [Metric("x", 99, 1, 1)], [Param("forged", "1")], [RunTag("forged", "1")]
        ),
        "log_inputs": lambda: client.log_inputs(run_id, [], []),
        "log_artifact": lambda: client.log_artifact(run_id, str(file)),
        "log_text": lambda: client.log_text(run_id, "x", "forged.txt"),
        "log_dict": lambda: client.log_dict(run_id, {"x": 1}, "forged.json"),
        "update_run": lambda: client.update_run(run_id, name="forged"),
        "set_terminated": lambda: client.set_terminated(run_id),
        "delete_run": lambda: client.delete_run(run_id),
        "restore_run": lambda: client.restore_run(run_id),
        "fluent resume": lambda: mlflow.start_run(run_id=run_id, nested=True),
        "fluent delete": lambda: mlflow.delete_run(run_id),
        "fluent log_metric": lambda: mlflow.log_metric("x", 99, run_id=run_id),
        "create_run": lambda: client.create_run(experiment_id),
        "get_experiment": lambda: client.get_experiment(experiment_id),
        "rename_experiment": lambda: client.rename_experiment(experiment_id, "forged"),
        "delete_experiment": lambda: client.delete_experiment(experiment_id),
        "restore_experiment": lambda: client.restore_experiment(experiment_id),
        "set_experiment_tag": lambda: client.set_experiment_tag(experiment_id, "forged", "1"),
    }


def let_through(run_id: str, experiment_id: str, file: Path, to: Path) -> dict[str, Any]:
    """The attempts that raised nothing, with what they returned."""
    found = {}
    for verb, attempt in attempts(run_id, experiment_id, file, to).items():
        try:
            found[verb] = attempt()
        except Exception:  # MLflow's, or a refusal of ours: what counts is that nothing comes through
            continue
    return found


def begin(tracker: MLflowTracker, file: Path) -> tuple[str, set[str]]:
    """A run with something in it, and what it is called by."""
    run = tracker.start_run("theirs", {"kept": "1"}, None)
    tracker.log(run.id, metrics={"x": 1}, params={"p": 1})
    tracker.log_artifact(run.id, file)
    return run.key, {run.key, tracker.get_run(run.key).id}


@pytest.mark.parametrize("state", ["open", "ended", "deleted"])
def test_no_call_of_mlflow_reaches_another_projects_run(
    a: MLflowTracker,
    b: MLflowTracker,
    file: Path,
    tmp_path: Path,
    mlflow_accounts: tuple[Account, Account],
    state: str,
) -> None:
    key, names = begin(b, file)
    if state != "open":
        b.end_run(key, RunStatus.FINISHED)
    before = b.get_run(key)
    if state == "deleted":
        b.delete_run(key)
    with a.activate(a.start_run(None, {}, None).id):
        for name in names:
            assert let_through(name, mlflow_accounts[1].experiment_id, file, tmp_path / "to") == {}
    if state == "deleted":
        b.restore_run(key)
    assert b.get_run(key) == before
    assert [point.value for point in b.metric_history(key, "x")] == [1.0]
    assert _files(b, before.id) == ["f.txt"]


def test_no_list_of_mlflow_names_another_projects_run(
    a: MLflowTracker, b: MLflowTracker, file: Path, mlflow_accounts: tuple[Account, Account]
) -> None:
    _, names = begin(b, file)
    theirs = mlflow_accounts[1].experiment_id
    with a.activate(a.start_run(None, {}, None).id):
        client = mlflow.MlflowClient()
        listed: list[Any] = [*client.search_runs(_ids(client), run_view_type=ViewType.ALL, max_results=5000)]
        try:
            listed += client.search_runs([theirs], run_view_type=ViewType.ALL)
        except mlflow.MlflowException:
            assert theirs not in _ids(client)
        assert theirs not in _ids(client)
    assert listed
    assert not names & {run.info.run_id for run in listed}


def test_a_thread_of_one_project_reaches_no_open_run_of_another(
    a: MLflowTracker, b: MLflowTracker, file: Path, tmp_path: Path, mlflow_accounts: tuple[Account, Account]
) -> None:
    key, names = begin(b, file)
    before = b.get_run(key)
    through: list[dict[str, Any]] = []

    def try_all() -> None:
        theirs = mlflow_accounts[1].experiment_id
        through.extend(let_through(name, theirs, file, tmp_path / "to") for name in names)

    with a.activate(a.start_run(None, {}, None).id):
        thread = threading.Thread(target=try_all)
        thread.start()
        thread.join()
    assert through == [{}] * len(names)
    assert b.get_run(key) == before


def _ids(client: mlflow.MlflowClient) -> list[str]:
    return [each.experiment_id for each in client.search_experiments(view_type=ViewType.ALL)]


def _files(tracker: MLflowTracker, run_id: str) -> list[str]:
    with tracker.activate(tracker.start_run(None, {}, None).id):
        return [each.path for each in mlflow.MlflowClient().list_artifacts(run_id)]
