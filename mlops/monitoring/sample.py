"""Features of some inferences with their schema: a training run's reference, or a window of what is served.

Both go through `mlops.features`, so that a reference and the inference log name and round alike. Columns are
independent of each other, and may differ in length: what the log left out of a row is not a missing value.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops import features
from mlops.entities import ColumnKind, Inference
from mlops.errors import InvalidInput, SampleUnreadable
from mlops.monitoring.files import replacing

Array = NDArray[Any]
Sides = Mapping[str, Mapping[str, Sequence[Any]]]
"""`inputs` and `outputs`: values by column."""

SIDES = ("inputs", "outputs")
TRUTHS = "truths"
"""Of a reference: what was right of the outputs, which drift does not look at."""
MOST_ROWS = 50_000
"""Of a reference: enough for any shift worth telling, and read in a moment."""
_LARGEST = 1e100
"""Numbers beyond it count as it: squares and cubes of them must still be numbers."""
_LABELS = 10
"""Whole numbers with no more different values than that are labels, where each comes often."""
_CATEGORIES, _TEXT_SHARE = 100, 0.2
"""More different strings than both are text: that number, and that share of the rows."""
_METADATA, _FORMAT = b"mlops.sample", 1


@dataclass(frozen=True, slots=True)
class SampledColumn:
    """The values of one feature."""

    name: str
    side: str
    """`inputs`, `outputs` or `truths`."""
    kind: ColumnKind
    values: Array
    """64-bit floats with NaN for a missing value, or strings with None for it."""

    @classmethod
    def of(cls, name: str, side: str, values: Sequence[Any]) -> SampledColumn:
        """From plain values: numbers stay numbers, everything else becomes strings; None is missing. A few
        whole numbers that repeat are categories, and strings that mostly differ are text."""
        present = [value for value in values if value is not None]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
            whole = bool(present) and all(isinstance(value, int) for value in present)
            numbers = _numbers(values)
            return cls(name, side, _kind_of_numbers(numbers, whole), numbers)
        texts = np.empty(len(values), dtype=object)
        texts[:] = [None if value is None else _text(value) for value in values]
        different = len(set(texts.tolist()) - {None})
        is_text = different > max(_CATEGORIES, _TEXT_SHARE * len(present))
        return cls(name, side, ColumnKind.TEXT if is_text else ColumnKind.CATEGORICAL, texts)

    @property
    def holds_numbers(self) -> bool:
        """Whether the values are numbers; categories may be either."""
        return self.values.dtype.kind == "f"

    @property
    def present(self) -> Array:
        """The values that are not missing."""
        if self.holds_numbers:
            return self.values[~np.isnan(self.values)]
        return self.values[[value is not None for value in self.values]]

    @property
    def missing(self) -> int:
        """How many values are missing."""
        return len(self.values) - len(self.present)

    def labels(self) -> list[str]:
        """The present values as names of categories."""
        if self.holds_numbers:
            return [f"{value:.15g}" for value in self.present]
        return [str(value) for value in self.present]


@dataclass(frozen=True, slots=True)
class Sample:
    """Columns of features, and what they are of."""

    columns: tuple[SampledColumn, ...]
    rows: int
    """Of the longest column at least."""
    inferences: int = 0
    """Requests they come from; 0 of a reference."""
    since: datetime | None = None
    until: datetime | None = None
    version: int | None = None
    """The model version that answered; None of a reference, and where several answered."""
    truths: tuple[SampledColumn, ...] = ()
    """What was right, by output; of a reference that was given it."""

    @classmethod
    def of(
        cls,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        most_rows: int = MOST_ROWS,
        make: features.Make = features.usual,
        truths: Mapping[str, Array] | None = None,
    ) -> Sample:
        """A reference from arrays as the model takes and gives them, rows along their first axis; at most
        `most_rows` of them, evenly spaced, as the features that `make` makes. `truths` are of as many rows,
        and named as the outputs' features are. Raises `InvalidInput` (most_rows, inputs)."""
        if most_rows < 1:
            raise InvalidInput("most_rows", most_rows, "is less than 1", remedy="Keep some thousand rows.")
        if not inputs or any(np.ndim(array) == 0 for array in inputs.values()):
            raise InvalidInput(
                "inputs", list(inputs), "has no rows", remedy="Give arrays with one row for each prediction."
            )
        arrays = [{name: np.asarray(array) for name, array in side.items()} for side in (inputs, outputs)]
        known = features.sampled(truths or {}, {}, most_rows)[
            "inputs"
        ]  # the same rows, named as the log does
        return cls._of_sides(
            features.sampled(arrays[0], arrays[1], most_rows, make),
            truths=tuple(SampledColumn.of(name, TRUTHS, values) for name, values in known.items()),
        )

    @classmethod
    def of_inferences(cls, inferences: Iterable[Inference], rows_each: int = 1) -> Sample:
        """A window of the inference log, in any order. Inferences without features are left out.

        Of each at most `rows_each` rows are taken, chosen by its request id. Rows of one request are often
        alike, as windows of one hole are, and a check that takes them for independent finds shifts that are
        none; so it is one row, unless the requests are known to be mixed. Raises `InvalidInput` (rows_each).
        """
        if rows_each < 1:
            raise InvalidInput("rows_each", rows_each, "is less than 1", remedy="Leave it at 1.")
        sides: dict[str, dict[str, list[Any]]] = {side: {} for side in SIDES}
        told = [found for found in inferences if any(found.features.get(side) for side in SIDES)]
        for inference in told:
            _append(sides, inference, rows_each)
        times = [inference.at for inference in told]
        versions = {inference.version for inference in told}
        return cls._of_sides(
            sides,
            inferences=len(told),
            since=min(times, default=None),
            until=max(times, default=None),
            version=versions.pop() if len(versions) == 1 else None,
        )

    @classmethod
    def of_columns(
        cls,
        sides: Sides,
        request_ids: Sequence[str],
        times: Sequence[datetime],
        versions: Sequence[int],
        rows_each: int = 1,
    ) -> Sample:
        """A window that is columns already, the rows of a request next to each other: the same choice of
        rows as `of_inferences` makes. None is a missing value. Raises `InvalidInput` (rows_each)."""
        if rows_each < 1:
            raise InvalidInput("rows_each", rows_each, "is less than 1", remedy="Leave it at 1.")
        places: list[int] = []
        for request_id, rows in groupby(range(len(request_ids)), key=request_ids.__getitem__):
            own = list(rows)
            places += [own[place] for place in _chosen(request_id, len(own), rows_each)]
        answered = set(versions)
        return cls._of_sides(
            {
                side: {name: [values[place] for place in places] for name, values in sides[side].items()}
                for side in SIDES
            },
            inferences=len(set(request_ids)),
            since=min(times, default=None),
            until=max(times, default=None),
            version=answered.pop() if len(answered) == 1 else None,
        )

    @classmethod
    def _of_sides(cls, sides: Sides, **about: Any) -> Sample:
        columns = tuple(
            SampledColumn.of(name, side, values) for side in SIDES for name, values in sides[side].items()
        )
        return cls(columns, rows=max((len(column.values) for column in columns), default=0), **about)

    def column(self, side: str, name: str) -> SampledColumn | None:
        """The column, or None."""
        return next((found for found in self.columns if (found.side, found.name) == (side, name)), None)

    def write(self, path: Path) -> None:
        """One Parquet file with the schema in its metadata; an earlier file is replaced as a whole."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrays = [_padded(column, self.rows, pa) for column in self._stored]
        names = [f"{column.side}/{column.name}" for column in self._stored]
        table = pa.table(arrays, names=names) if arrays else pa.table({})
        metadata = {_METADATA: json.dumps(self._schema()).encode()}
        with replacing(path) as part:
            pq.write_table(table.replace_schema_metadata(metadata), part, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Sample:
        """What `write` wrote. Raises `SampleUnreadable` for a file that is not there, damaged or foreign."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not path.is_file():
            raise SampleUnreadable(path, "there is no such file")
        try:
            table = pq.read_table(path, use_threads=False)  # they hang where memory is short
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise SampleUnreadable(path, f"damaged, or not Parquet ({error})") from error
        told = (table.schema.metadata or {}).get(_METADATA)
        if told is None:
            raise SampleUnreadable(path, "a Parquet file without the sample's schema")
        try:
            return cls._from(table, json.loads(told))
        except (KeyError, IndexError, TypeError, ValueError, pa.ArrowException) as error:
            raise SampleUnreadable(path, f"its schema does not fit ({error!r})") from error

    def _schema(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "rows": self.rows,
            "inferences": self.inferences,
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "version": self.version,
            "columns": [
                {
                    "name": column.name,
                    "side": column.side,
                    "kind": column.kind.value,
                    "rows": len(column.values),
                }
                for column in self._stored
            ],
        }

    @property
    def _stored(self) -> tuple[SampledColumn, ...]:
        return self.columns + self.truths

    @classmethod
    def _from(cls, table: Any, schema: Mapping[str, Any]) -> Sample:
        if schema["format"] != _FORMAT:
            raise ValueError(f"format {schema['format']}, and this release reads {_FORMAT}")
        if len(schema["columns"]) != table.num_columns:
            raise ValueError(f"{table.num_columns} columns, and {len(schema['columns'])} in the schema")
        columns = tuple(
            SampledColumn(
                told["name"],
                _side(told["side"]),
                ColumnKind(told["kind"]),
                _values(table.column(place), told),
            )
            for place, told in enumerate(schema["columns"])
        )
        return cls(
            tuple(column for column in columns if column.side != TRUTHS),
            truths=tuple(column for column in columns if column.side == TRUTHS),
            rows=int(schema["rows"]),
            inferences=int(schema["inferences"]),
            since=_time(schema["since"]),
            until=_time(schema["until"]),
            version=schema["version"],
        )


