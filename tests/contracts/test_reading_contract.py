"""What every run tracker promises of reading back, run over each of them."""

from __future__ import annotations

import math
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops.entities import DataVersion, Run, RunStatus
from mlops.errors import InvalidInput, MetricNotFound, RunNotFound, RunOpen
from mlops.tracking import reading
from mlops.tracking.base import RunTracker
from mlops.tracking.compare import best, compare
from tests.trackers import Two, names_of, pytest_generate_tests, start  # noqa: F401

pytestmark = pytest.mark.needs_server


def finished(tracker: RunTracker, group: str, metrics: dict[str, float], **params: object) -> Run:
    run = start(tracker, None, group=group)
    tracker.log(run.id, metrics=metrics, params=params)
    return tracker.end_run(run.id, RunStatus.FINISHED)


def test_every_reading_verb_takes_a_key_or_an_id(two: Two, tmp_path: Path) -> None:
    runs = [finished(two.a, "g", {"loss": value}) for value in (1.0, 2.0)]
    for folder in tmp_path.glob("*/contract-a"):
        shutil.rmtree(folder, ignore_errors=True)  # a delivery may be at it, too
    for mine in (two.a, two.again().a):
        for run in runs:
            for name in names_of(run, mine):
                assert mine.get_run(name) == run
                assert [point.value for point in mine.metric_history(name, "loss")] == [run.metrics["loss"]]
                mine.delete_run(name)
                with pytest.raises(RunNotFound):
                    mine.get_run(name)
                assert mine.restore_run(name) == run
        for ids in ([run.key for run in runs], [run.id for run in runs], [runs[0].key, runs[1].id]):
            assert compare(mine, ids).runs == runs


def test_a_run_tells_the_data_it_used_and_is_found_by_it(tracker: RunTracker) -> None:
    digest = f"{uuid.uuid4().hex}.dir"
    used = DataVersion("contract-a", "data/raw", digest, 1234, 7, "abc123", True, "/remotes/a")
    also = replace(used, path="labels.csv", hash=uuid.uuid4().hex, git_dirty=False)
    later = replace(used, git_revision="def456", git_dirty=False)  # the same content, committed since
    runs = []
    for data in ((used, used, also), (later,), ()):
        run = start(tracker)
        for version in data:
            tracker.log(run.id, data=version)
        runs.append(tracker.end_run(run.id, RunStatus.FINISHED))
    assert sorted(tracker.get_run(runs[0].key).data, key=lambda each: each.path) == [used, also]
    assert tracker.get_run(runs[1].key).data == (later,)
    assert tracker.get_run(runs[2].key).data == ()
    for key in ("dataset", "datasets"):
        found = tracker.search_runs(f"{key}.digest = '{digest}'")
        assert {run.key for run in found} == {runs[0].key, runs[1].key}
    assert [run.key for run in tracker.search_runs(f"dataset.digest = '{also.hash}'")] == [runs[0].key]
    both = f"dataset.name = 'data/raw' AND dataset.digest = '{digest}' AND dataset.context = 'training'"
    assert {run.key for run in tracker.search_runs(both)} == {runs[0].key, runs[1].key}
    with pytest.raises(InvalidInput):
        tracker.search_runs("dataset.color = 'x'")


def test_what_is_declared_gives_way_to_what_is_used(tracker: RunTracker) -> None:
    declared = DataVersion(
        "contract-a", "data/raw", f"{uuid.uuid4().hex}.dir", 9, 1, "abc", False, "/remotes/a", declared=True
    )
    used = replace(declared, hash=f"{uuid.uuid4().hex}.dir", declared=False)
    other = replace(declared, path="labels.csv")
    run = start(tracker)
    tracker.log(run.id, data=declared)
    tracker.log(run.id, data=other)
    assert set(tracker.get_run(run.key).data) == {declared, other}
    tracker.log(run.id, data=used)
    assert set(tracker.get_run(run.key).data) == {used, other}
    tracker.log(run.id, data=replace(other, declared=False))  # the same version
    assert set(tracker.get_run(run.key).data) == {used, replace(other, declared=False)}
    assert [each.key for each in tracker.search_runs(f"dataset.digest = '{used.hash}'")] == [run.key]


