"""Core ML packages, on a Mac, by its CPU, GPU and Neural Engine; nothing is unpickled."""

from __future__ import annotations

import platform
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .mlmodel import MLModel
from .runtime import Runtime
from .signature import Array, Signature


class NeedsMac(RuntimeError):
    """Core ML answers on macOS alone."""


def open_coreml(model: MLModel) -> Runtime:
    """Load the package; raises `NeedsMac` on another system, `ValueError` without a signature."""
    facts = model.flavors["coreml"]
    if model.inputs is None or not isinstance(facts.get("outputs"), list):
        raise ValueError("the model says nothing of its inputs and outputs: log it with `client.log_model`")
    if platform.system() != "Darwin":
        raise NeedsMac(
            f"a Core ML model answers on macOS alone, and this is {platform.system()}: serve its ONNX form"
        )
    import coremltools

    path = model.file(str(facts.get("data", "model.mlpackage")))
    loaded = coremltools.models.MLModel(str(path), compute_units=coremltools.ComputeUnit.ALL)
    return CoreMlRuntime(loaded, model.inputs, model.outputs, facts["outputs"])


class CoreMlRuntime(Runtime):
    """A loaded package, which is asked by one thread at a time: Apple's documentation of MLModel asks
    for one thread or dispatch queue."""

    def __init__(
        self, model: Any, inputs: Signature, outputs: Signature | None, names: Sequence[str]
    ) -> None:
        super().__init__(inputs, outputs)
        self._model = model
        self._names = list(names)
        self._lock = threading.Lock()

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Predict."""
        with self._lock:
            found = self._model.predict(dict(arrays))
        return {name: np.asarray(found[name]) for name in self._names}
