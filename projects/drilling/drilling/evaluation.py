"""Errors of key points in mm, how sure they are of themselves, and which of two methods is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drilling.labeling import KEY_POINTS

Floats = NDArray[np.float64]
WITHIN_MM = (0.1, 0.2, 0.4)
_RESAMPLED = 2000
UNANSWERED_MM = 1.0
"""What a point that was not answered counts as where methods are compared."""


@dataclass(frozen=True, slots=True)
class DepthError:
    """Absolute errors of one key point over the holes that have it and an answer.

    `within` is the share of the holes that have the point, answered or not, whose error is at most 0.1,
    0.2 and 0.4 mm; `answered` the share with an answer, `coverage` the share of answers whose stated
    interval holds the point, NaN where none is stated.
    """

    mae_mm: float
    median_mm: float
    p95_mm: float
    holes: int
    within: dict[str, float]
    answered: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The paired difference of two methods' mean errors per hole, ours less theirs, in mm."""

    difference_mm: Interval
    holes: int

    @property
    def verdict(self) -> Literal["better", "worse", "even"]:
        """Better or worse where the interval excludes 0."""
        if self.difference_mm.high < 0:
            return "better"
        return "worse" if self.difference_mm.low > 0 else "even"


def depth_errors(
    found_mm: Floats, label_mm: Floats, uncertainty_mm: Floats | None = None
) -> dict[str, DepthError]:
    """The errors of each key point that any hole has in both arrays (n, 3), by its name without unit.

    `uncertainty_mm` (n, 3) is the half-width of each stated interval.
    """
    away = np.abs(found_mm - label_mm)
    errors: dict[str, DepthError] = {}
    for place, name in enumerate(KEY_POINTS):
        has = np.isfinite(label_mm[:, place])
        known = has & np.isfinite(away[:, place])
        if not known.any():
            continue
        values = away[known, place]
        covered = float("nan")
        if uncertainty_mm is not None:
            covered = float(np.mean(values <= uncertainty_mm[known, place]))
        errors[name.removesuffix("_mm")] = DepthError(
            float(values.mean()),
            float(np.median(values)),
            float(np.percentile(values, 95)),
            holes=values.size,
            within={f"{limit:g}": float(np.sum(values <= limit) / has.sum()) for limit in WITHIN_MM},
            answered=float(known.sum() / has.sum()),
            coverage=covered,
        )
    return errors


def mean_error_mm(errors: Mapping[str, DepthError]) -> float:
    """The mean of the key points' mean absolute errors; NaN where there is none."""
    return float(np.mean([error.mae_mm for error in errors.values()])) if errors else float("nan")


def as_metrics(errors: Mapping[str, DepthError], prefix: str) -> dict[str, float]:
    """`<prefix>_mae_mm`, and for each key point `<prefix>_<key point>_{mae,median,p95}_mm`, `_within_<mm>`,
    `_answered` and, where it is stated, `_coverage`, for a run."""
    metrics = {f"{prefix}_mae_mm": mean_error_mm(errors)} if errors else {}
    for name, error in errors.items():
        start = f"{prefix}_{name}"
        metrics |= {f"{start}_mae_mm": error.mae_mm, f"{start}_median_mm": error.median_mm}
        metrics |= {f"{start}_p95_mm": error.p95_mm, f"{start}_answered": error.answered}
        metrics |= {f"{start}_within_{limit}_mm": share for limit, share in error.within.items()}
        if np.isfinite(error.coverage):
            metrics[f"{start}_coverage"] = error.coverage
    return metrics


def errors_by(
    groups: Sequence[str], found_mm: Floats, label_mm: Floats, uncertainty_mm: Floats | None = None
) -> dict[str, dict[str, DepthError]]:
    """`depth_errors` of each group of holes, by its name, in the order of the names."""
    names = np.array(groups, dtype=object)
    return {
        name: depth_errors(
            found_mm[names == name],
            label_mm[names == name],
            None if uncertainty_mm is None else uncertainty_mm[names == name],
        )
        for name in sorted({*groups})
    }


def over_folds(away_mm: Floats, fold: NDArray[np.int64], seed: int = 0) -> list[Interval]:
    """The mean absolute error of each key point with its 95 % bootstrap interval over folds.

    `away_mm` (n, 3) absolute errors, NaN where there is none; `fold` (n,).
    """
    sums, counts = _by_unit(away_mm, fold)
    chosen = _resampled(len(sums), seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums.sum(axis=0) / counts.sum(axis=0)
        again = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.nanpercentile(again, [2.5, 97.5], axis=0)
    return [Interval(*map(float, triple)) for triple in zip(means, low, high, strict=True)]


def hole_errors(found_mm: Floats, label_mm: Floats) -> Floats:
    """Each hole's mean absolute error over the points that it has, (n,): at most 1 mm for a point, which is
    also what an unanswered one counts as."""
    away = np.minimum(np.abs(found_mm - label_mm), UNANSWERED_MM)
    away = np.where(np.isnan(found_mm) & np.isfinite(label_mm), UNANSWERED_MM, away)
    return np.asarray(np.nanmean(away, axis=1))


def compare(ours_mm: ArrayLike, theirs_mm: ArrayLike, units: NDArray[np.int64], seed: int = 0) -> Comparison:
    """Compare two methods by their errors of the same holes (n,), in mm.

    The interval is a bootstrap of whole `units` (n,), holes that share a tool, head or panel, since their
    errors are not independent.
    """
    difference = np.asarray(ours_mm, dtype=np.float64) - np.asarray(theirs_mm, dtype=np.float64)
    sums, counts = _by_unit(difference[:, None], units)
    chosen = _resampled(len(sums), seed)
    again = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.percentile(again[:, 0], [2.5, 97.5])
    return Comparison(Interval(float(difference.mean()), float(low), float(high)), difference.size)


def _by_unit(values: Floats, unit: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Sums and numbers of the finite values (n, c) in each unit."""
    numbers, place = np.unique(unit, return_inverse=True)
    sums, counts = np.zeros((2, numbers.size, values.shape[1]))
    np.add.at(sums, place, np.nan_to_num(values))
    np.add.at(counts, place, np.isfinite(values).astype(np.float64))
    return sums, counts


def _resampled(units: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(units, size=(_RESAMPLED, units))