def _append(sides: dict[str, dict[str, list[Any]]], inference: Inference, rows_each: int) -> None:
    found = [(side, name, values) for side in SIDES for name, values in _columns_of(inference, side)]
    rows = max((len(values) for _, _, values in found), default=0)
    places = _chosen(inference.request_id, rows, rows_each)
    for side, name, values in found:
        kept = sides[side].setdefault(name, [])
        kept += [values[place] for place in places if place < len(values)]


def _chosen(request_id: str, rows: int, most: int) -> list[int]:
    chance = random.Random(request_id)  # noqa: S311 - no secret, and the same each time
    return sorted(chance.sample(range(rows), min(rows, most)))


def _columns_of(inference: Inference, side: str) -> Iterable[tuple[str, list[Any]]]:
    columns = inference.features.get(side)
    if not isinstance(columns, Mapping):
        return []
    return [(str(name), values) for name, values in columns.items() if isinstance(values, list)]


def _numbers(values: Sequence[Any]) -> Array:
    numbers = np.array([_number(value) for value in values], dtype=np.float64)
    return np.clip(numbers, -_LARGEST, _LARGEST)


def _number(value: Any) -> float:
    """As a float; NaN for None and what is not finite. Whole numbers have no greatest one in Python."""
    if value is None:
        return float("nan")
    try:
        number = float(value)
    except OverflowError:
        return _LARGEST if value > 0 else -_LARGEST
    return number if np.isfinite(number) else float("nan")


