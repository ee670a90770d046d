"""What of an inference goes into the log: a few numbers a row, small enough for a header.

A row is a place along the arrays' first axis. A column of a table, or a short vector's place, is kept as it
is; of a longer array the mean, standard deviation, least and largest value are kept, by channel where its
last axis is short.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops.feature_limits import MOST_ROWS, TEXT_CHARS

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Columns = dict[str, Array]
Sides = dict[str, Columns]
"""`inputs` and `outputs`: columns of features."""
Make = Callable[[Arrays, Arrays], Sides]
Function = Callable[[Arrays, Arrays], Mapping[str, Mapping[str, Any]]]
"""A project's own: `inputs` and `outputs` to values by feature, one for each row."""

MOST_BYTES = 7500
"""Of the JSON: HTTP headers are read up to 8 KB without asking."""
MOST_FEATURES = 400
"""Of a project's own function."""
SHORT, _CHANNELS = 64, 16
"""Places of a vector that are columns of their own; channels of an array."""
_PLAIN = (str, int, float, type(None))
_STATISTICS: dict[str, Callable[..., Array]] = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}


def usual(inputs: Arrays, outputs: Arrays) -> Sides:
    """The features of these rows where the project names no function of its own."""
    return {"inputs": _columns(inputs), "outputs": _columns(outputs)}


def by(function: Function) -> Make:
    """What makes features by a project's function. It raises what that raises, and `ValueError` for what is
    no mapping of `inputs` and `outputs` to a number, truth value or text for each row."""

    def make(inputs: Arrays, outputs: Arrays) -> Sides:
        rows = _rows(inputs)
        made = function(inputs, outputs)
        if not isinstance(made, Mapping) or not set(made) <= {"inputs", "outputs"}:
            raise ValueError("it returned no mapping of `inputs` and `outputs`")
        sides = {side: _checked(side, made.get(side, {}), rows) for side in ("inputs", "outputs")}
        if sum(map(len, sides.values())) > MOST_FEATURES:
            raise ValueError(f"it returned more than {MOST_FEATURES} features")
        return sides

    return make


def _checked(side: str, made: Any, rows: int) -> Columns:
    if not isinstance(made, Mapping):
        raise ValueError(f"its {side} are no mapping")
    columns: Columns = {}
    for name, values in made.items():
        column = np.asarray(values)
        if not isinstance(name, str) or column.shape != (rows,):
            raise ValueError(f"feature {name!r} of {side} has shape {column.shape}, not ({rows},)")
        if column.dtype.kind == "f":
            column = column.astype(np.float64)
        elif column.dtype.kind == "O" and all(isinstance(each, _PLAIN) for each in column.tolist()):
            pass
        elif column.dtype.kind not in "iubU":
            raise ValueError(f"feature {name!r} of {side} holds {column.dtype}, no numbers or texts")
        columns[name] = column
    return columns


def told(inputs: Arrays, outputs: Arrays, seconds: float, make: Make = usual) -> str:
    """JSON in ASCII: `rows` (how many were asked), `model_s` (what the model took), `inputs` and `outputs`:
    values by feature, one for each kept row. Columns that do not fit are left out, the last ones first."""
    rows = _rows(inputs)
    most = min(rows, MOST_ROWS)
    sample = _spread(rows, most)
    sides = make(_taken(inputs, rows, sample), _taken(outputs, rows, sample))
    head = {"rows": rows, "model_s": float(f"{seconds:.4g}")}
    kept = most
    while kept:
        places = _spread(most, kept)
        text = _json(head | {side: _at(columns, places) for side, columns in sides.items()})
        if len(text) <= MOST_BYTES:
            return text
        if kept == 1:
            sides = {
                side: dict(list(columns.items())[: len(columns) // 2]) for side, columns in sides.items()
            }
        kept = max(1, kept // 2)
    return _json(head | {"inputs": {}, "outputs": {}})


def sampled(
    inputs: Arrays, outputs: Arrays, most: int, make: Make = usual
) -> dict[str, dict[str, list[Any]]]:
    """The same features of at most `most` rows, evenly spaced, however large: `inputs` and `outputs`."""
    rows = _rows(inputs)
    sample = _spread(rows, min(rows, most))
    everything = np.arange(len(sample))
    made = make(_taken(inputs, rows, sample), _taken(outputs, rows, sample))
    return {side: _at(columns, everything) for side, columns in made.items()}


def _rows(inputs: Arrays) -> int:
    return next((len(array) for array in inputs.values() if array.ndim), 0)


def _taken(arrays: Arrays, rows: int, sample: Array) -> dict[str, Array]:
    """The sampled rows, as copies: what a large batch costs does not grow with it."""
    return {name: array[sample] for name, array in arrays.items() if array.ndim and len(array) == rows}


def _spread(rows: int, kept: int) -> Array:
    if kept == rows:  # as for most requests
        return np.arange(rows)
    return np.linspace(0, rows - 1, kept).round().astype(int)


def _columns(arrays: Arrays) -> Columns:
    found: Columns = {}
    for name, array in arrays.items():
        found |= _of_array(name, array)
    return found


def _of_array(name: str, array: Array) -> Columns:
    if array.ndim == 1:
        return {name: array}
    if array.ndim == 2 and array.shape[1] <= SHORT:
        return {f"{name}[{place}]": array[:, place] for place in range(array.shape[1])}
    if array.dtype.kind not in "fiub" or not array.size:
        return {}
    numbers = array.astype(np.float64)
    if array.ndim > 2 and array.shape[-1] <= _CHANNELS:
        channels = numbers.reshape(len(numbers), -1, array.shape[-1])
        return {
            f"{name}[{place}].{statistic}": work(channels[:, :, place], axis=1)
            for place in range(array.shape[-1])
            for statistic, work in _STATISTICS.items()
        }
    flat = numbers.reshape(len(numbers), -1)
    return {f"{name}.{statistic}": work(flat, axis=1) for statistic, work in _STATISTICS.items()}


def _at(columns: Columns, places: Array) -> dict[str, list[Any]]:
    # While somebody waits for the answer that is logged: a column of which all is kept is not copied.
    return {
        name: _plain(column if len(places) == len(column) else column[places])
        for name, column in columns.items()
    }


def _plain(column: Array) -> list[Any]:
    values = column.tolist()
    if column.dtype.kind == "f":
        return [_rounded(value) for value in values]
    return [_plain_value(value) for value in values]


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _plain_value(value: Any) -> Any:
    if isinstance(value, float):
        return _rounded(value)
    return value[:TEXT_CHARS] if isinstance(value, str) else value


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))
