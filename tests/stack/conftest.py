"""Projects on the shared stack: drilling and digits, registered beside each other."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mlops.client import MLOpsClient
from mlops.installation import Installation
from mlops.registration import register
from mlops.store.store import Store

ROOT = Path(__file__).parents[2]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.invalid"]

Register = Callable[[Path], MLOpsClient]


@pytest.fixture(scope="session")
def registered(stack: Installation, tmp_path_factory: pytest.TempPathFactory) -> Register:
    """Copies a project's folder into a git repository of its own, registers it, gives its client."""

    def join(source: Path) -> MLOpsClient:
        root = tmp_path_factory.mktemp("projects") / source.name
        shutil.copytree(source, root, ignore=shutil.ignore_patterns(".dvc", "data", "build", "__pycache__"))
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "A project"]):
            subprocess.run([*GIT, *command], cwd=root, check=True)
        store = Store(stack.database_url())
        workspace = register(root, stack, store)
        store.close()
        return MLOpsClient.from_project(workspace.info.project_name, config=stack.config)

    return join


@pytest.fixture(scope="session")
def drilling(registered: Register) -> MLOpsClient:
    """The drilling project."""
    return registered(ROOT / "projects" / "drilling")


@pytest.fixture(scope="session")
def digits(registered: Register) -> MLOpsClient:
    """The digits project."""
    return registered(ROOT / "tests" / "projects" / "digits")


@pytest.fixture(scope="session")
def digits_job() -> ModuleType:
    """The digits project's code."""
    path = ROOT / "tests" / "projects" / "digits" / "digits.py"
    spec = importlib.util.spec_from_file_location("digits_project", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def served_digits(digits: MLOpsClient, digits_job: ModuleType) -> Any:
    """The digits model, trained, registered and served; what its run left."""
    trained = digits_job.train(digits)
    digits.deploy_model("digits", version=trained.version.version)
    return trained
