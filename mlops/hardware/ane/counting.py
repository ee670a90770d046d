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
    """One multiply-add for each combination of its labels, as if it were one nested loop; none where nothing
    is summed up, or there is nothing to multiply with."""
    equation = str(operation.attributes.get("equation", "")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if "." in left or len(terms) > 2:  # how three are paired is the runtime's choice
        raise _Unknown
    lengths: dict[str, int] = {}
    for place, term in enumerate(terms):
        for label, length in zip(term, _lengths(_input(operation, place)) if term else (), strict=True):
            lengths[label] = max(length, lengths.get(label, 0))
    kept = set(right) if arrow else {label for label in lengths if left.count(label) == 1}
    return prod(lengths.values()) if len(terms) == 2 and set(lengths) - kept else 0


def _recurrent(operation: Operation) -> int:
    """Each step multiplies the input and the state with every weight once."""
    steps, batch, _ = _lengths(_input(operation, 0))
    return steps * batch * sum(_size(tensor) for tensor in operation.inputs[1:])


def _attention(operation: Operation) -> int:
    """Queries by keys, then the weights by values, for each head of the queries; they may share keys. Keys of
    steps before count as well. Three dimensions hold the heads in the last one (ONNX, Attention)."""
    given = operation.attributes
    query, key, value = (_lengths(_input(operation, place)) for place in range(3))
    past: int | None = given.get("past_keys", 0)
    if past is None:
        raise _Unknown
    width, values, groups = query[-1], value[-1], prod(key[:-2])
    *heads, queries, _ = query
    if len(query) == 3 and given.get("q_num_heads"):
        heads = [*heads, int(given["q_num_heads"])]
        width //= int(given["q_num_heads"])
        values //= int(given.get("kv_num_heads") or given["q_num_heads"])
    if groups > prod(heads):
        raise _Unknown
    return prod(heads) * queries * (key[-2] + past) * (width + values)


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
