"""Where a training stands on the disk: its MLflow run, and what its parts have given so far.

The folder's name is a digest of all that decides the result, so that another training never goes on with
it, and the same one always does.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drilling.config import TrainingConfig
from drilling.cross_validation import FoldData

_RUN = "run.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A training's folder below the project's build folder."""

    folder: Path

    @classmethod
    def open(cls, root: Path, data_hash: str, config: TrainingConfig, data: FoldData) -> "TrainingState":
        """The folder of this very training, made where it is missing."""
        digest = hashlib.sha256()
        folds = [fold.held_out.tolist() for fold in data.plan.folds]
        plain = [_FORMAT, data_hash, asdict(config), data.names, folds, data.gate.tolist()]
        digest.update(json.dumps(plain).encode())
        digest.update(np.ascontiguousarray(data.labels_mm).tobytes())
        folder = root / "build" / "training" / digest.hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    @property
    def run(self) -> dict[str, Any]:
        """The run that was begun, `id` and `seconds` spent on it so far; empty where none was."""
        try:
            kept: dict[str, Any] = json.loads((self.folder / _RUN).read_text())
        except (OSError, ValueError):
            return {}
        return kept

    def keep_run(self, **values: Any) -> None:
        """Remember the run, at once or not at all."""
        part = self.folder / f"{_RUN}.part"
        part.write_text(json.dumps(self.run | values))
        part.replace(self.folder / _RUN)

    def remove(self) -> None:
        """Forget a training that has ended well."""
        shutil.rmtree(self.folder, ignore_errors=True)
