"""What one project's run is to another project's context, through MLflow's own API."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mlops.binding.artifacts import upload
from mlops.entities import Run, RunStatus
from mlops.errors import ServiceUnavailable
from mlops.tracking.mlflow import MLflowTracker


@pytest.fixture
def other(mlflow_accounts: Any, line: Any, tmp_path: Path) -> MLflowTracker:
    """The tracker of another project."""
    settings = {**mlflow_accounts[1].settings(), "url": line}
    return MLflowTracker(**settings, journal=tmp_path / "other")


def test_another_projects_run_is_unknown_by_either_id(
    run: Run, delivered: Callable[[], Run], other: MLflowTracker, tmp_path: Path
) -> None:
    (tmp_path / "f.txt").write_text("forged")
    model = mlflow.initialize_logged_model("mine")
    client = MlflowClient()
    with other.activate(other.start_run(None, {}, None).id):
        for run_id in {run.id, run.key}:
            for attempt in (
                lambda run_id=run_id: client.log_metric(run_id, "forged", 1),
                lambda run_id=run_id: client.log_param(run_id, "forged", 1),
                lambda run_id=run_id: client.set_tag(run_id, "forged", 1),
                lambda run_id=run_id: client.delete_tag(run_id, "forged"),
                lambda run_id=run_id: client.log_artifact(run_id, str(tmp_path / "f.txt")),
                lambda run_id=run_id: client.set_terminated(run_id, "KILLED"),
                lambda run_id=run_id: client.get_run(run_id),
                lambda run_id=run_id: client.get_metric_history(run_id, "forged"),
                lambda run_id=run_id: client.list_artifacts(run_id),
                lambda run_id=run_id: mlflow.start_run(run_id=run_id, nested=True),
                lambda: client.finalize_logged_model(model.model_id, "FAILED"),
                lambda: client.get_logged_model(model.model_id),
            ):
                with pytest.raises(MlflowException) as caught:
                    attempt()
                assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    read = delivered()
    assert (read.metrics, read.params, "forged" in read.tags) == ({}, {}, False)


def outside(call: Callable[[], object]) -> object:
    """What a thread without a context gets from `call`, or the error it raises."""
    outcome: list[object] = []

    def work() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return outcome[0]


def test_of_two_projects_runs_left_open_a_call_without_a_context_reaches_none(
    tracker: MLflowTracker, other: MLflowTracker
) -> None:
    mine, theirs = tracker.start_run(None, {}, None), other.start_run(None, {}, None)

    def log() -> str:
        mlflow.log_metric("x", 1)
        return "logged"

    with tracker.activate(mine.key, process=True):
        assert outside(log) == "logged"
        with other.activate(theirs.key, process=True):
            attempts: list[Callable[[], object]] = [
                lambda: mlflow.log_metric("forged", 1),
                lambda: mlflow.log_param("forged", 1),
                lambda: mlflow.start_run(nested=True),
                lambda: MlflowClient().log_metric(mine.key, "forged", 1),
                lambda: MlflowClient().log_metric(theirs.key, "forged", 1),
            ]
            for attempt in attempts:
                for outcome in (outside(attempt), outside(lambda call=attempt: copy_context().run(call))):
                    assert isinstance(outcome, MlflowException)
                    assert "NoActiveRun" in str(outcome)
            assert mlflow.active_run() is None
            with tracker.activate(mine.key):
                mlflow.log_metric("inside", 2)
        assert outside(log) == "logged"
    read = tracker.end_run(mine.key, RunStatus.FINISHED), other.end_run(theirs.key, RunStatus.FINISHED)
    assert [each.metrics for each in read] == [{"x": 1.0, "inside": 2.0}, {}]
    assert [each.params for each in read] == [{}, {}]


def test_mlflow_imported_while_two_projects_runs_are_open_writes_into_none(
    mlflow_accounts: Any, tmp_path: Path
) -> None:
    program = """
        import json, sys
        from pathlib import Path
        from mlops.tracking.mlflow import MLflowTracker
        from mlops.entities import RunStatus
        trackers = [MLflowTracker(**each, journal=Path(each["project"])) for each in json.load(sys.stdin)]
        runs = [tracker.start_run(None, {}, None) for tracker in trackers]
        first, second = (tracker.activate(run.key, process=True) for tracker, run in zip(trackers, runs))
        with first, second:
            assert "mlflow" not in sys.modules
            import mlflow
            try:
                mlflow.log_metric("forged", 1)
            except mlflow.MlflowException as error:
                assert "NoActiveRun" in str(error), error
            else:
                raise SystemExit("it was logged somewhere")
        ended = [tracker.end_run(run.key, RunStatus.FINISHED) for tracker, run in zip(trackers, runs)]
        assert [run.metrics for run in ended] == [{}, {}], ended
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        input=json.dumps([account.settings() for account in mlflow_accounts]),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_a_text_may_mention_another_projects_run_and_model(
    tracker: MLflowTracker, other: MLflowTracker
) -> None:
    theirs = other.start_run(None, {}, None)
    with other.activate(theirs.key):
        model = mlflow.initialize_logged_model("theirs")
    text = f"compare with {theirs.key} and {model.model_id}, not r-{'0' * 32}"
    mine = tracker.start_run(None, {}, None)
    with tracker.activate(mine.key):
        experiment = mlflow.get_run(mine.key).info.experiment_id
        MlflowClient().set_experiment_tag(experiment, "note", text)
        assert MlflowClient().get_experiment(experiment).tags["note"] == text


def test_a_store_that_mlflow_reaches_directly_takes_the_contents_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "deep" / "f.txt").write_text("text")
    upload((tmp_path / "store").as_uri(), tmp_path / "kept", "below")
    assert (tmp_path / "store/below/deep/f.txt").read_text() == "text"
    with pytest.raises(ServiceUnavailable):
        upload("nowhere://bucket/path", tmp_path / "kept", "")
