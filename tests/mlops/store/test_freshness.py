"""As of when the index of runs is, and metrics that are still to be counted."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mlops.store.indexed_runs import MetricSummary
from mlops.store.run_index import Progress
from mlops.store.store import Store
from mlops.store.uncounted import Counted

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_oldest_reading_counts_and_each_project_has_its_reason(store: Store, add_project) -> None:
    for name in ("alpha", "beta", "gamma"):
        add_project(name)
    store.run_index.finish(Progress())
    assert store.freshness.of().indexed_at is None
    store.freshness.failed("gamma", "x" * 999 + "\0", is_whole=True)
    found = store.freshness.of()
    assert (found.indexed_at, found.is_away, len(found.failing[0].problem)) == (None, True, 300)
    assert store.run_index.progress().projects == {"gamma": ""}, "it is still to be read"
    store.freshness.read("alpha", "space", BEGIN + timedelta(hours=1))
    store.freshness.read("beta", "beta", BEGIN)
    found = store.freshness.of()
    assert (found.indexed_at, found.is_away) == (BEGIN, False)
    assert store.freshness.of(["alpha"]).indexed_at == BEGIN + timedelta(hours=1)
    store.freshness.failed("alpha", "away", is_whole=False)
    assert store.run_index.progress().projects["alpha"] == "space", "it goes on where it was"
    assert store.freshness.of(["alpha"]).failing[0].read_at == BEGIN + timedelta(hours=1)


def test_a_project_that_is_gone_is_not_written_down(store: Store) -> None:
    store.freshness.failed("gone", "away", is_whole=True)
    store.freshness.read("gone", "gone", BEGIN)
    assert store.freshness.of().polled == ()


def test_whoever_reads_tables_again_forgets_when_the_api_told(store: Store, add_project) -> None:
    add_project("alpha")
    store.freshness.read("alpha", "alpha", BEGIN)
    now = BEGIN + timedelta(days=1)
    store.run_index.finish(Progress("tables", 7, {"alpha": "alpha"}, now))
    assert (store.freshness.of().indexed_at, store.freshness.of().polled) == (now, ())


def test_what_is_counted_joins_what_was_seen(store: Store, add_project, add_run) -> None:
    add_project("alpha")
    seen = MetricSummary(0.5, 0.4, 0.5, 3, 3, points=0)
    nothing = MetricSummary(math.nan, math.nan, math.nan, 0, 0, points=0)
    run = add_run("alpha", "a", ended_at=BEGIN)
    store.run_index.put([replace(run, metrics={"loss": seen, "odd": nothing})])
    assert [(each.key, each.is_over) for each in store.uncounted.find("alpha", 9)] == [
        ("loss", True),
        ("odd", True),
    ]
    assert store.uncounted.find("beta", 9) == []
    store.uncounted.put("loss", [Counted("a").with_value(0.9).with_value(math.nan), Counted("none", 1)])
    store.uncounted.put("odd", [Counted("a")])
    assert store.uncounted.find("alpha", 9) == []
    (found,) = store.runs.indexed(["a"])
    assert found.metrics["loss"] == MetricSummary(0.5, 0.4, 0.9, 3, 3, points=2)
    assert repr(found.metrics["odd"].min) == "nan"
