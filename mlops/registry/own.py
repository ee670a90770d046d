"""Model folders of the formats that MLflow has no flavor for (MLX, Core ML), logged by MLflow's own API.

Such a folder is as MLflow's are (its documentation, "Storage Format" of models): `MLmodel` with the signature
and a flavor's entry, which names the model's file in `data`, and `requirements.txt`. It has no
`python_function`: MLflow keeps and registers it, and does not load it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """One model, as what MLflow asks of a flavor's module: `save_model`."""

    flavor: str
    data: Path
    """The model's file or folder, which is copied."""
    signature: Any
    """MLflow's."""
    facts: Mapping[str, Any]
    """Of the flavor's entry, beside `data`."""

    def save_model(self, path: str, mlflow_model: Any, pip_requirements: Sequence[str]) -> None:
        """Write the folder."""
        folder = Path(path)
        folder.mkdir(parents=True)
        name = f"model{self.data.suffix}"
        if self.data.is_dir():
            shutil.copytree(self.data, folder / name)
        else:
            shutil.copyfile(self.data, folder / name)
        mlflow_model.signature = self.signature
        mlflow_model.add_flavor(self.flavor, data=name, **self.facts)
        (folder / "requirements.txt").write_text("\n".join(pip_requirements) + "\n", encoding="utf-8")
        mlflow_model.save(str(folder / "MLmodel"))

    def log(self, name: str, pip_requirements: Sequence[str]) -> Any:
        """Store the folder with the current run; returns MLflow's ModelInfo."""
        from mlflow.models import Model

        return Model.log(
            None, self, name=name, flavor_name=f"mlops.{self.flavor}", pip_requirements=pip_requirements
        )
