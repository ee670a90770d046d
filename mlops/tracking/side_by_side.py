"""Runs of any projects side by side: parameters that differ, metrics with the best, differences to one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlops.errors import InvalidInput
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.tracking.compare import direction

MOST = 20
"""Runs that are compared at a time."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of one run. Infinite values are text, as in all of the API's JSON."""

    last: float
    best: float | None
    """The greatest or the least, whichever is better; None where that is not known."""
    difference: float | None = None
    """Of what is compared, to the baseline's."""
    is_best: bool = False
    """Of these runs; of equals all are."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric of all runs, in their order."""

    name: str
    higher_is_better: bool | None
    """As was said, or as its name says; None where it says neither."""
    figures: tuple[Figure | None, ...]


@dataclass(frozen=True, slots=True)
class ParamRow:
    """A parameter of all runs, in their order; None of a run without it."""

    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the runs do not all have the same."""
        return len(set(self.values)) > 1


@dataclass(frozen=True, slots=True)
class SideBySide:
    """What the runs have in common, and what not."""

    baseline: int | None
    """Place of the run that the others are held against."""
    params: tuple[ParamRow, ...]
    metrics: tuple[MetricRow, ...]


def read_run(text: str) -> tuple[str, str]:
    """Project and run of `project/run`; raises `InvalidInput`."""
    project, slash, run = text.partition("/")
    if not (project and slash and run):
        raise InvalidInput("run", text[:100], "names no run", remedy="Write project/run.")
    return project, run


def read_runs(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Those of a URL, each once; raises `InvalidInput`, also for more than are compared at a time."""
    found = tuple(dict.fromkeys(read_run(text) for text in texts))
    if len(found) > MOST:
        raise InvalidInput("run", len(found), "are too many", remedy=f"Compare at most {MOST}.")
    return found


def place_of(baseline: str, wanted: Sequence[tuple[str, str]]) -> int | None:
    """Which of the runs is the baseline; None of an empty text. Raises `InvalidInput` for another run."""
    if not baseline:
        return None
    if (held := read_run(baseline)) not in wanted:
        raise InvalidInput("baseline", baseline[:100], "is none of the runs", remedy="Name one of them.")
    return wanted.index(held)


def side_by_side(
    runs: Sequence[IndexedRun],
    baseline: int | None = None,
    *,
    by_best: bool = False,
    ways: Mapping[str, bool] | None = None,
) -> SideBySide:
    """Compare the last values of metrics, or the best where it is known which they are. `ways` says of
    metrics whether higher is better."""
    params = [ParamRow(name, tuple(run.params.get(name) for run in runs)) for name in _names(runs, "params")]
    metrics = []
    for name in _names(runs, "metrics"):
        higher = (ways or {}).get(name, direction(name))
        found = [run.metrics.get(name) for run in runs]
        metrics.append(MetricRow(name, higher, _figures(found, higher, baseline, by_best)))
    return SideBySide(baseline, tuple(params), tuple(metrics))


def _names(runs: Iterable[IndexedRun], of: str) -> list[str]:
    return sorted({name for run in runs for name in getattr(run, of)})


def _figures(
    found: Sequence[MetricSummary | None], higher: bool | None, baseline: int | None, by_best: bool
) -> tuple[Figure | None, ...]:
    figures = [None if each is None else Figure(each.last, _best(each, higher)) for each in found]
    compared = [_compared(each, by_best) for each in figures]
    numbers = [value for value in compared if value is not None and not math.isnan(value)]
    best = None if higher is None or not numbers else max(numbers) if higher else min(numbers)
    held = None if baseline is None else compared[baseline]
    return tuple(
        None
        if each is None
        else Figure(
            each.last,
            each.best,
            None if held is None or value is None or place == baseline else value - held,
            value == best and best is not None,
        )
        for place, (each, value) in enumerate(zip(figures, compared, strict=True))
    )


def _best(metric: MetricSummary, higher: bool | None) -> float | None:
    if higher is None:
        return None
    return metric.max if higher else metric.min


def _compared(figure: Figure | None, by_best: bool) -> float | None:
    if figure is None:
        return None
    return figure.best if by_best and figure.best is not None else figure.last
