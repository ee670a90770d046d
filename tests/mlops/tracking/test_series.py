"""Series for charts, read from a database that MLflow made."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops.entities import ProjectWorkspace
from mlops.errors import InvalidInput, RunNotFound, ServiceUnavailable
from mlops.tracking.curves import Axis, MetricCurves

ALPHA = ProjectWorkspace.of("alpha", "default", "1", "", Path("/"))
BETA = ProjectWorkspace.of("beta", "beta-workspace", "2", "", Path("/"))
BEGIN_MS = 1_767_225_600_000


@pytest.fixture
def curves(mlflow_database_url: str) -> MetricCurves:
    return MetricCurves(mlflow_database_url)


def rows_of(values: list[float], every_ms: int = 1) -> list[tuple[int, int, float]]:
    """Step, time in ms, value."""
    return [(step, BEGIN_MS + every_ms * step, value) for step, value in enumerate(values)]


def test_extremes_of_every_stretch_stay(curves: MetricCurves, log_curve: Callable[..., str]) -> None:
    values = [random.gauss(0, 1) for _ in range(20_000)]
    values[6_666], values[13_333] = -50.0, 50.0
    run = log_curve(rows_of(values))
    for axis in Axis:
        found = curves.series(ALPHA, run, ["loss"], axis=axis, max_points=200)["loss"]
        assert found["total"] == 20_000
        assert 100 <= len(found["steps"]) <= 200
        assert found["steps"] == sorted(set(found["steps"]))
        assert [values[step] for step in found["steps"]] == found["values"]
        assert [BEGIN_MS + step for step in found["steps"]] == found["times"]
        for begin in range(0, 20_000, 200):
            stretch = range(begin, begin + 200)
            assert min(stretch, key=values.__getitem__) in found["steps"]
            assert max(stretch, key=values.__getitem__) in found["steps"]


def test_a_closer_look_has_finer_points(curves: MetricCurves, log_curve: Callable[..., str]) -> None:
    run = log_curve(rows_of([float(step % 97) for step in range(10_000)], every_ms=100))
    found = curves.series(ALPHA, run, ["loss"], begin=5_000, end=5_099, max_points=200)["loss"]
    assert found["steps"] == list(range(5_000, 5_100))
    span = {"begin": BEGIN_MS + 500_000, "end": BEGIN_MS + 509_900}
    by_time = curves.series(ALPHA, run, ["loss"], axis=Axis.TIME, **span, max_points=200)["loss"]
    assert by_time == found
    assert curves.series(ALPHA, run, ["loss"], begin=10_000) == {}


def test_several_metrics_come_at_once_and_those_that_are_not_there_do_not(
    curves: MetricCurves, log_curve: Callable[..., str], mlflow_database
) -> None:
    run = log_curve(rows_of([1.0, 2.0]))
    mlflow_database.log_metric(run, "other é", 3.0, timestamp=BEGIN_MS, step=7)
    found = curves.series(ALPHA, run, ["loss", "other é", "none", "a\0b", "loss"])
    assert set(found) == {"loss", "other é"}
    assert found["other é"] == {"total": 1, "steps": [7], "times": [BEGIN_MS], "values": [3.0]}


def test_a_stretch_of_nothing_but_nan_is_one(curves: MetricCurves, log_curve: Callable[..., str]) -> None:
    values = [math.nan if 400 <= step < 600 or step % 2 else float(step) for step in range(1000)]
    found = curves.series(ALPHA, log_curve(rows_of(values)), ["loss"], max_points=20)["loss"]
    kinds = [value == "NaN" for value in found["values"]]
    assert any(kinds)
    assert all(400 <= step < 600 for step, is_nan in zip(found["steps"], kinds, strict=True) if is_nan)
    whole = curves.series(ALPHA, log_curve(rows_of([1.0, math.nan])), ["loss"])["loss"]
    assert whole["values"] == [1.0, "NaN"]


def test_steps_of_the_widest_range_are_read(curves: MetricCurves, log_curve: Callable[..., str]) -> None:
    steps = [-(2**62), *range(30), 2**62]
    run = log_curve([(step, BEGIN_MS, float(place)) for place, step in enumerate(steps)])
    found = curves.series(ALPHA, run, ["loss"], max_points=4)["loss"]
    assert {0.0, 31.0} <= set(found["values"])
    everything = curves.series(ALPHA, run, ["loss"], begin=-(2**80), end=2**80)["loss"]
    assert everything["steps"] == steps


def test_a_run_that_is_not_the_projects_is_not_found(
    curves: MetricCurves, log_curve: Callable[..., str]
) -> None:
    run = log_curve(rows_of([1.0]))
    for workspace, name in ((BETA, run), (ALPHA, "0" * 32), (ALPHA, "a\0b"), (ALPHA, "")):
        with pytest.raises(RunNotFound):
            curves.series(workspace, name, ["loss"])


@pytest.mark.parametrize("most", [3, 10_001])
def test_too_few_or_many_points_are_refused(curves: MetricCurves, most: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        curves.series(ALPHA, "0" * 32, ["loss"], max_points=most)
    assert caught.value.field == "max_points"


def test_a_dead_database_is_named() -> None:
    with pytest.raises(ServiceUnavailable, match="postgres"):
        MetricCurves("postgresql://mlops:x@127.0.0.1:1/mlflow").series(ALPHA, "0" * 32, ["loss"])
