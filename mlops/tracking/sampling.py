"""A long metric history in few points, from one pass over it and in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mlops.errors import InvalidInput
from mlops.tracking.results import MetricHistory, MetricPoint

FEWEST = 4
"""The first, the last, the smallest and the largest."""
MOST_AT_SOURCE = 10_000
"""Points that the gateway gives in one answer."""


@dataclass(slots=True)
class _Stretch:
    """Consecutive points, of which the smallest and the largest are known."""

    count: int
    low: MetricPoint
    high: MetricPoint

    def join(self, other: _Stretch) -> None:
        """Take the points of the stretch that follows."""
        self.count += other.count
        if math.isnan(self.low.value):  # and so is the other end: a number takes its place
            self.low, self.high = other.low, other.high
        if other.low.value < self.low.value:
            self.low = other.low
        if other.high.value > self.high.value:
            self.high = other.high


def check_max_points(max_points: int) -> None:
    """Raise `InvalidInput` for a number of points that cannot hold the ends and the extremes."""
    if max_points < FEWEST:
        raise InvalidInput("max_points", max_points, "is too few", remedy=f"Ask for {FEWEST} points or more.")


def downsampled(points: Iterable[MetricPoint], max_points: int) -> MetricHistory:
    """At most `max_points` of the points, by step and time.

    Kept are the first, the last, the smallest and the largest of all, and those of equally long
    stretches between. NaN stays only where a stretch holds nothing else. A history of at most
    `max_points` is kept whole.
    """
    check_max_points(max_points)
    whole: list[MetricPoint] = []
    most = (max_points - 2) // 2
    stretches: list[_Stretch] = []
    width, total = 1, 0
    first: MetricPoint | None = None
    last: MetricPoint | None = None
    for point in points:
        total += 1
        if total <= max_points:
            whole.append(point)
        else:
            whole.clear()
        first = point if first is None or _rank(point) < _rank(first) else first
        last = point if last is None or _rank(point) >= _rank(last) else last
        one = _Stretch(1, point, point)
        if stretches and stretches[-1].count < width:
            stretches[-1].join(one)
            continue
        if len(stretches) == most:
            stretches, width = _halved(stretches), width * 2
        if stretches and stretches[-1].count < width:
            stretches[-1].join(one)
        else:
            stretches.append(one)
    if first is None or last is None:
        return MetricHistory(total=0)
    if total <= max_points:
        return MetricHistory(sorted(whole, key=_rank), total)
    kept = {first, last, *(point for each in stretches for point in (each.low, each.high))}
    return MetricHistory(sorted(kept, key=_rank), total)


def last_of(points: Iterable[MetricPoint]) -> MetricPoint:
    """The point MLflow takes for a metric's value: of the highest step, the latest there."""
    return max(points, key=_rank)


def _halved(stretches: list[_Stretch]) -> list[_Stretch]:
    for left, right in zip(stretches[::2], stretches[1::2], strict=False):
        left.join(right)
    return stretches[::2]


def _rank(point: MetricPoint) -> tuple[int, float, float]:
    # MLflow's own order; it stores NaN as 0.
    value = 0.0 if math.isnan(point.value) else point.value
    return point.step, point.time.timestamp(), value
