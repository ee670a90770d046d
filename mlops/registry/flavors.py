"""The formats of models, each with what its environment needs; MLflow writes them, and two are our own.

A further flavor is one more row here. MLflow's torch flavor pickles whole modules, and a pickle runs
code when it is loaded: load torch versions of projects you trust, and serve ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops.errors import InvalidInput


@dataclass(frozen=True)
class Flavor:
    """How one kind of model is logged."""

    module: str
    """MLflow's module with its `log_model`, or ours."""
    requirements: tuple[str, ...]
    """Distributions pinned in the model's environment; without them MLflow would load the model in a
    child process to find out."""
    options: Mapping[str, Any] = field(default_factory=dict)
    takes_examples: bool = False
    """Whether `log_model` is given the examples: it needs more of them than their signature."""


FLAVORS: dict[str, Flavor] = {
    "onnx": Flavor("mlflow.onnx", ("onnx", "onnxruntime"), {"save_as_external_data": False}),
    "torch": Flavor("mlflow.pytorch", ("torch", "cloudpickle"), {"serialization_format": "pickle"}),
    "sklearn": Flavor("mlflow.sklearn", ("scikit-learn", "skops"), {"serialization_format": "skops"}),
    "mlx": Flavor("mlops.registry.mlx", ("mlx",), takes_examples=True),
    "coreml": Flavor("mlops.registry.coreml", ("coremltools",), takes_examples=True),
}


def flavor_of(name: str) -> Flavor:
    """The flavor of that name; raises `InvalidInput` naming those there are."""
    try:
        return FLAVORS[name]
    except KeyError:
        raise InvalidInput(
            "flavor", name, "is not known", remedy=f"Use one of: {', '.join(sorted(FLAVORS))}."
        ) from None
