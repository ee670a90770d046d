"""Performance over time in columns, as charts take it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.entities import Performance, Side
from mlops.store.labelled import EPOCH

_POINTS = 48
_LEAST_S = 60


@dataclass(frozen=True, slots=True)
class PerformanceLine:
    """A version on a side in one output, in columns of the times' length; a part without ground truths has
    None there."""

    output: str
    metric: str
    """`accuracy` of classes, `mae` of numbers."""
    version: int
    side: Side
    values: list[float | None]
    low: list[float | None]
    """Between `low` and `high` it lies with 95 % confidence."""
    high: list[float | None]
    requests: list[int]
    """That a ground truth was known of."""


@dataclass(frozen=True, slots=True)
class PerformanceColumns:
    """How right the versions of a model were over time."""

    step_s: int
    times: list[float]
    """Beginning of each part, in s since 1970."""
    lines: list[PerformanceLine]


def step_of(window_s: float) -> int:
    """How long a part is, in s."""
    return max(_LEAST_S, _LEAST_S * math.ceil(window_s / _POINTS / _LEAST_S))


def in_columns(
    found: Iterable[Performance], since: datetime, until: datetime, step_s: int
) -> PerformanceColumns:
    """Figures of parts of the time, as the inference log is cut, a line for each version, side, output and
    metric."""
    step = timedelta(seconds=step_s)
    first = EPOCH + (since - EPOCH) // step * step
    # The part under way is left out: it would look worse or better than it will be.
    times = [first + step * place for place in range((until - first) // step)]
    lines: dict[tuple[str, str, int, Side], dict[datetime, Performance]] = {}
    for each in found:
        lines.setdefault((each.output, each.metric, each.version, each.side), {})[each.since] = each
    return PerformanceColumns(
        step_s,
        [time.timestamp() for time in times],
        [PerformanceLine(*key, *_columns(lines[key], times)) for key in sorted(lines)],
    )


def _columns(
    parts: dict[datetime, Performance], times: Sequence[datetime]
) -> tuple[list[float | None], list[float | None], list[float | None], list[int]]:
    found = [parts.get(time) for time in times]
    return (
        [each.value if each else None for each in found],
        [each.low if each else None for each in found],
        [each.high if each else None for each in found],
        [each.requests if each else 0 for each in found],
    )
