"""How right a version is in a window, beside how right it was on its reference, where that has truths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mlops.entities import Performance, PerformanceChange, Side
from mlops.monitoring.performance import Kinds, differences, figures, kinds
from mlops.monitoring.sample import Array, Sample, SampledColumn
from mlops.store.labelled import Pair, Sums

_NO_TIME = datetime.fromtimestamp(0, UTC)  # a reference is of no window


def reference_pairs(reference: Sample) -> dict[str, list[Pair]]:
    """By output, the reference's rows that have a prediction and a truth; each row is a request of its own.
    Where the truth of an array of scores is a class, the greatest score's place is the prediction."""
    found = {}
    for truth in reference.truths:
        truths, predictions = _values(truth), _predictions(reference, truth)
        pairs = [
            Pair(str(row), right, given)
            for row, (right, given) in enumerate(zip(truths, predictions, strict=False))
            if right is not None and given is not None
        ]
        if pairs:
            found[truth.name] = pairs
    return found


def changes(
    reference: Mapping[str, Sequence[Pair]], window: Mapping[str, Sequence[Pair]]
) -> tuple[PerformanceChange, ...]:
    """Each metric with an interval that both have, of the outputs of both."""
    shared = [output for output in window if output in reference and window[output]]
    before = [_sums(output, reference[output]) for output in shared]
    now = [_sums(output, window[output]) for output in shared]
    kind = kinds([*before, *now])
    return tuple(
        PerformanceChange(
            each.other.output, each.other.metric, each.champion.value, each.other.value,
            each.low, each.high, each.verdict, each.champion.rows, each.other.rows, each.other.requests,
        )
        for each in differences(_figures(before, kind), _figures(now, kind))
    )  # fmt: skip


def _figures(sums: Sequence[Sums], kind: Mapping[str, Kinds]) -> list[Performance]:
    return figures(sums, kind, _NO_TIME)


def _predictions(reference: Sample, truth: SampledColumn) -> list[Any]:
    column = reference.column("outputs", truth.name)
    if column is not None:
        return _values(column)
    pattern = re.compile(re.escape(truth.name) + r"\[([0-9]{1,4})\]")
    scores = {
        int(place[1]): each.values
        for each in reference.columns
        if each.side == "outputs" and each.holds_numbers and (place := pattern.fullmatch(each.name))
    }
    if not scores or not truth.holds_numbers:
        return []
    classes = np.array(sorted(scores))
    table = np.stack([scores[place] for place in classes.tolist()], axis=1)
    known = ~np.isnan(table).any(axis=1)
    best = classes[np.where(np.isnan(table), -np.inf, table).argmax(axis=1)]
    return [int(place) if is_known else None for place, is_known in zip(best, known, strict=True)]


def _values(column: SampledColumn) -> list[Any]:
    """As the log has them; None where there is none."""
    if not column.holds_numbers:
        return list(column.values.tolist())
    present = column.present
    whole = bool(len(present)) and bool((present == present.round()).all())
    return [None if np.isnan(value) else int(value) if whole else float(value) for value in column.values]


# -- as Postgres adds up the log ----------------------------------------------------------------


def _sums(output: str, pairs: Sequence[Pair]) -> Sums:
    """What the pairs add up to, by request."""
    places = {request: place for place, request in enumerate(dict.fromkeys(p.request_id for p in pairs))}
    of = np.array([places[pair.request_id] for pair in pairs])

    def by_request(values: Sequence[float] | Array) -> Array:
        return np.bincount(of, weights=np.asarray(values, float), minlength=len(places))

    numeric = [_is_number(pair.truth) and _is_number(pair.prediction) for pair in pairs]
    truth = np.array([p.truth if both else 0.0 for p, both in zip(pairs, numeric, strict=True)], float)
    given = np.array([p.prediction if both else 0.0 for p, both in zip(pairs, numeric, strict=True)], float)
    n = by_request(np.ones(len(pairs)))
    hits = by_request([_is_hit(pair) for pair in pairs])
    off, bias = by_request(abs(given - truth)), by_request(given - truth)
    square = by_request((given - truth) ** 2)
    return Sums(
        began=_NO_TIME, version=1, side=Side.CHAMPION, output=output, first=_NO_TIME, last=_NO_TIME,
        requests=len(places), contradicted=0, unusable=0, rows=len(pairs), rows_rows=float(n @ n),
        classes=sum(_is_class(pair.truth) and _is_class(pair.prediction) for pair in pairs),
        numbers=sum(numeric),
        hits=float(hits.sum()), hits_hits=float(hits @ hits), hits_n=float(hits @ n),
        off=float(off.sum()), off_off=float(off @ off), off_n=float(off @ n),
        square=float(square.sum()), square_square=float(square @ square), square_n=float(square @ n),
        bias=float(bias.sum()), bias_bias=float(bias @ bias), bias_n=float(bias @ n),
        truth=float(truth.sum()), truth_truth=float(truth @ truth),
    )  # fmt: skip


def _is_class(value: Any) -> bool:
    return isinstance(value, int | str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_hit(pair: Pair) -> bool:
    """JSON tells truth values and numbers apart, and 1 and 1.0 not."""
    same_kind = isinstance(pair.truth, bool) is isinstance(pair.prediction, bool)
    return same_kind and bool(pair.truth == pair.prediction)
