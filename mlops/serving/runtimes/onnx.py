"""ONNX models by ONNX Runtime; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime

from .mlmodel import MLModel
from .runtime import Runtime
from .signature import Array, Signature, Tensor

_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}


CPU = "CPUExecutionProvider"


def open_onnx(model: MLModel, threads: int, providers: Sequence[str] = (CPU,)) -> Runtime:
    """Open the model's graph with `threads` for one answer, by those of the execution `providers`, best
    first, that the installed ONNX Runtime has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the cores that other replicas need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = model.file(str(model.flavors["onnx"].get("data", "model.onnx")))
    known = onnxruntime.get_available_providers()
    chosen = [name for name in providers if name in known] or [CPU]
    session = onnxruntime.InferenceSession(str(path), options, providers=chosen)
    return OnnxRuntime(session, model)


class OnnxRuntime(Runtime):
    """A session. The signature's names and shapes count where it names the graph's inputs; else the
    graph's own."""

    def __init__(self, session: onnxruntime.InferenceSession, model: MLModel) -> None:
        self._session = session
        self.providers = tuple(session.get_providers())
        """That compute it, best first."""
        self._outputs = [output.name for output in session.get_outputs()]
        graph = Signature(tuple(_tensor(value) for value in session.get_inputs()))
        given = Signature(tuple(_tensor(value) for value in session.get_outputs()))
        super().__init__(_joined(graph, model.inputs), given)

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the graph's outputs."""
        results = self._session.run(self._outputs, dict(arrays))
        return dict(zip(self._outputs, results, strict=True))


def _tensor(value: Any) -> Tensor:
    if value.type not in _TYPES:
        raise ValueError(f"the graph's {value.name!r} is a {value.type}, which is not served")
    return Tensor(
        value.name,
        _TYPES[value.type],
        tuple(length if isinstance(length, int) and length > 0 else -1 for length in value.shape),
    )


def _joined(graph: Signature, stated: Signature | None) -> Signature:
    if stated is None or stated.columns:
        return graph
    if not stated.named and len(graph.tensors) == len(stated.tensors) == 1:
        only = stated.tensors[0]
        return Signature((Tensor(graph.tensors[0].name, graph.tensors[0].dtype, only.shape),))
    by_name = {tensor.name: tensor for tensor in stated.tensors}
    if set(by_name) != {tensor.name for tensor in graph.tensors}:
        raise ValueError(
            f"the signature names the inputs {sorted(by_name)}, the graph"
            f" {sorted(tensor.name for tensor in graph.tensors)}"
        )
    return Signature(tuple(Tensor(t.name, t.dtype, by_name[t.name].shape or t.shape) for t in graph.tensors))