def _kind_of_numbers(numbers: Array, whole: bool) -> ColumnKind:
    present = numbers[~np.isnan(numbers)]
    different = len(np.unique(present))
    labels = whole and different <= min(_LABELS, len(present) / 10)
    return ColumnKind.CATEGORICAL if labels else ColumnKind.NUMERICAL


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode(errors="replace").decode()  # half of a surrogate pair is no text for Arrow


def _padded(column: SampledColumn, rows: int, pa: Any) -> Any:
    """An Arrow array of `rows` values: nulls after the column's own end."""
    kind = pa.float64() if column.holds_numbers else pa.string()
    own = pa.array(column.values, type=kind, from_pandas=False)
    return pa.concat_arrays([own, pa.nulls(rows - len(own), kind)])


def _values(stored: Any, told: Mapping[str, Any]) -> Array:
    own = stored.slice(0, told["rows"])
    if len(own) != told["rows"]:
        raise ValueError(f"column {told['name']!r} is shorter than its schema says")
    values: Array = own.to_numpy()
    if values.dtype.kind not in "fO":
        raise ValueError(f"column {told['name']!r} holds {values.dtype}")
    return values


def _side(text: str) -> str:
    if text not in (*SIDES, TRUTHS):
        raise ValueError(f"side {text!r}")
    return text


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
