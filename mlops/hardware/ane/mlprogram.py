"""Core ML's own program, as it stands in a model's specification (`MIL.proto` of coremltools)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops.hardware.ane.counting import counted
from mlops.hardware.ane.program import FOLDED, Operation, Tensor, Weight
from mlops.hardware.ane.sizes import channels

_DTYPES = {"float16": "fp16", "float32": "fp32", "float64": "fp64", "bfloat16": "bf16"}
_WEIGHTS = {
    "lstm": ("weight_ih", "weight_hh", "weight_ih_back", "weight_hh_back"),
    "gru": ("weight_ih", "weight_hh"),
    "rnn": ("weight_ih", "weight_hh"),
    "scaled_dot_product_attention": ("key", "value"),
    "matmul": ("y",),
}
_FIRST = ("x", "query", "data", "values")


@dataclass
class Walk:
    """The operations of a program and, once they were walked, its weights."""

    weights: dict[str, Weight] = field(default_factory=dict)
    _tensors: dict[str, Tensor] = field(default_factory=dict)
    _values: dict[str, Any] = field(default_factory=dict)

    def operations(self, program: Any) -> Iterator[Operation]:
        """Those of the main function, or of the first where none is called so; blocks inside others come
        after the operation that holds them."""
        functions = program.functions
        function = functions["main"] if "main" in functions else next(iter(functions.values()))
        for value in function.inputs:
            self._tensors[value.name] = _tensor(value)
        block = function.block_specializations[function.opset]
        yield from self._block(block)

    def _block(self, block: Any, inside: bool = False) -> Iterator[Operation]:
        for value in block.inputs:
            self._tensors[value.name] = _tensor(value)
        for found in block.operations:
            constant = found.type == "const" or found.type.startswith("constexpr_")
            outputs = tuple(_tensor(value, constant) for value in found.outputs)
            self._tensors.update({tensor.name: tensor for tensor in outputs})
            if found.type == "const":
                self._values[outputs[0].name] = _value(found.attributes["val"])
            elif not constant and found.type not in FOLDED:
                yield counted(self._operation(found, outputs, inside))
            for inner in found.blocks:
                yield from self._block(inner, inside=True)

    def _operation(self, found: Any, outputs: tuple[Tensor, ...], inside: bool) -> Operation:
        arguments = {name: self._argument(given) for name, given in found.inputs.items()}
        kind = found.type
        attributes = self._attributes(found)
        for name, tensors in arguments.items():
            for tensor in tensors:
                self._weigh(tensor, kind, name == "y", bool(attributes.get(f"transpose_{name}")))
        first = next((arguments[name] for name in _FIRST if name in arguments), ())
        others = [arguments.get(name, ()) for name in _WEIGHTS.get(kind, ("weight", "indices"))]
        rest = [tensors for name, tensors in arguments.items() if kind not in _WEIGHTS and name not in _FIRST]
        named = tuple(tensor for tensors in (first, *others) for tensor in tensors)
        # Whatever else it takes that is data, such as the second term of a sum.
        data = tuple(t for tensors in rest for t in tensors if not t.constant and t not in named)
        name = outputs[0].name if outputs else kind
        return Operation(kind, name, (*named, *data), outputs, attributes, inside=inside)

    def _argument(self, given: Any) -> tuple[Tensor, ...]:
        return tuple(self._tensors[each.name] for each in given.arguments if each.name in self._tensors)

    def _attributes(self, found: Any) -> Mapping[str, Any]:
        known: dict[str, Any] = {}
        for name, given in found.inputs.items():
            for each in given.arguments:
                value = self._values.get(each.name) if each.name else _value(each.value)
                if value is not None:
                    known[name] = value
        return known

    def _weigh(self, tensor: Tensor, kind: str, right: bool, transposed: bool) -> None:
        if tensor.constant and tensor.elements and tensor.dtype in _DTYPES.values():
            outputs = channels(kind, tensor.shape or (), right, transposed)
            self.weights.setdefault(tensor.name, Weight(tensor.name, tensor.elements, outputs))


def _tensor(value: Any, constant: bool = False) -> Tensor:
    held = value.type.stateType.wrappedType if value.type.HasField("stateType") else value.type
    if not held.HasField("tensorType"):  # a list or a dictionary
        return Tensor(None, "", constant, value.name)
    kind = held.tensorType
    shape = tuple(
        each.constant.size if each.HasField("constant") else None  # else it is unknown until it runs
        for each in kind.dimensions
    )
    numbers = kind.DESCRIPTOR.fields_by_name["dataType"].enum_type.values_by_number
    dtype = str(numbers[kind.dataType].name).lower()
    return Tensor(shape, _DTYPES.get(dtype, dtype), constant, value.name)


def _value(value: Any) -> Any:
    """A number, a text or a list of them; None for what lies in the weights' file."""
    if not value.HasField("immediateValue") or not value.immediateValue.HasField("tensor"):
        return None
    tensor = value.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    if kind in (None, "bytes"):
        return None
    values = list(getattr(tensor, kind).values)
    scalar = not value.type.tensorType.dimensions
    return values[0] if scalar and len(values) == 1 else values
