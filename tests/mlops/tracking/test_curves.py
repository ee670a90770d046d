"""Histories thinned out by a database that MLflow made: exact, and of one project alone."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Metric

from mlops.entities import ProjectWorkspace
from mlops.errors import InvalidInput, MetricNotFound, RunNotFound, ServiceUnavailable
from mlops.tracking.curves import MetricCurves
from mlops.tracking.results import MetricHistory, MetricPoint
from mlops.tracking.sampling import downsampled

ALPHA = ProjectWorkspace.of("alpha", "default", "1", "", Path("/"))
BETA = ProjectWorkspace.of("beta", "beta-workspace", "2", "", Path("/"))
BEGIN_MS = 1_767_225_600_000


@pytest.fixture
def curves(mlflow_database_url: str) -> MetricCurves:
    return MetricCurves(mlflow_database_url)


def rows_of(values: list[float]) -> list[tuple[int, int, float]]:
    """Step, time in ms, value."""
    return [(step, BEGIN_MS + step, value) for step, value in enumerate(values)]


def told(history: list[MetricPoint]) -> list[tuple[int, datetime, str]]:
    """Comparable, NaN included."""
    return [(point.step, point.time, repr(point.value)) for point in history]


def test_ends_and_extremes_of_a_long_history_stay(
    curves: MetricCurves, log_curve: Callable[..., str]
) -> None:
    values = [random.gauss(0, 1) for _ in range(100_000)]
    values[33_333], values[66_667] = -50.0, 50.0
    run = log_curve(rows_of(values))
    for most in (4, 5, 100, 1000, 10_000):
        kept = curves.history(ALPHA, run, "loss", most)
        assert kept.total == 100_000
        assert most / 2 <= len(kept) <= most
        assert (kept[0].step, kept[-1].step) == (0, 99_999)
        assert all(values[point.step] == point.value for point in kept)
        assert all(point.time.timestamp() * 1000 == BEGIN_MS + point.step for point in kept)
        assert {-50.0, 50.0} <= {point.value for point in kept}
        assert [point.step for point in kept] == sorted({point.step for point in kept})
    steps = {point.step for point in curves.history(ALPHA, run, "loss", 1002)}
    for start in range(0, 100_000, 200):
        stretch = range(start, start + 200)
        assert min(stretch, key=values.__getitem__) in steps
        assert max(stretch, key=values.__getitem__) in steps


@pytest.mark.parametrize("count", [1, 2, 99, 100])
def test_a_short_history_is_whole_and_ordered_as_the_other_way_of_reading(
    curves: MetricCurves, log_curve: Callable[..., str], count: int
) -> None:
    rows: dict[tuple[int, int, str], tuple[int, int, float]] = {}  # the database takes none twice
    while len(rows) < count:
        row = random.randrange(9), BEGIN_MS + random.randrange(9), random.choice((1.0, -1.0, math.nan))
        rows[row[0], row[1], repr(row[2])] = row
    chosen = list(rows.values())
    kept = curves.history(ALPHA, log_curve(chosen), "loss", 100)
    points = [MetricPoint(step, datetime.fromtimestamp(ms / 1000, UTC), value) for step, ms, value in chosen]
    assert told(kept) == told(downsampled(points, 100))
    assert kept.total == len(chosen)


def test_values_at_one_step_are_spread_by_time(curves: MetricCurves, log_curve: Callable[..., str]) -> None:
    kept = curves.history(ALPHA, log_curve([(0, BEGIN_MS + i, i % 7) for i in range(5000)]), "loss", 100)
    assert len(kept) >= 50
    times = [round(point.time.timestamp() * 1000) - BEGIN_MS for point in kept]
    assert (times[0], times[-1]) == (0, 4999)
    assert times == sorted(set(times))


def test_a_resumed_run_is_read_by_step(curves: MetricCurves, log_curve: Callable[..., str]) -> None:
    again = [(step, BEGIN_MS + 10_000 + step, 2.0) for step in range(100, 300)]
    kept = curves.history(ALPHA, log_curve([*rows_of([1.0] * 500), *again]), "loss", 20)
    assert [point.step for point in kept] == sorted(point.step for point in kept)
    assert (kept[-1].step, kept[-1].value) == (499, 1.0)
    assert {1.0, 2.0} == {point.value for point in kept}


def test_nan_hides_no_extreme_and_stays_where_nothing_else_is(
    curves: MetricCurves, log_curve: Callable[..., str]
) -> None:
    odd = [math.nan if i % 2 else float(i + 1) for i in range(1000)]
    kept = [point.value for point in curves.history(ALPHA, log_curve(rows_of(odd)), "loss", 20)]
    assert {1.0, 999.0} <= set(kept)
    assert [math.isnan(value) for value in kept] == [False] * (len(kept) - 1) + [True]
    none = curves.history(ALPHA, log_curve(rows_of([math.nan] * 1000)), "loss", 20)
    assert len(none) >= 9
    assert all(math.isnan(point.value) for point in none)


def test_what_mlflow_itself_wrote_is_read(
    curves: MetricCurves, mlflow_database: mlflow.MlflowClient, log_curve: Callable[..., str]
) -> None:
    run = log_curve()
    values = (0.25, math.nan, math.inf, -math.inf)
    mlflow_database.log_batch(
        run, metrics=[Metric("train/loss é", v, BEGIN_MS + s, s) for s, v in enumerate(values)]
    )
    kept = curves.history(ALPHA, run, "train/loss é")
    through_mlflow = mlflow_database.get_metric_history(run, "train/loss é")
    assert [repr(point.value) for point in kept] == [repr(each.value) for each in through_mlflow]
    assert [point.step for point in kept] == [0, 1, 2, 3]


def test_a_run_goes_by_its_key_or_its_id(curves: MetricCurves, log_curve: Callable[..., str]) -> None:
    key = f"r-{uuid.uuid4().hex}"
    run = log_curve(rows_of([1.0, 2.0]), key=key)
    assert told(curves.history(ALPHA, run, "loss")) == told(curves.history(ALPHA, key, "loss"))
    with pytest.raises(MetricNotFound) as caught:
        curves.history(ALPHA, key, "none")
    assert caught.value.fields == {"project": "alpha", "metric": "none", "run_id": key}


def test_a_run_of_another_workspace_is_unknown(curves: MetricCurves, log_curve: Callable[..., str]) -> None:
    key = f"r-{uuid.uuid4().hex}"
    run = log_curve(rows_of([1.0, 2.0]), key=key)
    for name in (run, key):
        with pytest.raises(RunNotFound) as caught:
            curves.history(BETA, name, "loss")
        assert caught.value.fields == {"project": "beta", "run_id": name}


def test_the_same_key_in_two_workspaces_is_two_runs(
    curves: MetricCurves, log_curve: Callable[..., str]
) -> None:
    theirs = log_curve(rows_of([666.0] * 3), workspace=BETA.namespace)
    for name in (f"r-{uuid.uuid4().hex}", theirs):  # a tag can be forged, also as an id
        log_curve(rows_of([1.0]), key=name)
        if name != theirs:
            log_curve(rows_of([666.0] * 3), key=name, workspace=BETA.namespace)
        assert [point.value for point in curves.history(ALPHA, name, "loss")] == [1.0]
        assert [point.value for point in curves.history(BETA, name, "loss")] == [666.0] * 3


def test_a_deleted_run_is_unknown(
    curves: MetricCurves, log_curve: Callable[..., str], mlflow_database: mlflow.MlflowClient
) -> None:
    key = f"r-{uuid.uuid4().hex}"
    run = log_curve(rows_of([1.0, 2.0]), key=key)
    mlflow_database.delete_run(run)
    for name in (run, key):
        with pytest.raises(RunNotFound):
            curves.history(ALPHA, name, "loss")
    mlflow_database.restore_run(run)
    assert len(curves.history(ALPHA, key, "loss")) == 2


@pytest.mark.parametrize("name", ["0" * 32, "r-0", "", "../x", "a' or 'b", "a\0b", "x" * 300])
def test_an_unknown_id_is_not_found(curves: MetricCurves, log_curve: Callable[..., str], name: str) -> None:
    log_curve(rows_of([1.0]))
    with pytest.raises(RunNotFound):
        curves.history(ALPHA, name, "loss")


@pytest.mark.parametrize("key", ["", "a\0b", "los", "loss%", "x" * 300, "l' or 'l", "\ud800"])
def test_an_unknown_metric_is_not_found(
    curves: MetricCurves, log_curve: Callable[..., str], key: str
) -> None:
    run = log_curve(rows_of([1.0]))
    with pytest.raises(MetricNotFound):
        curves.history(ALPHA, run, key)


@pytest.mark.parametrize("most", [-1, 0, 3, 10_001, 2**70])
def test_too_few_or_many_points_are_refused(curves: MetricCurves, most: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        curves.history(ALPHA, "0" * 32, "loss", most)
    assert caught.value.field == "max_points"


def test_a_database_without_mlflows_tables_has_no_runs(database_url: str) -> None:
    with pytest.raises(RunNotFound):
        MetricCurves(database_url).history(ALPHA, "0" * 32, "loss")


def test_a_dead_database_is_named() -> None:
    with pytest.raises(ServiceUnavailable, match="postgres"):
        MetricCurves("postgresql://mlops:x@127.0.0.1:1/mlflow").history(ALPHA, "0" * 32, "loss")


def test_columns_are_read_back() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    values = (1e-300, 2**60 + 0.0, math.nan, math.inf, -math.inf)
    history = MetricHistory([MetricPoint(2**60 + i, time, value) for i, value in enumerate(values)], 9)
    columns = history.columns()
    assert columns["values"][2:] == ["NaN", "Infinity", "-Infinity"]
    again = MetricHistory.from_columns(columns)
    assert (told(again), again.total) == (told(history), 9)
