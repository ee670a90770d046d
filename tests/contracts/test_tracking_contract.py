"""What every run tracker promises, run over each of them, with two projects."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.entities import DataVersion, Run, RunStatus
from mlops.errors import InvalidInput, RunEnded, RunNotFound
from mlops.tracking.base import RunTracker
from mlops.tracking.memory import MemoryTracker
from mlops.tracking.mlflow import MLflowTracker

DATA = DataVersion("contract-a", "data/raw", "0" * 32 + ".dir", 1234, 7, "abc123", True, "/remotes/a")


@dataclass(frozen=True)
class Two:
    """The trackers of two projects."""

    a: RunTracker
    b: RunTracker


@pytest.fixture(params=["memory", "mlflow"])
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    if request.param == "memory":
        return Two(MemoryTracker(project="contract-a"), MemoryTracker(project="contract-b"))
    accounts = request.getfixturevalue("mlflow_accounts")
    return Two(*(MLflowTracker(**account.settings()) for account in accounts))


@pytest.fixture
def tracker(two: Two) -> RunTracker:
    return two.a


def start(tracker: RunTracker, name: str | None = None, **tags: str) -> Run:
    return tracker.start_run(name, tags, None)


def test_a_started_run_is_running_and_names_its_project(tracker: RunTracker) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    run = tracker.start_run("first", {"kind": "test"}, None)
    assert (run.project, run.name, run.status) == ("contract-a", "first", RunStatus.RUNNING)
    assert run.tags["kind"] == "test"
    assert before < run.started_at < datetime.now(UTC) + timedelta(seconds=5)
    assert run.ended_at is None
    assert tracker.get_run(run.id) == run


def test_a_run_without_a_name_gets_one(tracker: RunTracker) -> None:
    assert start(tracker).name


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


@pytest.mark.parametrize("filter", ["what", "metrics.x >", "metrics.x = 'text'", "params.p = 1"])
def test_a_filter_that_cannot_be_read_is_named(tracker: RunTracker, filter: str) -> None:
    start(tracker)
    with pytest.raises(InvalidInput) as caught:
        tracker.search_runs(filter)
    assert caught.value.field == "filter"


def attempts(tracker: RunTracker, run_id: str, file: Path) -> list[Callable[[], object]]:
    """Every verb that takes a run's id."""
    return [
        lambda: tracker.get_run(run_id),
        lambda: tracker.end_run(run_id, RunStatus.KILLED),
        lambda: tracker.log(run_id, params={"forged": 1}, metrics={"forged": 1}, tags={"forged": "1"}),
        lambda: tracker.log(run_id, data=DATA),
        lambda: tracker.log_artifact(run_id, file),
        lambda: tracker.activate(run_id).__enter__(),
    ]


def test_an_unknown_id_is_not_found(tracker: RunTracker, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("x")
    for attempt in attempts(tracker, uuid.uuid4().hex, tmp_path / "f.txt"):
        with pytest.raises(RunNotFound):
            attempt()


def test_another_projects_run_is_unknown_to_every_verb(two: Two, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("x")
    theirs = start(two.b, "theirs")
    with two.b.activate(theirs.id):
        for attempt in attempts(two.a, theirs.id, tmp_path / "f.txt"):
            with pytest.raises(RunNotFound) as caught:
                attempt()
            assert (caught.value.project, caught.value.run_id) == ("contract-a", theirs.id)
    assert two.b.get_run(theirs.id) == theirs
    assert theirs.id not in {run.id for run in two.a.search_runs(max_results=1000)}
    assert two.a.search_runs(f"attributes.run_id = '{theirs.id}'") == []


def test_another_projects_run_is_unknown_from_a_thread_too(two: Two, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("x")
    theirs = start(two.b)
    outcomes: list[object] = []

    def try_all() -> None:
        for attempt in attempts(two.a, theirs.id, tmp_path / "f.txt"):
            try:
                outcomes.append(attempt())
            except Exception as error:
                outcomes.append(type(error))

    with two.b.activate(theirs.id):
        thread = threading.Thread(target=try_all)
        thread.start()
        thread.join()
    assert outcomes == [RunNotFound] * 6
    assert two.b.get_run(theirs.id) == theirs


def test_two_projects_interleaved_in_two_threads_stay_apart(two: Two) -> None:
    meet = threading.Barrier(2, timeout=60)
    made: dict[str, Run] = {}
    failed: list[BaseException] = []

    def work(who: str, mine: RunTracker) -> None:
        try:
            run = made[who] = mine.start_run(who, {}, None)
            with mine.activate(run.id):
                for step in range(5):
                    meet.wait()
                    mine.log(run.id, metrics={who: step}, step=step)
                    meet.wait()
                    other = made["b" if who == "a" else "a"].id
                    with pytest.raises(RunNotFound):
                        mine.log(other, metrics={"forged": 1})
            mine.end_run(run.id, RunStatus.FINISHED)
        except BaseException as error:
            failed.append(error)
            meet.abort()

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", two.a), ("b", two.b))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert two.a.get_run(made["a"].id).metrics == {"a": 4.0}
    assert two.b.get_run(made["b"].id).metrics == {"b": 4.0}


def test_activations_nest_within_a_project_and_across(two: Two) -> None:
    outer, inner, theirs = start(two.a), start(two.a), start(two.b)
    with two.a.activate(outer.id), two.b.activate(theirs.id), two.a.activate(inner.id):
        two.b.log(theirs.id, metrics={"x": 1})
        two.a.log(outer.id, metrics={"x": 2})
    assert two.a.get_run(outer.id).metrics == {"x": 2.0}
    assert two.b.get_run(theirs.id).metrics == {"x": 1.0}
    assert two.a.get_run(inner.id).status is RunStatus.RUNNING
