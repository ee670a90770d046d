"""How right a model was, from what its labelled requests add up to.

Rows of one request are often alike, as the windows of one hole are; so an interval is that of a ratio of sums
over requests, by Taylor linearization (Cochran, Sampling Techniques, 3rd ed. 1977, 6.4), and that of a share
is Wilson's score interval (Wilson, JASA 22, 1927) with as many rows as have that variance. Written here
rather than with scikit-learn: its functions want the rows, which stay in Postgres.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mlops.entities import Performance, PerformanceDifference, Verdict
from mlops.store.labelled import Confusion, Sums

Z = 1.959964
"""Of 95 % confidence."""
METRICS: Mapping[str, bool] = {
    "accuracy": True, "f1": True, "precision": True, "recall": True,
    "mae": False, "rmse": False, "bias": False, "r2": True,
}  # fmt: skip
"""Each with whether more is better; of a bias the amount counts."""

Interval = tuple[float | None, float | None]


def is_worse(metric: str, value: float, limit: float) -> bool:
    """Whether the value is on the wrong side of the limit."""
    return value < limit if METRICS[metric] else badness(metric, value) > limit


def badness(metric: str, value: float) -> float:
    """The metric as a number that had better be small."""
    return -value if METRICS[metric] else abs(value)


# -- figures ------------------------------------------------------------------------------------


class Kinds(NamedTuple):
    """Which of an output's truths and predictions are what, over all that is looked at."""

    classes: bool
    """All are whole numbers, texts or truth values."""
    numbers: bool


def kinds(sums: Iterable[Sums]) -> dict[str, Kinds]:
    """By output; one that is neither can not be judged."""
    found: dict[str, list[Sums]] = defaultdict(list)
    for each in sums:
        found[each.output].append(each)
    return {
        output: Kinds(
            all(each.classes == each.rows for each in some), all(each.numbers == each.rows for each in some)
        )
        for output, some in found.items()
        if any(each.rows for each in some)
    }


def figures(
    sums: Sequence[Sums], kind: Mapping[str, Kinds], until: datetime, step: timedelta | None = None
) -> list[Performance]:
    """Of each version, side and part of the time (all of it up to `until`, or parts that are `step` long):
    accuracy of classes; mae, rmse, bias and r2 of numbers."""
    found = []
    for each in sums:
        if not each.rows or each.output not in kind:
            continue
        told: list[tuple[str, float, Interval]] = []
        if kind[each.output].classes:
            told += [_accuracy(each)]
        if kind[each.output].numbers:
            told += [_mae(each), _rmse(each), _bias(each), *_r2(each)]
        found += [
            Performance(
                each.version, each.side, each.output, metric, value, low, high, each.rows, each.requests,
                each.began, until if step is None else each.began + step,
            )
            for metric, value, (low, high) in told
        ]  # fmt: skip
    return found


def _accuracy(each: Sums) -> tuple[str, float, Interval]:
    share = each.hits / each.rows
    error = _error(each, each.hits, each.hits_hits, each.hits_n)
    if error is None:
        return "accuracy", share, (None, None)
    # All right, or all wrong: then the requests alone say how sure that is.
    rows = min(share * (1 - share) / error**2, each.rows) if error else each.requests
    return "accuracy", share, _wilson(share, rows)


