"""Multiply-adds of an operation, from its shapes.

Products of matrices, convolutions, recurrent layers and attention are counted. Everything else (activations,
sums, norms, pooling, copies) counts 0: next to these it is little, and it says nothing of what an engine made
of multiply-add units gains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from mlops.hardware.ane.program import Operation, Shape, Tensor


def counted(operation: Operation) -> Operation:
    """The operation with its multiply-adds; None where a shape they depend on is not fixed."""
    count = _COUNTS.get(operation.type)
    if count is None:
        return operation
    try:
        return replace(operation, multiply_adds=count(operation))
    except (_Unknown, ValueError):  # a rank that the operation cannot have
        return replace(operation, multiply_adds=None)


class _Unknown(Exception):
    """A length that is not fixed, or an input that is not there."""


def _conv(operation: Operation) -> int:
    # The weight is (outputs, inputs / groups, *kernel): each output number sums over one slice of it.
    return _size(operation.outputs[0]) * prod(_lengths(_input(operation, 1))[1:])


def _conv_transpose(operation: Operation) -> int:
    # The weight is (inputs, outputs / groups, *kernel): each input number is spread over one slice of it.
    return _size(_input(operation, 0)) * prod(_lengths(_input(operation, 1))[1:])


def _linear(operation: Operation) -> int:
    return _size(operation.outputs[0]) * _lengths(_input(operation, 0))[-1]


def _matmul(operation: Operation) -> int:
    lengths = _lengths(_input(operation, 0))
    transposed = bool(operation.attributes.get("transpose_x")) and len(lengths) > 1
    return _size(operation.outputs[0]) * lengths[-2 if transposed else -1]


def _einsum(operation: Operation) -> int:
    """One multiply-add for each combination of its labels, as if it were one nested loop."""
    equation = str(operation.attributes.get("equation", "")).replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    lengths: dict[str, int] = {}
    for term, tensor in zip(terms, operation.inputs, strict=False):
        if "." in term or not term:
            raise _Unknown
        lengths.update(zip(term, _lengths(tensor), strict=True))
    return prod(lengths.values())


def _recurrent(operation: Operation) -> int:
    """Each step multiplies the input and the state with every weight once."""
    steps, batch, _ = _lengths(_input(operation, 0))
    return steps * batch * sum(_size(tensor) for tensor in operation.inputs[1:])


def _attention(operation: Operation) -> int:
    """Queries by keys, then the weights by values."""
    *_, queries, width = _lengths(_input(operation, 0))
    *_, keys, _ = _lengths(_input(operation, 1))
    *heads, _, values = _lengths(_input(operation, 2))
    return prod(heads) * queries * keys * (width + values)


_COUNTS: dict[str, Callable[[Operation], int]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": _linear,
    "matmul": _matmul,
    "einsum": _einsum,
    "lstm": _recurrent,
    "gru": _recurrent,
    "rnn": _recurrent,
    "scaled_dot_product_attention": _attention,
}


def _input(operation: Operation, index: int) -> Tensor:
    if index >= len(operation.inputs):
        raise _Unknown
    return operation.inputs[index]


def _size(tensor: Tensor) -> int:
    if tensor.elements is None:
        raise _Unknown
    return tensor.elements


def _lengths(tensor: Tensor) -> list[int]:
    shape: Shape = tensor.shape or ()
    fixed = [length for length in shape if length is not None]
    if not fixed or len(fixed) != len(shape):
        raise _Unknown
    return fixed
