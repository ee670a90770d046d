"""Small ONNX models to judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Shapes = dict[str, Sequence[int | str | None]]


def model(
    nodes: Sequence[NodeProto],
    inputs: Shapes,
    outputs: Sequence[str],
    constants: dict[str, np.ndarray[Any, Any]] | None = None,
    dtype: int = TensorProto.FLOAT,
    opset: int = 20,
    functions: Sequence[Any] = (),
) -> ModelProto:
    """A model of these nodes; a dimension that is a text or None is open."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=functions)


def weights(*shape: int, dtype: type = np.float32) -> np.ndarray[Any, Any]:
    """Numbers that differ from each other."""
    size = int(np.prod(shape))
    return (np.arange(size, dtype=np.float64) / size - 0.5).reshape(shape).astype(dtype)


def single(
    op: str, *shapes: Sequence[int | str | None], dtype: int = TensorProto.FLOAT, **attributes: Any
) -> ModelProto:
    """One node of inputs `x0`, `x1` …"""
    inputs = {f"x{place}": shape for place, shape in enumerate(shapes)}
    node = helper.make_node(op, list(inputs), ["y"], name="the-node", **attributes)
    return model([node], inputs, ["y"], dtype=dtype)


def three_layers(batch: int | str = "n") -> ModelProto:
    """A convolution of 3x3 over 16x16 pixels, 3 to 8 channels; a relu; a linear layer to 10."""
    return model(
        [
            helper.make_node("Conv", ["x", "kernel", "bias"], ["maps"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["maps"], ["active"], name="relu"),
            helper.make_node("Flatten", ["active"], ["flat"], name="flatten"),
            helper.make_node("Gemm", ["flat", "matrix", "shift"], ["y"], name="linear", transB=1),
        ],
        {"x": [batch, 3, 16, 16]},
        ["y"],
        {
            "kernel": weights(8, 3, 3, 3),
            "bias": weights(8),
            "matrix": weights(10, 8 * 16 * 16),
            "shift": weights(10),
        },
    )


CONV_MULTIPLY_ADDS = 8 * 16 * 16 * (3 * 3 * 3)  # each of the 2048 outputs sums 27 products: 55,296
LINEAR_MULTIPLY_ADDS = 10 * 2048  # 20,480
MULTIPLY_ADDS = CONV_MULTIPLY_ADDS + LINEAR_MULTIPLY_ADDS  # 75,776
PARAMETERS = 8 * 27 + 8 + 10 * 2048 + 10  # 20,714


def with_windows(model: ModelProto, count: int) -> ModelProto:
    """The drilling model for so many windows a hole: the reader takes an open batch as 1, and no other."""
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == "windows":
                dimension.dim_value = count
    return model
