"""The digits project, for benchmarks that need one deployment."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from mlops.client import MLOpsClient


@dataclass(frozen=True)
class Source:
    """A project's folder in the tests."""

    folder: Path

    def copy_to(self, target: Path) -> Path:
        """Copy it, so that its data root is not made in the tests."""
        return Path(shutil.copytree(self.folder, target))


DIGITS = Source(Path(__file__).parents[1] / "projects" / "digits")


def served_sample(client: MLOpsClient) -> list[list[float]]:
    """Train and deploy; returns one input."""
    spec = importlib.util.spec_from_file_location("digits_project", DIGITS.folder / "digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    trained = module.train(client)
    client.deploy_model("digits", version=trained.version.version)
    sample: list[list[float]] = trained.sample.tolist()
    return sample
