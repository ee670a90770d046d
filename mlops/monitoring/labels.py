"""Ground truths as people give them: checked, and brought into the form of the log's outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

from mlops.errors import InvalidInput
from mlops.feature_limits import TEXT_CHARS
from mlops.project import check_model_name, check_request_id

MOST_AT_ONCE = 1000
"""Requests whose ground truths come in one call."""
MOST_OUTPUTS = 100
"""Of a request."""
MOST_ROWS = 10_000
"""Of a request."""
_LARGEST = 1e30
_NAME_CHARS = 200
_KEYS = frozenset({"request_id", "truth", "model"})


def read_labels(stated: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `GroundTruths.put` from items with a `request_id`, a `truth` (output name to a value, or to a
    list with one for each row of the request) and perhaps the `model`. A value is a number, a text or a truth
    value, None where it is not known; a vector `v` of numbers is kept as `output[0]`, `output[1]`, … as the
    log has it.

    Raises `InvalidInput` naming the item, the field and the value.
    """
    if not 1 <= len(stated) <= MOST_AT_ONCE:
        raise InvalidInput(
            "ground_truths", len(stated), "is no number of requests for one call",
            remedy=f"Give 1 to {MOST_AT_ONCE}.",
        )  # fmt: skip
    return [row for place, item in enumerate(stated) for row in _rows(f"ground_truths[{place}]", item)]


def plain_label(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item with lists and numbers of Python where it has those of numpy and its like."""
    truth = item.get("truth")
    if not isinstance(truth, Mapping):
        return item
    return {**item, "truth": {name: _plain(value) for name, value in truth.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value


def batched(items: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    """Lists of up to so many; as `itertools.batched`, which Python 3.11 does not have."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def _rows(where: str, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    unknown = sorted(map(str, set(item) - _KEYS))
    if unknown:
        _refuse(
            f"{where}.{unknown[0]}",
            item.get(unknown[0]),
            "is not known",
            f"Known: {', '.join(sorted(_KEYS))}.",
        )
    request_id = check_request_id(item.get("request_id"), f"{where}.request_id")
    model, truth = item.get("model") or "", item.get("truth")
    if model != "":
        check_model_name(model)
    if not isinstance(truth, Mapping) or not truth:
        _refuse(
            f"{where}.truth", truth, "is no mapping", 'Give what was right of each output: {"depth": 3.2}.'
        )
    outputs: dict[str, list[Any]] = {}
    for name, value in truth.items():
        outputs |= _of_output(f"{where}.truth", name, value)
    if len(outputs) > MOST_OUTPUTS:
        _refuse(f"{where}.truth", len(outputs), "is too many outputs", f"Give at most {MOST_OUTPUTS}.")
    return [
        {"request_id": request_id, "model": model, "output": name, "truths": truths}
        for name, truths in outputs.items()
    ]


def _of_output(where: str, name: object, value: object) -> dict[str, list[Any]]:
    if not isinstance(name, str) or not name or len(name) > _NAME_CHARS or not name.isprintable():
        _refuse(where, name, "is no name of an output", "Use one that the inference log shows.")
    field = f"{where}.{name}"
    rows = list(value) if isinstance(value, list | tuple) else [value]
    if not 1 <= len(rows) <= MOST_ROWS:
        _refuse(field, len(rows), "is no number of rows", f"Give one value for each row, 1 to {MOST_ROWS}.")
    vectors = [row for row in rows if isinstance(row, list | tuple)]
    if not vectors:
        return {name: [_value(field, row) for row in rows]}
    width = len(vectors[0])
    if len(vectors) < len(rows) or {len(row) for row in vectors} != {width} or not 1 <= width <= MOST_OUTPUTS:
        _refuse(field, value, "has rows of different lengths", "Give vectors of one length, or plain values.")
    return {f"{name}[{place}]": [_value(field, row[place]) for row in vectors] for place in range(width)}


def _value(field: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # The log keeps so much of a text: what is compared is that.
        return value.replace("\0", "\ufffd")[:TEXT_CHARS]
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < _LARGEST:
        return value
    return _refuse(
        field, value, "is no value", f"Give a number below {_LARGEST:g}, a text, true or false, or null."
    )


def _refuse(field: str, value: object, problem: str, remedy: str) -> NoReturn:
    raise InvalidInput(field, value, problem, remedy=remedy)
