"""The reference of a model version: a sample of what it took and gave in training, among the version's files.

It lies at `PLACE` in the model's folder, and so goes wherever the model goes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops import features
from mlops.errors import InvalidInput
from mlops.monitoring.sample import SIDES, TRUTHS, Sample, SampledColumn

Array = NDArray[Any]
Names = Mapping[str, Sequence[str] | None]
"""`inputs` and `outputs`: the names that the model's signature has; None where they are not known."""

PLACE = "monitoring/reference.parquet"
"""Below the model's folder."""
MOST_ROWS = 5_000
"""Evenly spaced where more are given."""
MOST_BYTES = 8 * 2**20
"""Of the file: rows are left out, evenly, until it is no larger."""
_FORM = (
    "Give `reference=(inputs, outputs)` or `(inputs, outputs, truths)`, arrays by name as the model takes and"
    " gives them."
)


@contextmanager
def reference_folder(given: Any, names: Names, make: features.Make = features.usual) -> Iterator[Path]:
    """A folder that holds the reference at `PLACE`, while the block lasts. Raises as `reference_of`, and as
    `write_reference`."""
    sample = reference_of(given, names, make)
    with tempfile.TemporaryDirectory(prefix="reference-") as folder:
        write_reference(sample, Path(folder) / PLACE)
        yield Path(folder)


def reference_of(given: Any, names: Names, make: features.Make = features.usual) -> Sample:
    """The sample of `(inputs, outputs)`: each a mapping name -> array, a data frame, or one array alone; or
    a `Sample` that is ready, which `make` does not touch. At most `MOST_ROWS` rows, evenly spaced. A third
    one, `truths`, says what was right: numbers, texts or truth values, or short vectors of numbers, named as
    ground truths are (`mlops.monitoring.labels`).

    Raises `InvalidInput` (reference) for what is neither, an array that the signature does not name, arrays
    of different lengths, truths of another shape, and for no rows.
    """
    if isinstance(given, Sample):
        if not given.columns or not given.rows:
            raise InvalidInput("reference", given, "is a sample without rows", remedy=_FORM)
        return thinned(given, MOST_ROWS)
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise InvalidInput("reference", given, "is no pair of inputs and outputs", remedy=_FORM)
    sides = {side: _arrays(side, value, names.get(side)) for side, value in zip(SIDES, given, strict=False)}
    sides[TRUTHS] = _truths(given[2], names.get("outputs")) if len(given) == 3 else {}
    _check_rows(sides)
    return Sample.of(sides["inputs"], sides["outputs"], MOST_ROWS, make, sides[TRUTHS])


def write_reference(sample: Sample, path: Path) -> None:
    """Write the file, with fewer rows where it would be larger than `MOST_BYTES`. Raises `InvalidInput` where
    one row alone is."""
    sample.write(path)
    while path.stat().st_size > MOST_BYTES:
        if sample.rows <= 1:
            raise InvalidInput(
                "reference",
                f"{len(sample.columns)} columns",
                f"takes more than {MOST_BYTES} bytes for a single row",
                remedy="Name a function that makes fewer features below [monitoring.features].",
            )
        sample = thinned(sample, sample.rows // 2)
        sample.write(path)


def thinned(sample: Sample, most_rows: int) -> Sample:
    """The sample with at most that many rows of each column, evenly spaced."""
    if sample.rows <= most_rows:
        return sample

    def fewer(column: SampledColumn) -> SampledColumn:
        rows = len(column.values)
        places = np.linspace(0, rows - 1, min(rows, most_rows)).round().astype(int)
        return replace(column, values=column.values[places])

    return replace(
        sample,
        columns=tuple(map(fewer, sample.columns)),
        truths=tuple(map(fewer, sample.truths)),
        rows=most_rows,
    )


def _arrays(side: str, value: Any, names: Sequence[str] | None) -> dict[str, Array]:
    """The side's arrays by name; an array alone has the signature's only name, or the side's."""
    if isinstance(value, Mapping):
        named = {str(name): each for name, each in value.items()}
    elif hasattr(value, "columns"):
        named = {str(name): value[name] for name in value.columns}
    else:
        named = {names[0] if names and len(names) == 1 else side: value}
    unknown = [name for name in named if names is not None and name not in names]
    if unknown:
        raise InvalidInput(
            "reference",
            unknown[0],
            f"is none of the {side} that the model's signature names",
            remedy=f"They are: {', '.join(names or ())}.",
        )
    return {name: _array(f"{side}[{name!r}]", each) for name, each in named.items()}


def _truths(value: Any, outputs: Sequence[str] | None) -> dict[str, Array]:
    """By output; an array alone is of the signature's only one. Names may be those of features, which no
    signature has."""
    alone = outputs if outputs is not None and len(outputs) == 1 else None
    named = isinstance(value, Mapping) or hasattr(value, "columns")
    arrays = _arrays(TRUTHS, value, None if named else alone)
    for name, array in arrays.items():
        what = f"{TRUTHS}[{name!r}]"
        if array.ndim > 2 or (array.ndim == 2 and not 1 <= array.shape[1] <= features.SHORT):
            raise InvalidInput(
                "reference", what, f"has the shape {array.shape}",
                remedy=f"Give one value for each row, or a vector of at most {features.SHORT}.",
            )  # fmt: skip
    return arrays


def _array(what: str, value: Any) -> Array:
    if hasattr(value, "detach"):  # a tensor of torch, maybe on a device
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidInput("reference", what, f"is no array: {error}", remedy=_FORM) from error
    if array.ndim == 0:
        raise InvalidInput("reference", what, "has no rows", remedy=_FORM)
    return array


def _check_rows(sides: Mapping[str, Mapping[str, Array]]) -> None:
    lengths = {f"{side}[{name!r}]": len(array) for side in sides for name, array in sides[side].items()}
    if not sides["inputs"] or not max(lengths.values()):
        raise InvalidInput("reference", lengths, "has no rows", remedy=_FORM)
    if len(set(lengths.values())) > 1:
        raise InvalidInput(
            "reference",
            lengths,
            "has arrays of different lengths",
            remedy="Give one row for each prediction in every array, and leave out what has no rows.",
        )
