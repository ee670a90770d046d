"""How far two samples are apart, and from where on that is no chance.

Each score is a distance, each threshold the distance that two samples of one source reach with a given chance
(the level). So a threshold falls with the rows: what is nothing among 50 rows tells something among 5,000.

- Numbers: the Kolmogorov-Smirnov distance D, the greatest gap between the two empirical distributions. Its
  chance is at most `2 exp(-2 D² n m / (n + m))` for samples of `n` and `m` rows, whatever the distribution;
  the two-sample form of the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (F. Wei,
  R. M. Dudley, "Two-sample Dvoretzky-Kiefer-Wolfowitz inequalities", Statistics & Probability Letters 82,
  2012). Ties, as of whole numbers, only make it rarer.
- Categories: the Jensen-Shannon distance with the samples weighted by their rows (J. Lin, "Divergence
  measures based on the Shannon entropy", IEEE Transactions on Information Theory 37, 1991). `2 (n + m)` times
  that divergence is the likelihood ratio of one source against two, and so has a chi-square distribution of
  one degree of freedom less than there are categories (S. S. Wilks, Annals of Mathematical Statistics 9,
  1938). It is scaled so that it is the usual distance where both samples have the same number of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

KS = "Kolmogorov-Smirnov distance"
JS = "Jensen-Shannon distance"
RARE = "(rare)"
_LEAST_EXPECTED = 5
"""Of a category in the smaller sample, if both were of one source: with less it goes among the rare ones, as
W. G. Cochran, "Some methods for strengthening the common chi-square tests", Biometrics 10, 1954, has it."""


def ks_distance(reference: Array, current: Array) -> float:
    """The greatest gap between the empirical distributions of two arrays of numbers, 0 to 1. Neither may be
    empty or hold NaN."""
    first, second = np.sort(reference), np.sort(current)
    places = np.concatenate([first, second])
    below = np.searchsorted(first, places, side="right") / len(first)
    gaps = below - np.searchsorted(second, places, side="right") / len(second)
    return float(np.abs(gaps).max())


def ks_threshold(level: float, reference_rows: int, current_rows: int) -> float:
    """The distance that two samples of one source reach with a chance of at most `level`."""
    return float(np.sqrt(np.log(2 / level) / 2 * (1 / reference_rows + 1 / current_rows)))


def js_distance(reference: Sequence[float], current: Sequence[float]) -> float:
    """Between the counts of the same categories in two samples; 0 for equal shares, 0.83 for two samples of
    equal size without a common category. Neither sample may be empty."""
    first, second = np.asarray(reference, dtype=float), np.asarray(current, dtype=float)
    rows = first.sum() + second.sum()
    both = (first + second) / rows
    ratio = 2 * (_log_ratio(first, both * first.sum()) + _log_ratio(second, both * second.sum()))
    return float(np.sqrt(max(ratio, 0.0) * (1 / first.sum() + 1 / second.sum()) / 8))


def _log_ratio(counts: Array, expected: Array) -> float:
    there = counts > 0
    return float((counts[there] * np.log(counts[there] / expected[there])).sum())


def js_threshold(level: float, categories: int, reference_rows: int, current_rows: int) -> float:
    """The distance that two samples of one source reach with a chance of about `level`."""
    from scipy.special import chdtri

    ratio = chdtri(categories - 1, level)
    return float(np.sqrt(ratio * (1 / reference_rows + 1 / current_rows) / 8))


def rise(reference: int, reference_rows: int, current: int, current_rows: int) -> float:
    """How far a share has risen, as a Jensen-Shannon distance; 0 where it did not."""
    if current * reference_rows <= reference * current_rows:
        return 0.0
    return js_distance([reference, reference_rows - reference], [current, current_rows - current])


def rise_threshold(level: float, reference_rows: int, current_rows: int) -> float:
    """The rise that two samples of one source reach with a chance of about `level`: one tail of two."""
    return js_threshold(2 * level, 2, reference_rows, current_rows)


def distance_of_rise(by: float, reference: int, reference_rows: int, current_rows: int) -> float:
    """The distance of a share that rose by `by`, to 1 at most; it depends on where it rose from."""
    risen = min(reference / reference_rows + by, 1.0) * current_rows
    return js_distance([reference, reference_rows - reference], [risen, current_rows - risen])


def pooled(reference: Sequence[str], current: Sequence[str]) -> set[str]:
    """The categories that are frequent enough to be compared one by one; the others are `RARE` together."""
    total = Counter(reference) + Counter(current)
    share = min(len(reference), len(current)) / (len(reference) + len(current))
    return {label for label, count in total.items() if count * share >= _LEAST_EXPECTED}


def counted(labels: Sequence[str], kept: set[str]) -> Counter[str]:
    """Rows by category, with those that are not kept as `RARE`."""
    counts: Counter[str] = Counter()
    for label, count in Counter(labels).items():
        counts[label if label in kept else RARE] += count
    return counts


def chance_of_one_value(reference: int, reference_rows: int, rows: int) -> float:
    """The chance that `rows` rows all have a value that `reference` of the `reference_rows` rows have, told
    as the number of its zeros after the point (minus its decimal logarithm).

    It is the rule of succession, row by row: what was seen before, and one more, over all and one more.
    """
    from scipy.special import gammaln

    seen, others = reference + 1, reference_rows - reference
    before = gammaln(seen) - gammaln(seen + others)
    after = gammaln(seen + rows) - gammaln(seen + others + rows)
    return float((before - after) / np.log(10))
