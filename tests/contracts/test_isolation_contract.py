"""No call of one project reaches a run of another, whose keys and ids it knows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops.entities import DataVersion, Run, RunStatus
from mlops.errors import RunNotFound, ServiceUnavailable
from mlops.tracking.base import RunTracker
from mlops.tracking.compare import compare
from tests.trackers import Two, names_of, pytest_generate_tests, start  # noqa: F401

DATA = DataVersion("contract-a", "data/raw", "0" * 32 + ".dir", 1234, 7, "abc123", True, "/remotes/a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "f.txt").write_text("x")
    return tmp_path / "f.txt"


def attempts(tracker: RunTracker, run_id: str, file: Path) -> dict[str, Callable[[], object]]:
    """Every verb that takes a run's key or id."""
    own = start(tracker, "own")
    return {
        "get_run": lambda: tracker.get_run(run_id),
        "metric_history": lambda: tracker.metric_history(run_id, "x"),
        "compare": lambda: compare(tracker, [own.id, run_id]),
        "snapshot": lambda: tracker.snapshot(run_id),
        "log": lambda: tracker.log(run_id, params={"forged": 1}, metrics={"x": 99}, tags={"forged": "1"}),
        "metric_writer": lambda: tracker.metric_writer(run_id)({"x": 99}, 0),
        "log metrics": lambda: tracker.log(run_id, metrics={"x": 99}),
        "log data": lambda: tracker.log(run_id, data=DATA),
        "log_artifact": lambda: tracker.log_artifact(run_id, file),
        "output_folder": lambda: tracker.output_folder(run_id),
        "owns": lambda: tracker.owns(run_id),
        "past": lambda: tracker.past(run_id),
        "activate": lambda: tracker.activate(run_id).__enter__(),
        "resume_run": lambda: tracker.resume_run(run_id),
        "end_run": lambda: tracker.end_run(run_id, RunStatus.KILLED),
        "delete_run": lambda: tracker.delete_run(run_id),
        "restore_run": lambda: tracker.restore_run(run_id),
    }


def outcomes(tracker: RunTracker, run_id: str, file: Path) -> dict[str, object]:
    """What each attempt came to: the error's class, or what it returned."""
    found: dict[str, object] = {}
    for verb, attempt in attempts(tracker, run_id, file).items():
        try:
            found[verb] = attempt()
        except RunNotFound as error:
            told = (error.fields["project"], error.fields["run_id"]) == ("contract-a", run_id)
            found[verb] = RunNotFound if told else error
        except Exception as error:
            found[verb] = type(error)
    return found


def assert_unknown(found: dict[str, object]) -> None:
    assert {verb: what for verb, what in found.items() if what is not RunNotFound} == {}


def test_every_verb_of_the_tracker_is_attempted(tracker: RunTracker, file: Path) -> None:
    ours = {name for base in type(tracker).__mro__ for name in vars(base) if not name.startswith("_")}
    verbs = {name for name in ours if callable(getattr(type(tracker), name, None))}
    tried = {attempt.split()[0] for attempt in attempts(tracker, "r-0", file)} | {"metric_history"}
    assert verbs - tried <= {"start_run", "search_runs"}


@pytest.mark.needs_server
@pytest.mark.parametrize("unknown", ["0" * 32, "r-" + "0" * 32, "../x", "", "a' or 'b"])
def test_an_unknown_id_is_not_found(tracker: RunTracker, file: Path, unknown: str) -> None:
    assert_unknown(outcomes(tracker, unknown, file))


def test_another_projects_open_run_is_unknown_to_every_verb(two: Two, file: Path) -> None:
    theirs = start(two.b, "theirs")
    two.b.log(theirs.id, metrics={"x": 1})
    before = two.b.get_run(theirs.id)
    with two.b.activate(theirs.id):
        for name in names_of(theirs, two.b):
            found = outcomes(two.a, name, file)
            allowed = [RunNotFound, *([ServiceUnavailable] if theirs.mlflow_id is None else [])]
            assert {verb: what for verb, what in found.items() if what not in allowed} == {}
    assert two.b.get_run(theirs.id) == before
    two.b.log(theirs.id, metrics={"x": 2}, step=1)
    assert two.b.end_run(theirs.id, RunStatus.FINISHED).metrics == {"x": 2.0}


@pytest.mark.needs_server
def test_another_projects_ended_run_is_unknown_to_every_verb(two: Two, file: Path) -> None:
    theirs = start(two.b, "theirs")
    two.b.log(theirs.id, metrics={"x": 1}, params={"p": 1})
    before = two.b.end_run(theirs.id, RunStatus.FINISHED)
    for mine in (two.a, two.again().a):
        for name in names_of(theirs, two.b):
            assert_unknown(outcomes(mine, name, file))
    assert two.again().b.get_run(theirs.key) == before
    assert [point.value for point in two.b.metric_history(theirs.key, "x")] == [1.0]


@pytest.mark.needs_server
def test_another_projects_deleted_run_is_neither_read_nor_restored(two: Two, file: Path) -> None:
    theirs = start(two.b, "theirs")
    two.b.log(theirs.id, metrics={"x": 1})
    before = two.b.end_run(theirs.id, RunStatus.FINISHED)
    names = names_of(theirs, two.b)
    two.b.delete_run(theirs.key)
    for name in names:
        assert_unknown(outcomes(two.a, name, file))
        with pytest.raises(RunNotFound):
            two.b.get_run(name)
    assert two.b.restore_run(theirs.key) == before


@pytest.mark.needs_server
def test_another_projects_runs_are_in_no_list(two: Two) -> None:
    theirs = start(two.b, "theirs", mark="theirs")
    two.b.log(theirs.id, metrics={"only-b": 1})
    names = names_of(theirs, two.b)
    start(two.a)
    assert not names & {run.id for run in two.a.search_runs(max_results=10_000)}
    assert not names & {run.key for run in two.a.search_runs(max_results=10_000)}
    for name in names:
        assert two.a.search_runs(f"attributes.run_id = '{name}'") == []
    assert two.a.search_runs("tags.mark = 'theirs'") == []
    assert two.a.search_runs("metrics.`only-b` = 1") == []
    first = two.b.search_runs(max_results=1)
    if first.next_token is not None:  # a page of theirs shows ours alone
        assert not names & {run.id for run in two.a.search_runs(page_token=first.next_token)}


@pytest.mark.needs_server
def test_another_projects_run_is_unknown_from_a_thread_too(two: Two, file: Path) -> None:
    theirs = start(two.b)
    two.b.log(theirs.id, metrics={"x": 1})
    before = two.b.get_run(theirs.id)
    found: list[dict[str, object]] = []

    def try_all(name: str) -> None:
        found.append(outcomes(two.a, name, file))

    with two.b.activate(theirs.id):
        threads = [threading.Thread(target=try_all, args=(name,)) for name in names_of(theirs, two.b)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == len(threads)
    for each in found:
        assert_unknown(each)
    assert two.b.get_run(theirs.id) == before


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
                    other = made["b" if who == "a" else "a"]
                    for name in (other.id, other.key):
                        with pytest.raises((RunNotFound, ServiceUnavailable)):
                            mine.log(name, metrics={"forged": 1})
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
