"""ONNX graphs as programs. coremltools reads no ONNX: what Core ML calls a node is looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.errors import InvalidInput
from mlops.hardware.ane.counting import counted
from mlops.hardware.ane.onnx_types import DTYPES, MIL_TYPES
from mlops.hardware.ane.program import FOLDED, Operation, Program, Shape, Tensor, Weight

_HALVED = "float32 is judged as float16: coremltools converts to float16 by default"
_ONCE = "the operations inside a loop are counted once"
_RECURRENT = ("lstm", "gru", "rnn")
_FLOATS = ("fp16", "fp32", "fp64", "bf16")


def read_onnx(path: Path) -> Program:
    """The program of an ONNX file; raises `InvalidInput` for a file that is none."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        if not model.graph.node:
            raise ValueError("its graph is empty")  # as an empty file's is
        return onnx_program(model)
    except Exception as error:  # protobuf's and onnx's own errors have no common class
        raise InvalidInput(
            "model",
            path.name,
            f"is not an ONNX model that can be read: {_first_line(error)}",
            remedy="Check it with `python -c 'import onnx; onnx.checker.check_model(\"<file>\")'`.",
        ) from error


def onnx_program(model: Any) -> Program:
    """The program of an `onnx.ModelProto`, its batch dimension taken as 1."""
    from onnx import inliner, shape_inference

    flat = inliner.inline_local_functions(model) if model.functions else _copy(model)
    batch = _fix_batch(flat.graph)
    graph = shape_inference.infer_shapes(flat, data_prop=True).graph
    scope = _Scope.of(graph)
    operations = tuple(scope.operations(graph))
    loops = any(each.type == "while_loop" for each in operations)
    return Program(
        "onnx",
        operations,
        tuple(scope.weights.values()),
        (_HALVED, *batch, *((_ONCE,) if loops else ())),
    )


def _copy(model: Any) -> Any:
    copied = type(model)()
    copied.CopyFrom(model)
    return copied


def _fix_batch(graph: Any) -> list[str]:
    """Make the open first dimension of each input 1, as Core ML is to be given it, and say so; a name that
    it has is 1 wherever it stands. A name that is no input's first dimension alone is no batch."""
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in given]
    others = {each.dim_param for value in inputs for each in _dimensions(value)[1:]} - {""}
    names: set[str] = set()
    fixed = []
    for value in inputs:
        first = next(iter(_dimensions(value)), None)
        if first is not None and _is_open(first) and first.dim_param not in others:
            names |= {first.dim_param} - {""}
            first.dim_value = 1
            fixed.append(value.name)
    for value in (*inputs, *graph.value_info, *graph.output):
        for dimension in _dimensions(value):
            if dimension.dim_param in names:
                dimension.dim_value = 1
    _forget_open_shapes(graph)
    return [f"the batch dimension of {', '.join(fixed)} is taken as 1"] if fixed else []


def _forget_open_shapes(graph: Any) -> None:
    """They are inferred anew: the exporter's notes may hold the batch in a product, or under no name."""
    known = [value for value in graph.value_info if not any(map(_is_open, _dimensions(value)))]
    kept = [type(value).FromString(value.SerializeToString()) for value in known]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _dimensions(value: Any) -> Any:
    return value.type.tensor_type.shape.dim


def _is_open(dimension: Any) -> bool:
    return not dimension.HasField("dim_value") or dimension.dim_value < 0


@dataclass
class _Scope:
    """What is known of each value by its name; inner graphs see the outer one's."""

    tensors: dict[str, Tensor]
    weights: dict[str, Weight] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Any) -> _Scope:
        scope = cls({})
        scope.learn(graph)
        return scope

    def learn(self, graph: Any) -> None:
        for value in (*graph.input, *graph.value_info, *graph.output):
            self.tensors[value.name] = _described(value)
        for tensor in graph.initializer:
            self.tensors[tensor.name] = Tensor(
                tuple(tensor.dims), _dtype(tensor.data_type), True, tensor.name
            )

    def operations(self, graph: Any) -> Iterator[Operation]:
        for node in graph.node:
            if node.op_type == "Constant" or self._folds(node):
                self._fold(node)
                continue
            made = self._operation(node)
            if made.type not in FOLDED:
                self._weigh(made, [self._tensor(name) for name in node.input if name])
                yield counted(made)
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                    self.learn(inner)
                    yield from self.operations(inner)

    def _folds(self, node: Any) -> bool:
        """Whether the converter computes it beforehand: from constants alone, or a shape that is fixed."""
        inputs = [self._tensor(name) for name in node.input if name]
        if node.op_type == "Shape":
            return inputs[0].elements is not None
        return bool(inputs) and all(tensor.constant for tensor in inputs) and not _is_random(node)

    def _fold(self, node: Any) -> None:
        for name in node.output:
            known = self._tensor(name)
            self.tensors[name] = Tensor(known.shape, known.dtype, True, name)

    def _operation(self, node: Any) -> Operation:
        attributes = _attributes(node)
        known = MIL_TYPES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        kind = known or ".".join(part for part in (node.domain, node.op_type) if part)
        inputs = [self._tensor(name) for name in node.input if name]
        if node.op_type in ("QLinearConv", "QLinearMatMul"):  # (x, scale, zero point, weight, …)
            inputs = [inputs[0], inputs[3]]
        if kind in _RECURRENT:  # biases and first states come after the weights
            inputs = inputs[:3]
        if kind == "pad":
            attributes["mode"] = str(attributes.get("mode", "constant"))
        if kind == "matmul":
            attributes["transpose_x"] = bool(attributes.get("transA", 0))
            if len(inputs) > 1 and inputs[1].constant and len(inputs[1].shape or ()) == 2:
                kind = "linear" if not attributes["transpose_x"] else kind
        outputs = tuple(self._tensor(name) for name in node.output if name)
        name = node.name or (node.output[0] if node.output else node.op_type)
        return Operation(kind, name, tuple(inputs), outputs, attributes, 0 if known else None)

    def _weigh(self, operation: Operation, taken: list[Tensor]) -> None:
        for tensor in taken:
            if tensor.constant and tensor.elements and tensor.dtype in _FLOATS:
                channels = _channels(operation, tensor)
                self.weights.setdefault(tensor.name, Weight(tensor.name, tensor.elements, channels))

    def _tensor(self, name: str) -> Tensor:
        return self.tensors.get(name) or Tensor(None, "", False, name)


def _channels(operation: Operation, weight: Tensor) -> int:
    """Output channels: the last dimension of a matrix that stands right of the data, else the first."""
    shape = [length for length in weight.shape or () if length is not None]
    if not shape:
        return 1
    right = operation.type in ("linear", "matmul") and not operation.attributes.get("transB")
    return shape[-1] if right else shape[0]


def _described(value: Any) -> Tensor:
    kind = value.type.tensor_type
    shape: Shape | None = None
    if kind.HasField("shape"):
        shape = tuple(None if _is_open(each) else each.dim_value for each in kind.shape.dim)
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
