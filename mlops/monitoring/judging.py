"""The rows of a drift report: each check of each column, with its distance and its threshold.

Many checks are made of one window, and each may err. The chance that the settings allow to a whole report is
shared out evenly among its checks, so that it holds for all of them together however they depend on each
other (C. E. Bonferroni's inequality). Sharper ways, as S. Holm's, would make a column's threshold depend on
the other columns, and gain little here: thresholds grow with the root of the logarithm of the number of
checks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from mlops.entities import ColumnDrift, ColumnKind, DriftCheck, DriftReport
from mlops.monitoring import distances
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.distances import Array
from mlops.monitoring.sample import Sample, SampledColumn

_CHECKS = 4
"""Of a column: distribution, missing values, new categories or range, constancy."""
_TOLD = 5
"""New categories named in a row."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One column on both sides, as far as it is there."""

    side: str
    name: str
    reference: SampledColumn | None
    current: SampledColumn | None

    @property
    def kind(self) -> ColumnKind:
        """The reference's, where it has the column."""
        column = self.reference or self.current
        return column.kind if column else ColumnKind.NUMERICAL


def pairs(reference: Sample, current: Sample) -> list[Pair]:
    """Every column of either side, those of the reference first."""
    names = {(column.side, column.name): None for column in chain(reference.columns, current.columns)}
    return [
        Pair(side, name, reference.column(side, name), current.column(side, name)) for side, name in names
    ]


def judge(reference: Sample, current: Sample, settings: DriftSettings) -> DriftReport:
    """The report of `current` against `reference`."""
    found = pairs(reference, current)
    level = settings.false_alarms / max(1, _CHECKS * len(found))
    judges = [_Judge(pair, level, settings) for pair in found]
    return DriftReport(
        reference_rows=reference.rows,
        current_rows=current.rows,
        inferences=current.inferences,
        since=current.since,
        until=current.until,
        version=current.version,
        columns=tuple(
            chain((one.distribution() for one in judges), *(one.further() for one in judges)),
        ),
    )


def numbers(column: SampledColumn) -> Array:
    """What the Kolmogorov-Smirnov distance looks at: the numbers, or the lengths of texts."""
    if column.holds_numbers:
        return column.present
    return np.array([len(text) for text in column.present], dtype=np.float64)


def unjudged(pair: Pair, least_rows: int) -> str:
    """Why the distribution of the column cannot be judged; empty where it can."""
    reference, current = pair.reference, pair.current
    if reference is None:
        return "the reference does not have this column"
    if current is None:
        return "no inference of the window has this column"
    there = {"the reference": len(reference.present), "the window": len(current.present)}
    for which, rows in there.items():
        if not rows:
            return f"{which} has no value of it"
        if rows < least_rows:
            return f"{which} has {rows} values of it, and {least_rows} are needed"
    if pair.kind is ColumnKind.NUMERICAL and not current.holds_numbers:
        return "the window has other values where the reference has numbers"
    if pair.kind is ColumnKind.TEXT and current.holds_numbers:
        return "the window has numbers where the reference has texts"
    return ""


