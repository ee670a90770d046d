"""The signature of a model, and the check of JSON values against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# MLflow's column types as NumPy's.
_COLUMN_TYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "str",
    "datetime": "str",
}
# By kind of NumPy type: the kinds of JSON values that it takes.
_ACCEPTED = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "U": "U"}
_SHORT = 120


class InputProblem(Exception):
    """An input that the model's signature does not take."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.mlops_problem = {"field": field, "problem": problem, "remedy": remedy}


@dataclass(frozen=True)
class Tensor:
    """One named array."""

    name: str
    dtype: str
    """NumPy's name; `str` for texts."""
    shape: tuple[int, ...]
    """-1 where any length will do."""
    required: bool = True

    def __str__(self) -> str:
        shape = ", ".join("any" if length < 0 else str(length) for length in self.shape)
        return f"{self.dtype} of shape ({shape})"


@dataclass(frozen=True)
class Signature:
    """The arrays a model takes or gives."""

    tensors: tuple[Tensor, ...]
    columns: bool = False
    """Whether they are the columns of one table, and so of one length."""
    named: bool = True
    """False where MLflow knows a single array without a name; it is called `inputs` or `outputs` then."""


def parse(text: str | None, unnamed: str) -> Signature | None:
    """MLflow's JSON of a schema; None where there is none. Raises `ValueError` on a type that JSON
    cannot carry."""
    if not text:
        return None
    fields = json.loads(text)
    tensors = tuple(_tensor(field, unnamed) for field in fields)
    columns = any(field["type"] != "tensor" for field in fields)
    return Signature(tensors, columns=columns, named=bool(fields) and "name" in fields[0])


def _tensor(field: dict[str, Any], unnamed: str) -> Tensor:
    name = str(field.get("name", unnamed))
    required = bool(field.get("required", True))
    if field["type"] == "tensor":
        spec = field["tensor-spec"]
        dtype = "str" if spec["dtype"] in ("str", "object") else str(spec["dtype"])
        return Tensor(name, dtype, tuple(spec["shape"]), required)
    if field["type"] not in _COLUMN_TYPES:
        raise ValueError(f"column {name!r} is of type {field['type']!r}, which cannot be served as JSON")
    return Tensor(name, _COLUMN_TYPES[field["type"]], (-1,), required)


def check(signature: Signature, values: Mapping[str, Any]) -> dict[str, Array]:
    """Turn nested lists into the arrays of `signature`; raises `InputProblem` that names the first
    input that is unknown, missing, ragged, empty, not finite, or of another type or shape."""
    known = {tensor.name: tensor for tensor in signature.tensors}
    for name in values:
        if name not in known:
            raise InputProblem(
                str(name)[:_SHORT], "the model has no such input", f"It takes: {', '.join(known)}."
            )
    arrays = {}
    for tensor in signature.tensors:
        if tensor.name in values:
            arrays[tensor.name] = _array(tensor, values[tensor.name])
        elif tensor.required:
            raise InputProblem(tensor.name, "is missing", f"Send it as {tensor}.")
    if signature.columns:
        _same_length(arrays)
    return arrays


def _array(tensor: Tensor, value: Any) -> Array:
    given = _as_array(tensor, value)
    wanted = np.dtype(tensor.dtype)
    remedy = f"Send {tensor}."
    if given.size == 0:
        raise InputProblem(tensor.name, "is empty", remedy)
    if given.dtype.kind not in _ACCEPTED.get(wanted.kind, ""):
        raise InputProblem(tensor.name, f"holds {_kind(given)}, not {tensor.dtype}", remedy)
    if given.ndim != len(tensor.shape) or any(
        want not in (-1, have) for want, have in zip(tensor.shape, given.shape, strict=True)
    ):
        raise InputProblem(tensor.name, f"is of shape {given.shape}", remedy)
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        if given.min() < limits.min or given.max() > limits.max:
            raise InputProblem(tensor.name, f"holds a value outside {tensor.dtype}", remedy)
    with np.errstate(over="ignore"):
        array = given if wanted.kind == "U" else given.astype(wanted)
    if wanted.kind == "f" and not np.isfinite(array).all():
        raise InputProblem(tensor.name, f"holds a value that is not finite as {tensor.dtype}", remedy)
    return array


def _as_array(tensor: Tensor, value: Any) -> Array:
    try:
        return np.asarray(value)
    except (ValueError, OverflowError):
        raise InputProblem(
            tensor.name, "has rows of different lengths", f"Send {tensor} as nested lists."
        ) from None


def _kind(array: Array) -> str:
    return {"f": "decimal numbers", "i": "whole numbers", "u": "whole numbers", "b": "booleans"}.get(
        array.dtype.kind, "texts" if array.dtype.kind == "U" else "nulls, objects or a mixture"
    )


def _same_length(arrays: Mapping[str, Array]) -> None:
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        name, length = min(lengths.items(), key=lambda item: item[1])
        raise InputProblem(
            name, f"has {length} rows where another column has {max(lengths.values())}", "Send equal columns."
        )
