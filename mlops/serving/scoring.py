"""MLflow's scoring protocol: what `mlflow models serve` takes at /invocations, and answers.

After MLflow's documentation of its local inference server, "Accepted input formats".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mlops.serving import jsons

_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Unreadable(ValueError):
    """A body that is not of the protocol."""


def read_invocation(body: bytes, content_type: str, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The inputs by name in a body, of a model that takes `inputs` (its signature's arrays). Raises
    `Unreadable` with what is wrong."""
    if content_type == "text/csv":
        return _of_table(*_csv(body), inputs)
    try:
        content = jsons.read(body)
    except ValueError as error:
        raise Unreadable(f"the body is not JSON: {str(error)[:200]}") from None
    found = [name for name in _FORMATS if isinstance(content, dict) and name in content]
    if len(found) != 1:
        raise Unreadable(
            f"the body has {len(found) or 'none'} of {', '.join(_FORMATS)}: exactly one is needed"
        )
    given = content[found[0]]
    if found[0] == "dataframe_split":
        if not isinstance(given, dict) or not {"columns", "data"} <= given.keys():
            raise Unreadable("dataframe_split has no `columns` and `data`")
        return _of_table(given["columns"], given["data"], inputs)
    if found[0] in ("dataframe_records", "instances") and _are_records(given):
        return {name: [row.get(name) for row in given] for name in _names(given)}
    if isinstance(given, dict):
        return given
    if len(inputs) != 1:
        names = ", ".join(str(each["name"]) for each in inputs)
        raise Unreadable(f"{found[0]} is one array, and the model takes {names}: name them")
    return {str(inputs[0]["name"]): given}


def write_predictions(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """`{"predictions": …}`: the values of a single output, else all of them by name."""
    values = list(outputs.values())
    return {"predictions": values[0] if len(values) == 1 else dict(outputs)}


def _of_table(columns: Any, rows: Any, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise Unreadable("the table's columns and data are not lists")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise Unreadable(f"row {number} of the table does not have {len(columns)} values")
    only = inputs[0] if len(inputs) == 1 else None
    if only is not None and len(only["shape"]) == 2 and only["name"] not in columns:
        return {str(only["name"]): rows}  # one array, whose columns are those of the table
    return {str(name): [row[place] for row in rows] for place, name in enumerate(columns)}


def _are_records(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(row, dict) for row in given)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _csv(body: bytes) -> tuple[list[str], list[list[Any]]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode())))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(f"the body is not CSV: {error}") from None
    if not lines:
        raise Unreadable("the table is empty")
    return lines[0], [[_value(cell) for cell in row] for row in lines[1:] if row]


def _value(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell
