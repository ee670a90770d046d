"""The digits project, for benchmarks that need one deployment."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mlops.client import MLOpsClient


@dataclass(frozen=True)
class Source:
    """A project's folder."""

    folder: Path

    def copy_to(self, target: Path) -> Path:
        """Copy it, so that its data root is not made there."""
        ignored = shutil.ignore_patterns(".dvc", "data", "build", "__pycache__", "*.egg-info")
        return Path(shutil.copytree(self.folder, target, ignore=ignored))


DIGITS = Source(Path(__file__).parents[1] / "projects" / "digits")


def digits_job() -> ModuleType:
    """The project's code."""
    spec = importlib.util.spec_from_file_location("digits_project", DIGITS.folder / "digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def served_sample(client: MLOpsClient) -> list[list[float]]:
    """Train and deploy; returns one input."""
    trained = digits_job().train(client)
    client.deploy_model("digits", version=trained.version.version)
    sample: list[list[float]] = trained.sample.tolist()
    return sample