def _wilson(share: float, rows: float) -> Interval:
    middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * math.sqrt(share * (1 - share) / rows + Z**2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _mae(each: Sums) -> tuple[str, float, Interval]:
    value = each.off / each.rows
    low, high = _around(value, _error(each, each.off, each.off_off, each.off_n))
    return "mae", value, (None if low is None else max(0.0, low), high)


def _rmse(each: Sums) -> tuple[str, float, Interval]:
    value = each.square / each.rows
    low, high = _around(value, _error(each, each.square, each.square_square, each.square_n))
    if low is None or high is None:
        return "rmse", math.sqrt(value), (None, None)
    return "rmse", math.sqrt(value), (math.sqrt(max(0.0, low)), math.sqrt(high))


def _bias(each: Sums) -> tuple[str, float, Interval]:
    value = each.bias / each.rows
    return "bias", value, _around(value, _error(each, each.bias, each.bias_bias, each.bias_n))


def _r2(each: Sums) -> list[tuple[str, float, Interval]]:
    spread = each.truth_truth - each.truth**2 / each.rows
    # Truths that are all the same leave nothing to explain.
    if spread <= 1e-12 * each.truth_truth:
        return []
    return [("r2", 1 - each.square / spread, (None, None))]


def _around(value: float, error: float | None) -> Interval:
    return (None, None) if error is None else (value - Z * error, value + Z * error)


def _error(each: Sums, total: float, squares: float, by_rows: float) -> float | None:
    """Standard error of `total / rows`; None of a single request."""
    if each.requests < 2:
        return None
    ratio = total / each.rows
    left = max(0.0, squares - 2 * ratio * by_rows + ratio**2 * each.rows_rows)
    return math.sqrt(each.requests / (each.requests - 1) * left) / each.rows


# -- classes ------------------------------------------------------------------------------------


def class_figures(
    confusions: Sequence[Confusion], sums: Sequence[Sums], kind: Mapping[str, Kinds], until: datetime
) -> list[Performance]:
    """precision, recall and f1 of outputs that are classes: the mean over the classes of truth and
    prediction, each counting alike; where a class has no prediction, or no truth, its figure is 0."""
    counted: dict[tuple[int, str, str], list[Confusion]] = defaultdict(list)
    for pair in confusions:
        counted[pair.version, pair.side, pair.output].append(pair)
    found = []
    for each in sums:
        pairs = counted.get((each.version, each.side, each.output))
        if pairs and each.output in kind and kind[each.output].classes:
            told = _macro(pairs)
            found += [
                Performance(
                    each.version, each.side, each.output, metric, value, None, None, each.rows, each.requests,
                    each.began, until,
                )
                for metric, value in told.items()
            ]  # fmt: skip
    return found


def _macro(confusions: Sequence[Confusion]) -> dict[str, float]:
    right, given, true = defaultdict[str, int](int), defaultdict[str, int](int), defaultdict[str, int](int)
    for each in confusions:
        given[repr(each.prediction)] += each.rows
        true[repr(each.truth)] += each.rows
        if each.truth == each.prediction:
            right[repr(each.truth)] += each.rows
    classes = sorted({*given, *true})
    return {
        "precision": _mean(_share(right[name], given[name]) for name in classes),
        "recall": _mean(_share(right[name], true[name]) for name in classes),
        "f1": _mean(_share(2 * right[name], given[name] + true[name]) for name in classes),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


# -- beside the champion ------------------------------------------------------------------------


def differences(champion: Sequence[Performance], other: Sequence[Performance]) -> list[PerformanceDifference]:
    """Metrics that both have with an interval, the other's beside the champion's. The two are asked apart
    from each other, or a shadow the same: taken for independent, its interval is rather too wide."""
    beside = {(each.output, each.metric): each for each in champion}
    found = []
    for each in other:
        mine = beside.get((each.output, each.metric))
        if mine is not None and (interval := _difference(mine, each)) is not None:
            found.append(PerformanceDifference(mine, each, *interval, _verdict(mine, each, *interval)))
    return found


def _difference(champion: Performance, other: Performance) -> tuple[float, float] | None:
    """Newcombe's square-and-add interval (Statistics in Medicine 17, 1998, method 10), of intervals that need
    not be even around their values."""
    if champion.low is None or champion.high is None or other.low is None or other.high is None:
        return None
    apart = other.value - champion.value
    below = math.hypot(other.value - other.low, champion.high - champion.value)
    above = math.hypot(other.high - other.value, champion.value - champion.low)
    return apart - below, apart + above


def _verdict(champion: Performance, other: Performance, low: float, high: float) -> Verdict:
    if low <= 0 <= high:
        return Verdict.UNCLEAR
    worse = badness(other.metric, other.value) > badness(champion.metric, champion.value)
    return Verdict.WORSE if worse else Verdict.BETTER
