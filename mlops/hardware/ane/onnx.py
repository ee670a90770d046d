"""ONNX graphs as programs. coremltools reads no ONNX: what Core ML calls a node is looked up."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.errors import InvalidInput
from mlops.hardware.ane.counting import counted
from mlops.hardware.ane.onnx_batch import fix_batch, inner_graphs, is_open
from mlops.hardware.ane.onnx_types import (
    DTYPES,
    INTEGER_WEIGHTS,
    MIL_TYPES,
    SAME_NUMBERS,
    UNCOUNTED,
    WEIGHT_SLOTS,
)
from mlops.hardware.ane.program import FOLDED, Operation, Program, Shape, Tensor, Weight
from mlops.hardware.ane.sizes import channels
from mlops.hardware.ane.wording import first_line

_HALVED = "float32 is judged as float16: coremltools converts to float16 by default"
_ASSUMED = {
    "while_loop": "the operations inside a loop are counted once",
    "cond": "the operations of both branches of an if are added",
}
_RECURRENT = ("lstm", "gru", "rnn")
_FLOATS = ("fp16", "fp32", "fp64", "bf16")


def read_onnx(path: Path) -> Program:
    """The program of an ONNX file; raises `InvalidInput` for a file that is none."""
    import onnx

    if not path.is_file():  # a FIFO would be waited for
        raise _refused(path.name, "it is not a regular file")
    with _reading(path.name):
        model = onnx.load(path, load_external_data=False)
    if not model.graph.node:
        raise _refused(path.name, "its graph is empty")  # as an empty file's is
    return onnx_program(model, path.name)


def onnx_program(model: Any, name: str = "onnx") -> Program:
    """The program of an `onnx.ModelProto`, its batch dimension taken as 1; raises `InvalidInput`, which names
    the model so, where onnx cannot infer its shapes."""
    from onnx import inliner, shape_inference

    def infer(given: Any) -> Any:
        with _reading(name):
            return shape_inference.infer_shapes(given, data_prop=True)

    with _reading(name):
        flat = inliner.inline_local_functions(model) if model.functions else _copy(model)
    batch = fix_batch(flat, infer)
    graph = infer(flat).graph
    scope = _Scope(ChainMap())
    scope.learn(graph)
    operations = tuple(scope.operations(graph))
    types = {each.type for each in operations}
    assumed = (text for kind, text in _ASSUMED.items() if kind in types)
    return Program("onnx", operations, tuple(scope.weights.values()), (_HALVED, *batch, *assumed))


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # protobuf's and onnx's own errors have no common class
        raise _refused(name, first_line(error)) from error


def _refused(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        "model",
        name,
        f"is not an ONNX model that can be read: {why}",
        remedy="Check it with `python -c 'import onnx; onnx.checker.check_model(\"<file>\")'`.",
    )


def _copy(model: Any) -> Any:
    copied = type(model)()
    copied.CopyFrom(model)
    return copied


@dataclass
class _Scope:
    """What is known of each value by its name; inner graphs see the outer one's, and not each other's."""

    tensors: ChainMap[str, Tensor]
    weights: dict[str, Weight] = field(default_factory=dict)
    path: str = ""
    """Of the inner graph; two branches may call their weights alike."""

    def learn(self, graph: Any) -> None:
        for value in (*graph.input, *graph.value_info, *graph.output):
            self.tensors[value.name] = _described(value)
        for tensor in graph.initializer:
            self.tensors[tensor.name] = Tensor(
                tuple(tensor.dims), _dtype(tensor.data_type), True, self.path + tensor.name
            )

    def operations(self, graph: Any) -> Iterator[Operation]:
        for node in graph.node:
            if node.op_type == "Constant" or self._folds(node):
                self._fold(node)
                continue
            made = self._operation(node)
            if made.type not in FOLDED:
                self._weigh(made, node)
                yield counted(made)
            for name, inner in inner_graphs(node):
                path = f"{self.path}{node.output[0] if node.output else node.name}.{name}/"
                scope = _Scope(self.tensors.new_child(), self.weights, path)
                scope.learn(inner)
                yield from scope.operations(inner)

    def _folds(self, node: Any) -> bool:
        """Whether the converter computes it beforehand: from constants alone, or a shape that is fixed. What
        a graph inside takes is not among its inputs."""
        inputs = [self._tensor(name) for name in node.input if name]
        if not inputs or _is_random(node) or inner_graphs(node):
            return False
        if node.op_type in ("Shape", "Size"):
            return inputs[0].elements is not None
        return all(tensor.constant for tensor in inputs)

    def _fold(self, node: Any) -> None:
        source = self._tensor(node.input[0]) if node.op_type in SAME_NUMBERS and node.input else None
        for name in node.output:
            known = self._tensor(name)
            # A weight that is turned for one operation and taken as it is by another is one weight.
            self.tensors[name] = Tensor(
                known.shape, known.dtype, True, source.name if source is not None else self.path + name
            )

    def _operation(self, node: Any) -> Operation:
        attributes = _attributes(node)
        standard = node.domain in ("", "ai.onnx")
        known = MIL_TYPES.get(node.op_type) if standard else None
        kind = known or ".".join(part for part in (node.domain, node.op_type) if part)
        inputs = [self._tensor(name) for name in node.input if name]
        if node.op_type in ("QLinearConv", "QLinearMatMul"):  # (x, scale, zero point, weight, …)
            inputs = [*inputs[:1], *inputs[3:4]]
        if kind in _RECURRENT:  # biases and first states come after the weights
            inputs = inputs[:3]
        if kind == "scaled_dot_product_attention":  # (query, key, value, mask, past key, past value, …)
            past = self._tensor(node.input[4]).shape if len(node.input) > 4 and node.input[4] else (0, 0, 0)
            attributes["past_keys"] = past[2] if past is not None and len(past) > 2 else None
        if kind == "pad":
            attributes["mode"] = str(attributes.get("mode", "constant"))
        if kind == "matmul":
            attributes["transpose_x"] = bool(attributes.get("transA", 0))
            attributes["transpose_y"] = bool(attributes.get("transB", 0))
            if len(inputs) > 1 and inputs[1].constant and len(inputs[1].shape or ()) == 2:
                kind = "linear" if not attributes["transpose_x"] else kind
        outputs = tuple(self._tensor(name) for name in node.output if name)
        name = node.name or (node.output[0] if node.output else node.op_type)
        count = 0 if known or (standard and _is_defined(node)) else None
        return Operation(kind, name, tuple(inputs), outputs, attributes, count, bool(self.path))

    def _weigh(self, operation: Operation, node: Any) -> None:
        slots = WEIGHT_SLOTS.get(node.op_type, range(len(node.input)))
        for slot, tensor in (
            (slot, self._tensor(node.input[slot])) for slot in slots if slot < len(node.input)
        ):
            counts = tensor.dtype in _FLOATS or node.op_type in INTEGER_WEIGHTS
            if tensor.constant and tensor.shape and tensor.elements and counts:
                weight = Weight(tensor.name, tensor.elements, _channels(operation, tensor, node, slot))
                self.weights.setdefault(tensor.name, weight)

    def _tensor(self, name: str) -> Tensor:
        return self.tensors.get(name) or Tensor(None, "", False, name)


def _channels(operation: Operation, weight: Tensor, node: Any, slot: int) -> int:
    """Those that Core ML's weight has: a matrix right of the data is turned for it, the directions of a
    recurrent layer are weights of their own."""
    shape = weight.shape or ()
    if operation.type in _RECURRENT and len(shape) == 3:
        return (shape[0] or 1) * (shape[1] or 1)
    if operation.type not in ("linear", "matmul"):
        return channels(operation.type, shape)
    right = 3 if node.op_type == "QLinearMatMul" else 1
    if slot > right:  # the bias
        return channels("", shape)
    transposed = operation.attributes["transpose_y" if slot == right else "transpose_x"]
    return channels("matmul", shape, slot == right, transposed)


def _is_defined(node: Any) -> bool:
    """Whether ONNX has it, and it multiplies no matrices."""
    from onnx import defs

    return node.op_type not in UNCOUNTED and bool(defs.has(node.op_type))


def _described(value: Any) -> Tensor:
    kind = value.type.tensor_type
    shape: Shape | None = None
    if kind.HasField("shape"):
        shape = tuple(None if is_open(each) else each.dim_value for each in kind.shape.dim)
    return Tensor(shape, _dtype(kind.elem_type), False, value.name)


def _dtype(number: int) -> str:
    found = DTYPES.get(number, "")
    return "fp16" if found == "fp32" else found


def _attributes(node: Any) -> dict[str, Any]:
    """Numbers and texts; graphs and tensors are left out."""
    from onnx import helper

    found: Mapping[str, Any] = {
        each.name: helper.get_attribute_value(each) for each in node.attribute if each.type in (1, 2, 3, 6, 7)
    }
    decoded = {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}
    return {name: list(value) if _is_list(value) else value for name, value in decoded.items()}


def _is_list(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str)


def _is_random(node: Any) -> bool:
    return node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial")
