"""What of an inference goes into the log: a few numbers a row, small enough for a header.

A row is a place along the arrays' first axis. A column of a table, or a short vector's place, is kept as it
is; of a longer array the mean, standard deviation, least and largest value are kept, by channel where its
last axis is short.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Columns = dict[str, Array]

MOST_BYTES = 7500
"""Of the JSON: HTTP headers are read up to 8 KB without asking."""
MOST_ROWS = 32
"""Of one inference, evenly spaced."""
_SHORT, _CHANNELS, _TEXT = 64, 16, 64
_STATISTICS: dict[str, Callable[..., Array]] = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}


def told(inputs: Mapping[str, Array], outputs: Mapping[str, Array], seconds: float) -> str:
    """JSON in ASCII: `rows` (how many were asked), `model_s` (what the model took), `inputs` and `outputs`:
    values by feature, one for each kept row. Columns that do not fit are left out, the last ones first."""
    rows = len(next(iter(inputs.values()))) if inputs else 0
    most = min(rows, MOST_ROWS)
    sample = _spread(rows, most)
    sides = {"inputs": _columns(inputs, rows, sample), "outputs": _columns(outputs, rows, sample)}
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
    inputs: Mapping[str, Array], outputs: Mapping[str, Array], most: int
) -> dict[str, dict[str, list[Any]]]:
    """The same features of at most `most` rows, evenly spaced, however large: `inputs` and `outputs`."""
    rows = len(next(iter(inputs.values()))) if inputs else 0
    sample = _spread(rows, min(rows, most))
    everything = np.arange(len(sample))
    return {
        side: _at(_columns(arrays, rows, sample), everything)
        for side, arrays in (("inputs", inputs), ("outputs", outputs))
    }


def _spread(rows: int, kept: int) -> Array:
    if kept == rows:  # as for most requests
        return np.arange(rows)
    return np.linspace(0, rows - 1, kept).round().astype(int)


def _columns(arrays: Mapping[str, Array], rows: int, sample: Array) -> Columns:
    """Of the sampled rows alone: what a large batch costs does not grow with it."""
    found: Columns = {}
    for name, array in arrays.items():
        if array.ndim and len(array) == rows:
            found |= _of_array(name, array[sample])
    return found


def _of_array(name: str, array: Array) -> Columns:
    if array.ndim == 1:
        return {name: array}
    if array.ndim == 2 and array.shape[1] <= _SHORT:
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
    return {name: [_plain(value) for value in column[places].tolist()] for name, column in columns.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value[:_TEXT] if isinstance(value, str) else value


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))