def test_runs_are_read_page_by_page(tracker: RunTracker) -> None:
    group = uuid.uuid4().hex
    keys = [start(tracker, f"r{i}", group=group).key for i in range(5)]
    mine, order = f"tags.group = '{group}'", "attributes.start_time ASC, attributes.run_name ASC"
    found: list[str] = []
    token = None
    for size in (2, 2, 1):
        page = tracker.search_runs(mine, order, 2, token)
        assert len(page) == size
        found += [run.key for run in page]
        token = page.next_token
    assert (token, found) == (None, keys)
    whole = tracker.search_runs(mine, order, 60_000)
    assert ([run.key for run in whole], whole.next_token) == (keys, None)


def test_one_search_gathers_many_pages(tracker: RunTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_RUNS_PAGE", 2)
    group = uuid.uuid4().hex
    keys = {start(tracker, group=group).key for _ in range(5)}
    found = tracker.search_runs(f"tags.group = '{group}'", "", 4)
    assert len(found) == 4
    rest = tracker.search_runs(f"tags.group = '{group}'", "", 4, found.next_token)
    assert {run.key for run in [*found, *rest]} == keys
    assert rest.next_token is None


def test_several_keys_order_runs_and_nan_comes_after_numbers(tracker: RunTracker) -> None:
    group = uuid.uuid4().hex
    for name, value, side in (("a", 1.0, 2), ("b", 2.0, 1), ("c", 1.0, 1), ("n", math.nan, 0)):
        run = start(tracker, name, group=group)
        tracker.log(run.id, metrics={"x": value, "side": side})
    start(tracker, "none", group=group)

    def names(order_by: str) -> str:
        return "".join(run.name[0] for run in tracker.search_runs(f"tags.group = '{group}'", order_by)[:4])

    assert names("metrics.x ASC, metrics.side ASC") == "cabn"
    assert names("metrics.x DESC, metrics.`side` DESC") == "bacn"


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("filter", {"filter": "what", "order_by": "metrics.x ASC"}),
        ("filter", {"filter": "metrics.x >"}),
        ("order_by", {"filter": "metrics.x > 1", "order_by": "metrics.x UP"}),
        ("order_by", {"order_by": "what"}),
        ("page_token", {"filter": "metrics.x > 1", "page_token": "nonsense"}),
        ("max_results", {"max_results": 0}),
    ],
)
def test_what_of_a_search_is_at_fault_is_named(
    tracker: RunTracker,
    field: str,
    call: dict[str, Any],
) -> None:
    start(tracker)
    with pytest.raises(InvalidInput) as caught:
        tracker.search_runs(**call)
    assert caught.value.field == field
    assert caught.value.remedy


def test_the_best_run_is_chosen_by_its_last_value(tracker: RunTracker) -> None:
    group = uuid.uuid4().hex
    mine = f"tags.group = '{group}'"
    with pytest.raises(MetricNotFound) as caught:
        best(tracker, "contract-a", "loss", "min", mine)
    assert (caught.value.project, caught.value.metric) == ("contract-a", "loss")
    finished(tracker, group, {"loss": math.nan})
    with pytest.raises(MetricNotFound):
        best(tracker, "contract-a", "loss", "min", mine)
    first = finished(tracker, group, {"loss": 2.0})
    finished(tracker, group, {"loss": 2.0})
    large = start(tracker, group=group)
    tracker.log(large.id, metrics={"loss": 0.1}, step=0)
    tracker.log(large.id, metrics={"loss": 9.0}, step=1)
    assert best(tracker, "contract-a", "loss", "max", mine).key == first.key  # it still runs
    tracker.end_run(large.id, RunStatus.FINISHED)
    failed = start(tracker, group=group)
    tracker.log(failed.id, metrics={"loss": 0.0})
    tracker.end_run(failed.id, RunStatus.FAILED)
    finished(tracker, group, {"acc": 1.0})
    assert best(tracker, "contract-a", "loss", "min", mine).key == first.key
    assert best(tracker, "contract-a", "loss", "max", mine).key == large.key


