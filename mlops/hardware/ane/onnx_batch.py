"""Which open dimension of an ONNX graph is the batch, and that it is 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_RECURRENT = ("LSTM", "GRU", "RNN")


def fix_batch(model: Any, infer: Callable[[Any], Any]) -> list[str]:
    """Make the batch 1 wherever it stands in the `onnx.ModelProto`, as Core ML is to be given it; returns
    what is to be said of it. `infer` gives the model with its shapes.

    The batch is the open length that leads the first input, or another one if it leads nothing but inputs.
    A length that stands twice in an input is none. Where a recurrent layer takes steps first, the length
    of its steps is no batch, and the one after it is.
    """
    inputs = open_inputs(model.graph)
    _name_open(inputs)
    batch = _batch_names(inputs, *_recurrent_names(model, infer))
    fixed = [value.name for value in inputs if batch & {each.dim_param for each in dimensions(value)}]
    for graph in all_graphs(model.graph):
        for value in (*graph.input, *graph.value_info, *graph.output):
            for dimension in dimensions(value):
                if dimension.dim_param in batch:
                    dimension.dim_value = 1
    return [f"the batch dimension of {', '.join(fixed)} is taken as 1"] if fixed else []


def open_inputs(graph: Any) -> list[Any]:
    """Its inputs without the weights, which old models list among them."""
    given = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in given]


def all_graphs(graph: Any) -> Iterator[Any]:
    """The graph, and those inside its nodes."""
    yield graph
    for node in graph.node:
        for _, inner in inner_graphs(node):
            yield from all_graphs(inner)


def inner_graphs(node: Any) -> list[tuple[str, Any]]:
    """The bodies and branches of a node, each with a name of its own."""
    found = []
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
        found += [(f"{attribute.name}{place or ''}", graph) for place, graph in enumerate(graphs)]
    return found


def dimensions(value: Any) -> Any:
    """Those of a `ValueInfoProto`."""
    return value.type.tensor_type.shape.dim


def is_open(dimension: Any) -> bool:
    """Whether its length is not fixed; old exporters write -1."""
    return not dimension.HasField("dim_value") or dimension.dim_value < 0


def _name_open(inputs: list[Any]) -> None:
    for value in inputs:
        for place, dimension in enumerate(dimensions(value)):
            if is_open(dimension) and not dimension.dim_param:
                dimension.dim_param = f"{value.name}:{place}"


def _batch_names(inputs: list[Any], steps: set[str], batches: set[str]) -> set[str]:
    shapes = [[each.dim_param for each in dimensions(value)] for value in inputs]
    leading = {shape[0] for shape in shapes if shape}
    later = {name for shape in shapes for name in shape[1:]}
    twice = {name for shape in shapes for name in shape if shape.count(name) > 1}
    first = set(shapes[0][:1]) if shapes else set()
    return ((((leading - later) | (first - twice)) - steps) | batches) - {""}


def _recurrent_names(model: Any, infer: Callable[[Any], Any]) -> tuple[set[str], set[str]]:
    """The names of the steps and of the batch in what recurrent layers take in the layout (steps, batch)."""
    taken = {
        node.input[0]
        for node in model.graph.node
        if node.op_type in _RECURRENT and node.input
        if not any(attribute.name == "layout" and attribute.i for attribute in node.attribute)
    }
    if not taken:
        return set(), set()
    graph = infer(model).graph
    shapes = [
        [each.dim_param for each in dimensions(value)]
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.name in taken
    ]
    known = [shape for shape in shapes if len(shape) == 3]
    return {shape[0] for shape in known}, {shape[1] for shape in known}
