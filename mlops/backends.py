"""Which implementation stands behind a capability's name; imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from mlops.errors import BackendUnknown, ConfigError

_BACKENDS: dict[str, dict[str, str]] = {
    "tracking": {
        "mlflow": "mlops.tracking.mlflow:MLflowTracker",
        "memory": "mlops.tracking.memory:MemoryTracker",
    },
    "registry": {
        "mlflow": "mlops.registry.mlflow:MLflowRegistry",
        "memory": "mlops.registry.memory:MemoryRegistry",
    },
    "data": {
        "dvc": "mlops.data.dvc.store:DvcStore",
        "local": "mlops.data.local:LocalStore",
    },
}


def load(capability: str, name: str) -> Any:
    """The class; raises `BackendUnknown` naming those there are, and `ConfigError` when what it needs
    is not installed."""
    known = _BACKENDS[capability]
    if name not in known:
        raise BackendUnknown(capability, name, list(known))
    module, _, attribute = known[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(
            f"the {capability} backend {name!r} needs what is not installed: {error.name or error}",
            remedy="Run `make setup`, or install efficientai-toolkit again.",
            capability=capability,
            name=name,
        ) from error
