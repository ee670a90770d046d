"""MLflow's `MLmodel` file, as far as serving needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .signature import Signature, parse


@dataclass(frozen=True)
class MLModel:
    """One MLflow model folder."""

    folder: Path
    flavors: dict[str, dict[str, Any]]
    inputs: Signature | None
    outputs: Signature | None
    run_id: str = ""

    def file(self, relative: str) -> Path:
        """A file that `MLmodel` names; raises `ValueError` when it lies outside the folder."""
        path = (self.folder / relative).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ValueError(f"MLmodel names {relative!r}, which lies outside the model's folder")
        return path


def read(folder: Path) -> MLModel:
    """Read `folder`/MLmodel; raises `ValueError` on a file that is not one."""
    content = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("flavors"), dict):
        raise ValueError(f"{folder / 'MLmodel'} is not a description of a model")
    signature = content.get("signature") or {}
    return MLModel(
        folder=folder,
        flavors=content["flavors"],
        inputs=parse(signature.get("inputs"), "inputs"),
        outputs=parse(signature.get("outputs"), "outputs"),
        run_id=str(content.get("run_id") or ""),
    )