class _Judge:
    """The checks of one column."""

    def __init__(self, pair: Pair, level: float, settings: DriftSettings) -> None:
        self._pair = pair
        self._level = level
        self._settings = settings
        self._reason = unjudged(pair, settings.least_rows)

    def distribution(self) -> ColumnDrift:
        """The row that every column has."""
        reference, current = self._pair.reference, self._pair.current
        if self._reason or reference is None or current is None:
            return self._row(DriftCheck.DISTRIBUTION, reason=self._reason)
        if self._pair.kind is ColumnKind.CATEGORICAL:
            return self._categories(reference.labels(), current.labels())
        return self._numbers(numbers(reference), numbers(current))

    def further(self) -> Iterator[ColumnDrift]:
        """The rows of the checks that this column allows."""
        reference, current = self._pair.reference, self._pair.current
        if reference is None or current is None:
            return
        if min(len(reference.values), len(current.values)) >= self._settings.least_rows:
            yield self._missing(reference, current)
        if self._reason:
            return
        if self._pair.kind is ColumnKind.CATEGORICAL:
            yield self._new_categories(Counter(reference.labels()), Counter(current.labels()))
        elif self._pair.kind is ColumnKind.NUMERICAL:
            yield self._out_of_range(reference.present, current.present)
        if len(set(current.present.tolist())) == 1:
            yield from self._constant(reference.labels(), current.labels())

    def _numbers(self, reference: Array, current: Array) -> ColumnDrift:
        score = distances.ks_distance(reference, current)
        limit = distances.ks_threshold(self._level, len(reference), len(current))
        detail = f"median {np.median(reference):.4g} → {np.median(current):.4g}"
        return self._compared(self._ks_method, score, limit, detail)

    @property
    def _ks_method(self) -> str:
        return f"{distances.KS}{' of length' if self._pair.kind is ColumnKind.TEXT else ''}"

    def _categories(self, reference: list[str], current: list[str]) -> ColumnDrift:
        kept = distances.pooled(reference, current)
        first, second = distances.counted(reference, kept), distances.counted(current, kept)
        names = sorted(first.keys() | second.keys())
        if len(names) < 2:
            if kept:  # one value on both sides
                return self._compared(distances.JS, 0.0, 0.0)
            return self._row(DriftCheck.DISTRIBUTION, reason="no category is frequent enough to be compared")
        score = distances.js_distance([first[name] for name in names], [second[name] for name in names])
        limit = distances.js_threshold(self._level, len(names), len(reference), len(current))
        return self._compared(distances.JS, score, limit)

    def _missing(self, reference: SampledColumn, current: SampledColumn) -> ColumnDrift:
        return self._risen(
            DriftCheck.MISSING,
            (reference.missing, len(reference.values)),
            (current.missing, len(current.values)),
        )

    def _new_categories(self, reference: Counter[str], current: Counter[str]) -> ColumnDrift:
        """Against the share of the reference's rows that would be new to the rest of it: those whose category
        comes once. It estimates what no sample has seen (I. J. Good, Biometrika 40, 1953)."""
        new = {name: count for name, count in current.items() if name not in reference}
        once = sum(1 for count in reference.values() if count == 1)
        told = ", ".join(sorted(new, key=lambda name: (-new[name], name))[:_TOLD])
        more = f" and {len(new) - _TOLD} more" if len(new) > _TOLD else ""
        return self._risen(
            DriftCheck.NEW_CATEGORIES,
            (once, reference.total()),
            (sum(new.values()), current.total()),
            told + more,
        )

    def _out_of_range(self, reference: Array, current: Array) -> ColumnDrift:
        """Against the two rows of the reference that would be out of the range of the rest of it."""
        least, greatest = reference.min(), reference.max()
        out = int(((current < least) | (current > greatest)).sum())
        detail = f"range {least:.4g} to {greatest:.4g}"
        return self._risen(DriftCheck.OUT_OF_RANGE, (2, len(reference)), (out, len(current)), detail)

    def _constant(self, reference: list[str], current: list[str]) -> Iterator[ColumnDrift]:
        value = current[0]
        if len(set(reference)) == 1:
            return
        score = distances.chance_of_one_value(reference.count(value), len(reference), len(current))
        limit = float(-np.log10(self._level))
        yield self._row(
            DriftCheck.CONSTANT,
            method="improbability (-log10)",
            score=score,
            threshold=limit,
            detail=f"always {value[:64]}",
        )

    def _risen(
        self, check: DriftCheck, reference: tuple[int, int], current: tuple[int, int], detail: str = ""
    ) -> ColumnDrift:
        """A share, as part and whole of each side, that may only rise."""
        score = distances.rise(*reference, *current)
        limit = max(
            distances.rise_threshold(self._level, reference[1], current[1]),
            distances.distance_of_rise(self._settings.least_rise, *reference, current[1]),
        )
        shares = f"{reference[0] / reference[1]:.2%} → {current[0] / current[1]:.2%}"
        return self._row(
            check,
            method=distances.JS,
            score=score,
            threshold=limit,
            detail=f"{shares} {detail}".strip(),
        )

    def _compared(self, method: str, score: float, limit: float, detail: str = "") -> ColumnDrift:
        limit = max(limit, self._settings.least_effect)
        return self._row(DriftCheck.DISTRIBUTION, method=method, score=score, threshold=limit, detail=detail)

    def _row(
        self,
        check: DriftCheck,
        *,
        method: str = "",
        score: float | None = None,
        threshold: float | None = None,
        reason: str = "",
        detail: str = "",
    ) -> ColumnDrift:
        return ColumnDrift(
            column=self._pair.name,
            side=self._pair.side,
            check=check,
            kind=self._pair.kind,
            method=method,
            score=score,
            threshold=threshold,
            drifted=score is not None and threshold is not None and score >= threshold > 0,
            reference_missing=_missing_share(self._pair.reference),
            current_missing=_missing_share(self._pair.current),
            reason=reason,
            detail=detail,
        )


def _missing_share(column: SampledColumn | None) -> float:
    """Of a column that is not there, all is missing."""
    return column.missing / len(column.values) if column is not None and len(column.values) else 1.0
