"""Runs side by side: what differs, what is best, and by how much."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from mlops.entities import RunStatus
from mlops.errors import InvalidInput
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.tracking.side_by_side import place_of, read_run, read_runs, side_by_side


def run(id: str, params: dict[str, str] | None = None, **metrics: tuple[float, float, float]) -> IndexedRun:
    """A run whose metrics are given as last, min, max."""
    found = {name: MetricSummary(*values) for name, values in metrics.items()}
    now = datetime.now(UTC)
    return IndexedRun(id, "alpha", id, "all", RunStatus.FINISHED, now, params=params or {}, metrics=found)


def test_what_differs_is_told_from_what_does_not() -> None:
    found = side_by_side([run("a", {"lr": "1", "seed": "0"}), run("b", {"lr": "2", "seed": "0", "x": "1"})])
    assert {row.name: row.values for row in found.params if row.differs} == {
        "lr": ("1", "2"), "x": (None, "1"),
    }  # fmt: skip
    assert [row.name for row in found.params if not row.differs] == ["seed"]


def test_the_best_is_known_where_the_direction_is() -> None:
    runs = [
        run("a", loss=(0.3, 0.1, 0.9), accuracy=(0.8, 0.1, 0.9), odd=(1, 1, 1)),
        run("b", loss=(0.2, 0.2, 0.8), accuracy=(0.8, 0.2, 0.8)),
        run("c", loss=(math.nan, math.nan, math.nan)),
    ]
    rows = {row.name: row for row in side_by_side(runs).metrics}
    assert [each and each.is_best for each in rows["loss"].figures] == [False, True, False]
    assert [each and each.is_best for each in rows["accuracy"].figures] == [True, True, None]
    assert rows["odd"].higher_is_better is None
    assert not rows["odd"].figures[0].is_best
    best = {row.name: row for row in side_by_side(runs, by_best=True, ways={"odd": False}).metrics}
    assert [each and each.is_best for each in best["loss"].figures] == [True, False, False]
    assert [each and each.best for each in best["accuracy"].figures] == [0.9, 0.8, None]
    assert best["odd"].figures[0].is_best


def test_differences_are_to_the_baseline() -> None:
    runs = [run("a", loss=(0.5, 0.1, 1)), run("b", loss=(0.25, 0.25, 1)), run("c")]
    (row,) = side_by_side(runs, 0).metrics
    assert [each and each.difference for each in row.figures] == [None, -0.25, None]
    (row,) = side_by_side(runs, 0, by_best=True).metrics
    assert row.figures[1].difference == pytest.approx(0.15)
    (row,) = side_by_side(runs, 2).metrics
    assert [each and each.difference for each in row.figures] == [None, None, None]


def test_runs_are_named_by_project_and_id() -> None:
    assert read_run("alpha/0a/b") == ("alpha", "0a/b")
    assert read_runs(["alpha/1", "beta/1", "alpha/1"]) == (("alpha", "1"), ("beta", "1"))
    assert place_of("beta/1", (("alpha", "1"), ("beta", "1"))) == 1
    assert place_of("", ()) is None
    for odd in ("", "alpha", "/1", "alpha/"):
        with pytest.raises(InvalidInput):
            read_run(odd)
    with pytest.raises(InvalidInput, match="too many"):
        read_runs([f"alpha/{number}" for number in range(21)])
    with pytest.raises(InvalidInput, match="none of the runs"):
        place_of("alpha/2", (("alpha", "1"),))
