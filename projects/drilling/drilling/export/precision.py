"""ONNX with fewer bits: float16 and int8, where it costs no depth.

What turns logits into millimetres stays in float32: the soft argmax over 512 cells, the scales of the
errors, and the merging of the windows.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from drilling.depth_grid import HoleWindows

_HEAVY = ("Conv", "MatMul", "Gemm")
_AT_ONCE = 8


def to_float16(exported: onnx.ModelProto) -> onnx.ModelProto:
    """The model with weights and network in float16, inputs, outputs and the tail in float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(exported)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half: onnx.ModelProto = convert_float_to_float16(
            copy, keep_io_types=True, node_block_list=tail_nodes(exported)
        )
    _without_detours(half)
    return half


def _without_detours(half: onnx.ModelProto) -> None:
    """The converter rounds what one float32 node hands to the next to float16 on its way: the tail would
    overflow. It also writes the cast of an input once for each of its readers, all under one name."""
    graph, written = half.graph, dict[str, onnx.NodeProto]()
    for node in list(graph.node):
        if written.keys().isdisjoint(node.output):
            written.update(dict.fromkeys(node.output, node))
        else:
            graph.node.remove(node)
    straight = {}
    for node in graph.node:
        source = written.get(node.input[0]) if _casts_to(node, onnx.TensorProto.FLOAT) else None
        if source is not None and _casts_to(source, onnx.TensorProto.FLOAT16):
            straight[node.output[0]] = source.input[0]
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = straight.get(name, name)
    _remove_unread(graph)
    del graph.value_info[:]  # it still has the types from before


def _remove_unread(graph: onnx.GraphProto) -> None:
    """Remove the nodes whose outputs nobody reads."""
    while True:
        read = {value.name for value in graph.output} | {name for node in graph.node for name in node.input}
        unread = [node for node in graph.node if read.isdisjoint(node.output)]
        if not unread:
            return
        for node in unread:
            graph.node.remove(node)


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(each.name == "to" and each.i == kind for each in node.attribute)


def to_int8(exported: onnx.ModelProto, calibration: HoleWindows) -> onnx.ModelProto:
    """The model with the convolutions of its trunk in int8, their ranges taken from calibration holes.

    The first and the last convolution stay in float32: what they round is lost as depth.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, name) for name in ("in.onnx", "pre.onnx", "out.onnx"))
        onnx.save(exported, source)
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
            quantize_static(
                prepared,
                target,
                _Calibration(calibration),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_quantize=convolutions[1:-1],
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            logging.disable(level)
        model = onnx.load(target)
    for prop in exported.metadata_props:
        if prop.key not in {each.key for each in model.metadata_props}:
            model.metadata_props.append(prop)
    return model


def tail_nodes(exported: onnx.ModelProto) -> list[str]:
    """The nodes that need the logits: those that no convolution or matrix product comes after."""
    heavy_after: set[str] = set()
    for node in reversed(exported.graph.node):
        if node.op_type in _HEAVY or any(output in heavy_after for output in node.output):
            heavy_after.update(node.input)
    return [
        node.name
        for node in exported.graph.node
        if node.op_type not in _HEAVY and not any(output in heavy_after for output in node.output)
    ]


class _Calibration:
    """Calibration holes, a few at a time, as the quantiser asks for them."""

    def __init__(self, windows: HoleWindows) -> None:
        self._parts: Iterator[dict[str, NDArray[np.float32]]] = (
            {name: array[start : start + _AT_ONCE] for name, array in windows.as_dict().items()}
            for start in range(0, len(windows.signals), _AT_ONCE)
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next holes, None after the last."""
        return next(self._parts, None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._parts
