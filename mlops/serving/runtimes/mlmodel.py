"""MLflow's `MLmodel` file, as far as serving needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .signature import Signature, parse

DATA_FLAVORS = ("onnx", "mlx", "coreml")
"""Those that are data alone, each with a runtime here, in the order in which a model's are taken. Every other
one may run code when it is loaded."""
PYFUNC = "python_function"
"""The flavor by which MLflow loads any model of its own."""


@dataclass(frozen=True)
class MLModel:
    """One MLflow model folder."""

    folder: Path
    flavors: dict[str, dict[str, Any]]
    inputs: Signature | None
    outputs: Signature | None
    run_id: str = ""

    @property
    def runtime(self) -> str:
        """The flavor by which it is opened."""
        return next((flavor for flavor in DATA_FLAVORS if flavor in self.flavors), PYFUNC)

    def file(self, relative: str) -> Path:
        """A file that `MLmodel` names; raises `ValueError` when it lies outside the folder."""
        path = (self.folder / relative).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ValueError(f"MLmodel names {relative!r}, which lies outside the model's folder")
        return path


def read(folder: Path) -> MLModel:
    """Read `folder`/MLmodel; raises `ValueError`, which names no folder, where it is not one of MLflow's."""
    try:
        content = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"MLmodel cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError("MLmodel is not YAML") from error
    flavors = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavors, dict) or not all(isinstance(each, dict) for each in flavors.values()):
        raise ValueError("MLmodel describes no flavors of a model")
    signature = content.get("signature") or {}
    try:
        inputs = parse(signature.get("inputs"), "inputs")
        outputs = parse(signature.get("outputs"), "outputs")
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("MLmodel holds a signature that is not MLflow's") from error
    return MLModel(folder, flavors, inputs, outputs, run_id=str(content.get("run_id") or ""))
