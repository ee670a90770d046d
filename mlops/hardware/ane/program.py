"""A model as a list of operations, whatever format it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

Shape = tuple[int | None, ...]
"""The length of each dimension, None where it is not fixed."""

FOLDED = frozenset({"const", "identity"})
"""Types that compute nothing: constants, and what the converter drops."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What goes into or comes out of an operation."""

    shape: Shape | None
    """None where not even the rank is known."""
    dtype: str
    """`fp16`, `fp32`, `fp64`, `int32` …; empty where it is unknown."""
    constant: bool = False
    name: str = ""

    @property
    def elements(self) -> int | None:
        """How many numbers it holds; None where a dimension is not fixed."""
        if self.shape is None:
            return None
        fixed = [length for length in self.shape if length is not None]
        return prod(fixed) if len(fixed) == len(self.shape) else None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, called as Core ML's Model Intermediate Language (MIL) calls it.

    An operation that MIL does not have keeps the name its format gives it.
    """

    type: str
    name: str
    inputs: tuple[Tensor, ...]
    """In MIL's order: `x` first, then the weight."""
    outputs: tuple[Tensor, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    multiply_adds: int | None = 0
    """None where a shape that it takes is not fixed, or nobody knows what it does."""
    inside: bool = False
    """Whether it stands in the body of a loop or in a branch."""

    @property
    def dtype(self) -> str:
        """What it computes in: the type of the first input that is no constant, else of its output."""
        flowing = [tensor for tensor in self.inputs if not tensor.constant]
        found = [tensor.dtype for tensor in (*flowing, *self.outputs) if tensor.dtype]
        return found[0] if found else ""


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant that an operation takes as numbers to reckon with."""

    name: str
    elements: int
    channels: int
    """How many scales int8 needs for it: one an output channel."""


@dataclass(frozen=True, slots=True)
class Program:
    """A model's operations and weights."""

    format: str
    """`onnx`, `torch` or `coreml`."""
    operations: tuple[Operation, ...]
    weights: tuple[Weight, ...]
    assumptions: tuple[str, ...] = ()
    """What was taken for given on the way."""
