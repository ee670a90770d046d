"""What every run tracker promises, run over each of them, with two projects."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.entities import DataVersion, RunStatus
from mlops.errors import InvalidInput, RunEnded
from mlops.tracking.base import RunTracker
from tests.trackers import Two, pytest_generate_tests, start  # noqa: F401

DATA = DataVersion("contract-a", "data/raw", "0" * 32 + ".dir", 1234, 7, "abc123", True, "/remotes/a")


def test_a_started_run_is_running_and_names_its_project(tracker: RunTracker) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    run = tracker.start_run("first", {"kind": "test"}, None)
    assert (run.project, run.name, run.status) == ("contract-a", "first", RunStatus.RUNNING)
    assert run.tags["kind"] == "test"
    assert before < run.started_at < datetime.now(UTC) + timedelta(seconds=5)
    assert run.ended_at is None
    assert tracker.get_run(run.id) == run


def test_a_key_is_permanent_and_mlflows_id_comes_with_delivery(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.log(run.key, metrics={"x": 1})
    ended = tracker.end_run(run.key, RunStatus.FINISHED)
    assert tracker.get_run(run.key).key == ended.key == run.key
    assert (ended.id == run.key) == (ended.mlflow_id in (None, run.key))


def test_a_run_without_a_name_gets_one(tracker: RunTracker) -> None:
    assert start(tracker).name


@pytest.mark.needs_server
def test_an_experiment_is_made_on_first_use_and_found_again(tracker: RunTracker) -> None:
    experiment = f"experiment-{uuid.uuid4().hex[:6]}"
    runs = [tracker.start_run(None, {"in": experiment}, experiment) for _ in range(2)]
    found = tracker.search_runs(f"tags.`in` = '{experiment}'")
    assert {run.id for run in found} == {run.id for run in runs}


@pytest.mark.parametrize("status", [RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED])
def test_an_ended_run_has_its_status_and_time(tracker: RunTracker, status: RunStatus) -> None:
    ended = tracker.end_run(start(tracker).id, status)
    assert ended.status is status
    assert ended.ended_at is not None
    assert ended.ended_at >= ended.started_at
    assert tracker.get_run(ended.id).ended_at == ended.ended_at


def test_a_run_that_was_started_here_is_ended_here(tracker: RunTracker) -> None:
    run = start(tracker)
    assert tracker.owns(run.id)
    tracker.end_run(run.id, RunStatus.FINISHED)
    with pytest.raises(RunEnded):
        tracker.owns(run.id)


def test_the_past_of_a_run_is_what_was_recorded(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.log(run.id, metrics={"x": 1.0}, tags={"colour": "red"})
    tracker.log(run.id, metrics={"x": 2.0})
    past = tracker.past(run.id)
    assert (past.key, past.metrics, past.tags["colour"]) == (run.key, {"x": 2.0}, "red")


def test_an_ended_run_takes_nothing_more(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.end_run(run.id, RunStatus.FINISHED)
    with pytest.raises(RunEnded):
        tracker.end_run(run.id, RunStatus.FAILED)
    with pytest.raises(RunEnded):
        tracker.log(run.id, metrics={"x": 1})
    with pytest.raises(RunEnded), tracker.activate(run.id):
        pass
    assert tracker.get_run(run.id).metrics == {}


def test_running_does_not_end_a_run(tracker: RunTracker) -> None:
    with pytest.raises(InvalidInput):
        tracker.end_run(start(tracker).id, RunStatus.RUNNING)


def test_what_was_logged_is_read_back(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.log(
        run.id, params={"rate": 0.1, "name": "small"}, metrics={"loss": 2, "a/b c": 0.5}, tags={"t": "1"}
    )
    tracker.log(run.id, metrics={"loss": 1.5}, tags={"t": "2"}, step=1)
    read = tracker.get_run(run.id)
    assert read.params == {"rate": "0.1", "name": "small"}
    assert read.metrics == {"loss": 1.5, "a/b c": 0.5}
    assert read.tags["t"] == "2"


def test_a_metric_writer_records_and_refuses_as_log_does(tracker: RunTracker) -> None:
    run = start(tracker)
    write = tracker.metric_writer(run.key)
    write({"loss": 2.0}, 0)
    write({"loss": 1.0}, 1)
    write({}, 2)
    with pytest.raises(InvalidInput):
        write({"loss": "low"}, 2)  # type: ignore[dict-item]
    assert tracker.get_run(run.key).metrics == {"loss": 1.0}
    tracker.end_run(run.key, RunStatus.FINISHED)
    with pytest.raises(RunEnded):
        write({"loss": 0.0}, 3)
    with pytest.raises(RunEnded):
        tracker.metric_writer(run.key)({"loss": 0.0}, 3)


def test_nan_and_infinity_are_metrics(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.log(run.id, metrics={"nan": math.nan, "inf": math.inf})
    read = tracker.get_run(run.id).metrics
    assert math.isnan(read["nan"])
    assert read["inf"] > 1e300


def test_more_than_one_request_holds_is_logged_whole(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.log(
        run.id,
        params={f"p{i}": i for i in range(150)},
        metrics={f"m{i}": i for i in range(1200)},
        tags={f"t{i}": str(i) for i in range(120)},
    )
    read = tracker.get_run(run.id)
    assert (len(read.params), len(read.metrics)) == (150, 1200)
    assert read.tags["t119"] == "119"


def test_equal_params_may_be_sent_again(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.log(run.id, params={"p": 1})
    tracker.log(run.id, params={"p": "1"})
    assert tracker.get_run(run.id).params == {"p": "1"}


@pytest.mark.parametrize(
    "bad",
    [
        {"params": {"old": 2}},
        {"params": {"": 1}},
        {"params": {"a$b": 1}},
        {"params": {"a//b": 1}},
        {"params": {"x" * 251: 1}},
        {"params": {"p": "x" * 6001}},
        {"metrics": {"m": "1.5"}},
        {"metrics": {"m": None}},
        {"metrics": {"m": [1, 2]}},
        {"metrics": {"../m": 1.0}},
        {"tags": {"": "x"}},
        {"tags": {"t": "x" * 8001}},
        {"step": 1.5},
    ],
)
def test_a_refused_call_records_nothing(tracker: RunTracker, bad: dict[str, Any]) -> None:
    run = start(tracker)
    tracker.log(run.id, params={"old": 1})
    good: dict[str, Any] = {"params": {"g": 1}, "metrics": {"g": 1.0}, "tags": {"g": "1"}}
    mixed = {
        kind: {**good.get(kind, {}), **value} if kind != "step" else value for kind, value in bad.items()
    }
    with pytest.raises(InvalidInput) as caught:
        tracker.log(run.id, **{**good, **mixed})
    assert caught.value.field
    read = tracker.get_run(run.id)
    assert (read.params, read.metrics, read.tags.get("g")) == ({"old": "1"}, {}, None)


def test_a_run_knows_its_data(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.log(run.id, data=DATA)
    tags = tracker.get_run(run.id).tags
    assert {key: value for key, value in tags.items() if key.startswith("data.")} == {
        "data.path": "data/raw",
        "data.hash": "0" * 32 + ".dir",
        "data.git_revision": "abc123",
        "data.git_dirty": "true",
        "data.size_bytes": "1234",
        "data.files": "7",
        "data.remote": "/remotes/a",
    }


def test_files_and_folders_are_artifacts(tracker: RunTracker, tmp_path: Path) -> None:
    run = start(tracker)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "f.txt").write_text("x")
    tracker.log_artifact(run.id, tmp_path / "folder" / "f.txt", "plots")
    tracker.log_artifact(run.id, tmp_path / "folder")


def test_an_artifact_that_is_missing_or_would_leave_the_run_is_refused(
    tracker: RunTracker, tmp_path: Path
) -> None:
    run = start(tracker)
    (tmp_path / "f.txt").write_text("x")
    for path, below in (
        (tmp_path / "none", None),
        (tmp_path / "f.txt", "../up"),
        (tmp_path / "f.txt", "/etc"),
    ):
        with pytest.raises(InvalidInput):
            tracker.log_artifact(run.id, path, below)


@pytest.mark.needs_server
def test_runs_are_found_newest_first_by_filter_and_in_order(tracker: RunTracker) -> None:
    group = uuid.uuid4().hex
    runs = [start(tracker, f"r{i}", group=group) for i in range(3)]
    for i, run in enumerate(runs):
        tracker.log(run.id, metrics={"x": i}, params={"p": "even" if i % 2 == 0 else "odd"})
    tracker.end_run(runs[0].id, RunStatus.FAILED)
    mine = f"tags.group = '{group}'"

    def names(filter: str, order_by: str = "", max_results: int = 100) -> list[str]:
        return [run.name for run in tracker.search_runs(filter, order_by, max_results)]

    assert {"r0", "r1", "r2"} <= set(names(""))
    assert names(mine, max_results=2) == ["r2", "r1"]
    assert names(f"{mine} and metrics.x >= 1") == ["r2", "r1"]
    assert names(f"{mine} AND params.p = 'even' AND metrics.x < 2") == ["r0"]
    assert names(f"{mine} and attributes.status = 'FAILED'") == ["r0"]
    assert names(f"{mine} and attributes.status != 'FAILED'", "metrics.x DESC") == ["r2", "r1"]
    assert names(mine, "metrics.x ASC") == ["r0", "r1", "r2"]
    assert names(mine, "attributes.start_time ASC") == ["r0", "r1", "r2"]
    assert names(f"{mine} and metrics.missing > 0") == []


@pytest.mark.needs_server
@pytest.mark.parametrize("filter", ["what", "metrics.x >", "metrics.x = 'text'", "params.p = 1"])
def test_a_filter_that_cannot_be_read_is_named(tracker: RunTracker, filter: str) -> None:
    start(tracker)
    with pytest.raises(InvalidInput) as caught:
        tracker.search_runs(filter)
    assert caught.value.field == "filter"


def test_activations_nest_within_a_project_and_across(two: Two) -> None:
    outer, inner, theirs = start(two.a), start(two.a), start(two.b)
    with two.a.activate(outer.id), two.b.activate(theirs.id), two.a.activate(inner.id):
        two.b.log(theirs.id, metrics={"x": 1})
        two.a.log(outer.id, metrics={"x": 2})
    assert two.a.get_run(outer.id).metrics == {"x": 2.0}
    assert two.b.get_run(theirs.id).metrics == {"x": 1.0}
    assert two.a.get_run(inner.id).status is RunStatus.RUNNING
