"""MLflow's own API inside a run: with a server, without one, and after it came back."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mlops.entities import Run, RunStatus
from mlops.tracking.mlflow import MLflowTracker


def test_params_metrics_and_tags(run: Run, delivered: Any) -> None:
    mlflow.log_params({"a": 1, "b": "two"})
    mlflow.log_metrics({"x": 1.0, "y": 2.0}, step=3)
    mlflow.log_metric("nan", float("nan"))
    mlflow.log_metric("z", 5, synchronous=False)
    mlflow.set_tags({"t": "1", "gone": "x"})
    mlflow.delete_tag("gone")
    MlflowClient().log_batch(run.id, [Metric("old", 7, 1234, 2)], [Param("c", "3")], [RunTag("u", "2")])
    active = mlflow.active_run()
    assert active is not None
    assert mlflow.get_run(active.info.run_id).data.params == {"a": "1", "b": "two", "c": "3"}
    read = delivered()
    assert read.params == {"a": "1", "b": "two", "c": "3"}
    assert {key: read.metrics[key] for key in ("x", "y", "z", "old")} == {"x": 1, "y": 2, "z": 5, "old": 7}
    assert (read.tags["t"], read.tags["u"], "gone" in read.tags) == ("1", "2", False)


def test_a_metric_keeps_the_time_mlflow_gave_it(run: Run, delivered: Any, tracker: MLflowTracker) -> None:
    mlflow.log_metric("m", 1, step=1, timestamp=1_700_000_000_000)
    mlflow.log_metric("m", 2, step=2, timestamp=1_700_000_001_000)
    history = MlflowClient().get_metric_history(run.id, "m")
    times = [(1, 1_700_000_000_000), (2, 1_700_000_001_000)]
    assert [(each.step, each.timestamp) for each in history] == times
    done = delivered()
    with tracker.activate(tracker.start_run("reads", {}, None).id):
        again = MlflowClient().get_metric_history(done.id, "m")
    assert [(each.step, each.timestamp) for each in again] == times


@pytest.mark.parametrize(
    "bad",
    [
        lambda: mlflow.log_metric("bad$key", 1),
        lambda: mlflow.log_param("", 1),
        lambda: mlflow.log_metric("m", "text"),
        lambda: (mlflow.log_param("p", 1), mlflow.log_param("p", 2)),
        lambda: mlflow.set_tag("t//", "x"),
    ],
)
def test_what_mlflow_refuses_it_refuses_at_the_call(run: Run, bad: Callable[[], object]) -> None:
    with pytest.raises(MlflowException) as caught:
        bad()
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_nested_run_belongs_to_the_project(
    run: Run, delivered: Any, tracker: MLflowTracker, eventually: Any
) -> None:
    with mlflow.start_run(nested=True, run_name="child") as child:
        mlflow.log_metric("inner", 1)
    mlflow.log_metric("outer", 2)
    mine = delivered()
    eventually(lambda: tracker.get_run(child.info.run_id).mlflow_id is not None)
    inner = tracker.get_run(child.info.run_id)
    assert (inner.name, inner.status, inner.metrics) == ("child", RunStatus.FINISHED, {"inner": 1.0})
    assert inner.tags["mlflow.parentRunId"] == mine.mlflow_id
    assert mine.metrics == {"outer": 2.0}


def test_a_run_is_entered_by_its_id(
    run: Run, delivered: Any, tracker: MLflowTracker, eventually: Any
) -> None:
    begun = MlflowClient().create_run(mlflow.active_run().info.experiment_id, run_name="apart").info.run_id
    MlflowClient().log_metric(begun, "first", 1)
    with mlflow.start_run(run_id=begun, nested=True):
        mlflow.log_metric("second", 2)
    delivered()
    eventually(lambda: len(tracker.get_run(begun).metrics) == 2)
    read = tracker.get_run(begun)
    assert (read.name, read.status, read.metrics) == (
        "apart",
        RunStatus.FINISHED,
        {"first": 1.0, "second": 2.0},
    )


def test_a_run_that_ended_is_resumed(tracker: MLflowTracker, eventually: Any) -> None:
    with tracker.activate(tracker.start_run(None, {}, None).id):
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("first", 1)
        with mlflow.start_run(run_id=child.info.run_id, nested=True) as again:
            assert mlflow.get_run(again.info.run_id).info.status == "RUNNING"
            mlflow.log_metric("second", 2)
    eventually(lambda: tracker.get_run(child.info.run_id).status is RunStatus.FINISHED)
    assert tracker.get_run(child.info.run_id).metrics == {"first": 1.0, "second": 2.0}


def test_artifacts_of_every_kind(run: Run, delivered: Any, tracker: MLflowTracker, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "f.txt").write_text("file")
    mlflow.log_artifact(str(tmp_path / "some" / "f.txt"), "sub")
    mlflow.log_artifact(str(tmp_path / "some"))
    mlflow.log_artifacts(str(tmp_path / "some"), "all")
    mlflow.log_text("text", "notes/note.txt")
    mlflow.log_dict({"a": 1}, "d.json")
    mlflow.log_table({"c": [1, 2]}, "table.json")
    mlflow.log_image(Image.new("RGB", (2, 2)), "i.png")
    mlflow.log_image(Image.new("RGB", (2, 2)), key="steps", step=1)
    done = delivered()
    with tracker.activate(tracker.start_run("reads", {}, None).id):
        folder = Path(mlflow.artifacts.download_artifacts(run_id=done.id, dst_path=str(tmp_path / "got")))
    got = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    wanted = {"sub/f.txt", "some/f.txt", "all/f.txt", "notes/note.txt", "d.json", "table.json", "i.png"}
    assert wanted <= got
    assert any(name.startswith("images/steps") for name in got)
    assert (folder / "notes/note.txt").read_text() == "text"


def test_an_open_runs_artifacts_are_read_back(tracker: MLflowTracker) -> None:
    with tracker.activate(tracker.start_run(None, {}, None).id):
        mlflow.log_text("text", "notes/note.txt")
        active = mlflow.active_run()
        assert active is not None
        assert mlflow.artifacts.load_text(f"runs:/{active.info.run_id}/notes/note.txt") == "text"
        (found,) = MlflowClient().list_artifacts(active.info.run_id, "notes")
        assert found.path == "notes/note.txt"


def test_data_and_figures_are_recorded(run: Run, delivered: Any, tracker: MLflowTracker) -> None:
    data = mlflow.data.from_numpy(np.arange(4.0), name="numbers")
    mlflow.log_input(data, context="training")
    mlflow.log_metric("on_data", 1, dataset=data)
    done = delivered()
    with tracker.activate(tracker.start_run("reads", {}, None).id):
        read = mlflow.get_run(done.id)
    assert "numbers" in {each.dataset.name for each in read.inputs.dataset_inputs}
    assert read.data.metrics == {"on_data": 1.0}


def test_a_thread_outside_may_write_into_a_run_it_names(run: Run, delivered: Any) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            MlflowClient().log_metric(run.id, "from_outside", 1)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed, failed
    assert delivered().metrics == {"from_outside": 1.0}


def test_artifacts_are_read_from_the_journal_while_no_server_answers(
    tracker: MLflowTracker, line: Any, tmp_path: Path
) -> None:
    line.cut = True
    with tracker.activate(tracker.start_run(None, {}, None).key):
        mlflow.log_text("text", "notes/deep/note.txt")
        active = mlflow.active_run()
        assert active is not None
        assert [each.path for each in MlflowClient().list_artifacts(active.info.run_id)] == ["notes"]
        assert mlflow.artifacts.load_text(f"runs:/{active.info.run_id}/notes/deep/note.txt") == "text"


def test_a_server_that_comes_back_is_read_within_the_run(
    tracker: MLflowTracker, line: Any, eventually: Any
) -> None:
    line.cut = True
    with tracker.activate(tracker.start_run(None, {}, None).key):
        mlflow.log_metric("x", 1)
        mlflow.log_text("text", "note.txt")
        active = mlflow.active_run()
        assert active is not None
        line.cut = False
        eventually(lambda: not mlflow.get_run(active.info.run_id).info.run_id.startswith("r-"))
        found = mlflow.get_run(active.info.run_id)
        assert found.data.metrics == {"x": 1.0}
        assert found.info.artifact_uri.startswith("mlflow-artifacts:")
        for run_id in (active.info.run_id, found.info.run_id):
            assert mlflow.artifacts.load_text(f"runs:/{run_id}/note.txt") == "text"
        assert mlflow.search_runs(filter_string=f"attributes.run_id = '{found.info.run_id}'").shape[0] == 1
        MlflowClient().create_registered_model(f"now-{uuid.uuid4().hex[:6]}")


def test_an_experiment_of_its_own(run: Run, delivered: Any, tracker: MLflowTracker, eventually: Any) -> None:
    client, name = MlflowClient(), f"apart-{uuid.uuid4().hex[:6]}"
    found = client.get_experiment_by_name(name)
    experiment_id = found.experiment_id if found else client.create_experiment(name)
    begun = client.create_run(experiment_id, run_name="theirs").info.run_id
    client.set_terminated(begun)
    delivered()
    eventually(lambda: tracker.get_run(begun).status is RunStatus.FINISHED and tracker.get_run(begun).url)
    with tracker.activate(tracker.start_run("reads", {}, None).id):
        experiment = mlflow.get_experiment_by_name(name)
        assert experiment is not None
        found_runs = MlflowClient().search_runs([experiment.experiment_id])
        assert [each.info.run_name for each in found_runs] == ["theirs"]


def test_a_run_is_found_by_its_key(run: Run, delivered: Any) -> None:
    done = delivered()
    found = mlflow.search_runs(
        search_all_experiments=True, filter_string=f"tags.`mlops.run_key` = '{run.key}'", output_format="list"
    )
    assert [each.info.run_id for each in found] == [done.mlflow_id]