def test_the_last_value_is_that_of_the_highest_step(tracker: RunTracker) -> None:
    run = start(tracker)
    tracker.log(run.id, metrics={"x": 5}, step=5)
    tracker.log(run.id, metrics={"x": 1}, step=1)
    assert tracker.get_run(run.id).metrics == {"x": 5.0}
    assert [(point.step, point.value) for point in tracker.metric_history(run.id, "x")] == [
        (1, 1.0),
        (5, 5.0),
    ]


def test_a_history_holds_what_an_open_run_logged_so_far(tracker: RunTracker) -> None:
    run = start(tracker)
    for step, value in enumerate((0.0, math.nan, -math.inf, 1e-300)):
        tracker.log(run.id, metrics={"x": value}, step=step)
    history = tracker.metric_history(run.key, "x")
    assert [point.step for point in history] == [0, 1, 2, 3]
    assert history.total == 4
    assert (history[0].value, history[3].value) == (0.0, 1e-300)
    assert math.isnan(history[1].value)
    assert history[2].value < -1e300
    assert all(run.started_at <= point.time for point in history)


def test_a_long_history_keeps_its_ends(tracker: RunTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_POINTS_PAGE", 100)
    run = start(tracker)
    for step in range(950):
        tracker.log(run.id, metrics={"x": {333: -7.0, 334: 7.0}.get(step, step / 1000)}, step=step)
    tracker.end_run(run.id, RunStatus.FINISHED)
    history = tracker.metric_history(run.id, "x", 50)
    assert 20 <= len(history) <= 50
    assert (history[0].step, history[-1].step) == (0, 949)
    assert history.total == 950
    assert {-7.0, 7.0} <= {point.value for point in history}


def test_a_history_of_nothing_is_named(tracker: RunTracker) -> None:
    run = start(tracker)
    with pytest.raises(MetricNotFound) as caught:
        tracker.metric_history(run.id, "none")
    assert (caught.value.metric, caught.value.run_id) == ("none", run.id)
    with pytest.raises(InvalidInput):
        tracker.metric_history(run.id, "none", 3)


def test_a_deleted_run_is_unknown_until_it_is_restored(two: Two) -> None:
    group = uuid.uuid4().hex
    run = finished(two.a, group, {"loss": 1.0}, rate=0.1)
    two.a.delete_run(run.key)
    for mine in (two.a, two.again().a):
        for name in {run.key, run.id}:
            with pytest.raises(RunNotFound):
                mine.get_run(name)
            with pytest.raises(RunNotFound):
                mine.metric_history(name, "loss")
            with pytest.raises(RunNotFound):
                mine.delete_run(name)
        assert mine.search_runs(f"tags.group = '{group}'") == []
        with pytest.raises(MetricNotFound):
            best(mine, "contract-a", "loss", "min", f"tags.group = '{group}'")
    assert two.again().a.restore_run(run.key) == run
    assert two.a.restore_run(run.id) == run
    assert two.a.search_runs(f"tags.group = '{group}'") == [run]


def test_a_run_that_is_written_is_not_deleted(tracker: RunTracker) -> None:
    run = start(tracker)
    with pytest.raises(RunOpen) as caught:
        tracker.delete_run(run.key)
    assert "mlops:sync --status" in caught.value.remedy
    tracker.log(run.id, metrics={"x": 1})
    assert tracker.end_run(run.id, RunStatus.FINISHED).metrics == {"x": 1.0}
