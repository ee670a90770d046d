"""Any other MLflow model, by MLflow's own loader. Most of them are pickles: loading one runs its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .mlmodel import MLModel
from .runtime import Runtime
from .signature import Array, Signature


def open_pyfunc(model: MLModel, threads: int) -> Runtime:
    """Load the model, a torch module with `threads` for one answer; raises `ValueError` where it has no
    signature to check against."""
    if model.inputs is None:
        raise ValueError("the model has no signature: log it with an input example")
    if "pytorch" in model.flavors:
        import torch

        torch.set_num_threads(threads)
    import mlflow.pyfunc

    return PyFuncRuntime(mlflow.pyfunc.load_model(str(model.folder)), model.inputs, model.outputs)


class PyFuncRuntime(Runtime):
    """A loaded `python_function`: a table, one array, or arrays by name, as the signature says."""

    def __init__(self, model: Any, inputs: Signature, outputs: Signature | None) -> None:
        super().__init__(inputs, outputs)
        self._model = model
        self._output_names = [tensor.name for tensor in outputs.tensors] if outputs else []

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Predict."""
        return self._named(self._model.predict(self._argument(arrays)))

    def _argument(self, arrays: Mapping[str, Array]) -> Any:
        if self.inputs.columns:
            import pandas as pd

            return pd.DataFrame(dict(arrays))
        if not self.inputs.named:
            return arrays[self.inputs.tensors[0].name]
        return dict(arrays)

    def _named(self, result: Any) -> dict[str, Array]:
        if isinstance(result, Mapping):
            return {str(name): np.asarray(value) for name, value in result.items()}
        if hasattr(result, "columns"):
            return {str(name): result[name].to_numpy() for name in result.columns}
        name = self._output_names[0] if len(self._output_names) == 1 else "outputs"
        return {name: np.asarray(result)}
