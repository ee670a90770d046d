"""The form that asks a model: an input for each array that it takes, with an example."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_NUMBERS = 5_000
"""Of an example that is made up; a larger one is the asker's to give."""


@dataclass(frozen=True, slots=True)
class Input:
    """An array that the model takes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """-1 where any length will do."""
    required: bool
    example: str
    """As JSON; empty where it would be too long."""

    @property
    def words(self) -> str:
        """Its type and shape, for people."""
        shape = " × ".join("any" if length < 0 else str(length) for length in self.shape)
        return f"{self.dtype}, {shape}" if shape else self.dtype


def inputs_of(tensors: Sequence[Mapping[str, Any]] | None, stored: Mapping[str, Any]) -> list[Input] | None:
    """What the model takes, with the `stored` example or one of zeros; None where it does not say."""
    if tensors is None:
        return None
    return [
        Input(
            name=str(each["name"]),
            dtype=str(each["dtype"]),
            shape=tuple(each["shape"]),
            required=bool(each["required"]),
            example=_example(each, stored),
        )
        for each in tensors
    ]


def _example(tensor: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    if tensor["name"] in stored:
        return json.dumps(stored[tensor["name"]])
    lengths = [max(1, length) for length in tensor["shape"]]
    return "" if math.prod(lengths) > MOST_NUMBERS else json.dumps(_zeros(str(tensor["dtype"]), lengths))


def _zeros(dtype: str, lengths: Sequence[int]) -> Any:
    value: Any = {"bool": False, "str": ""}.get(dtype, 0.0 if dtype.startswith("float") else 0)
    for length in reversed(lengths):
        value = [value] * length
    return value
