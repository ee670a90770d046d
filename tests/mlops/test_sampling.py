"""A long history in few points: its ends and extremes stay, and memory does not grow with it."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from mlops.errors import InvalidInput
from mlops.tracking.results import MetricHistory, MetricPoint
from mlops.tracking.sampling import downsampled

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def point(step: int, value: float) -> MetricPoint:
    return MetricPoint(step, BEGIN + timedelta(milliseconds=step), value)


def points(values: list[float]) -> list[MetricPoint]:
    return [point(step, value) for step, value in enumerate(values)]


@pytest.mark.parametrize("count", [0, 1, 4, 99, 100])
def test_a_short_history_is_kept_whole(count: int) -> None:
    whole = points([random.random() for _ in range(count)])
    kept = downsampled(iter(whole), 100)
    assert (list(kept), kept.total) == (whole, count)


@pytest.mark.parametrize("count", [101, 102, 199, 200, 201, 1000, 12_345])
@pytest.mark.parametrize("most", [4, 5, 10, 100])
def test_ends_and_extremes_of_a_long_history_stay(count: int, most: int) -> None:
    values = [random.gauss(0, 1) for _ in range(count)]
    whole = points(values)
    kept = downsampled(iter(whole), most)
    assert len(kept) <= most
    assert kept.total == count
    assert (kept[0], kept[-1]) == (whole[0], whole[-1])
    assert {min(values), max(values)} <= {each.value for each in kept}
    assert set(kept) <= set(whole)
    assert [each.step for each in kept] == sorted({each.step for each in kept})


def test_the_points_lie_over_the_whole_length() -> None:
    kept = downsampled(iter(points([random.random() for _ in range(50_000)])), 1000)
    assert len(kept) >= 400
    gaps = [after.step - before.step for before, after in pairwise(kept)]
    assert max(gaps) <= 2 * 50_000 / 200


def test_a_lonely_spike_is_found_wherever_it_is() -> None:
    for at in (0, 1, 777, 4999):
        values = [0.5] * 5000
        values[at] = 9.0
        assert point(at, 9.0) in downsampled(iter(points(values)), 10)


def test_nan_hides_no_extreme_and_stays_where_nothing_else_is() -> None:
    values = [math.nan if i % 2 else float(i) for i in range(1000)]
    kept = [each.value for each in downsampled(iter(points(values)), 20)]
    assert {0.0, 998.0} <= set(kept)
    assert math.isnan(kept[-1])
    assert all(math.isnan(each.value) for each in downsampled(iter(points([math.nan] * 1000)), 20))


def test_steps_come_back_in_order_and_the_last_is_mlflows() -> None:
    resumed = [*points([1.0] * 500), *(point(step, 2.0) for step in range(100, 300))]
    kept = downsampled(iter(resumed), 20)
    assert [each.step for each in kept] == sorted(each.step for each in kept)
    assert (kept[-1].step, kept[-1].value) == (499, 1.0)


def test_memory_does_not_grow_with_the_history() -> None:
    def many() -> Iterator[MetricPoint]:
        for step in range(200_000):
            yield MetricPoint(step, BEGIN, float(step % 997))

    tracemalloc.start()
    try:
        kept = downsampled(many(), 1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kept.total == 200_000
    assert peak < 2_000_000


@pytest.mark.parametrize("few", [-1, 0, 3])
def test_too_few_points_are_refused(few: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        downsampled(iter(()), few)
    assert caught.value.field == "max_points"


def test_a_history_is_a_data_frame() -> None:
    frame = MetricHistory(points([1.5, math.nan])).frame()
    assert list(frame.columns) == ["step", "time", "value"]
    assert frame["step"].tolist() == [0, 1]
    assert frame["time"].tolist() == [BEGIN, BEGIN + timedelta(milliseconds=1)]
    assert math.isnan(frame["value"][1])
    empty = MetricHistory().frame()
    assert (len(empty), list(empty.dtypes)) == (0, list(frame.dtypes))
