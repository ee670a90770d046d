"""Rules of the layout that import-linter cannot see."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mlops

ROOT = Path(__file__).parents[1]
HEAVY = {"mlflow", "dvc", "ray", "bentoml", "evidently", "torch", "onnx", "onnxruntime", "coremltools", "mlx"}
_PIN = re.compile(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.!]*( ; \(?[a-z_]+ .*)?")


def modules_after(code: str) -> set[str]:
    """Names in sys.modules after `code` ran in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def pins() -> list[str]:
    return (ROOT / "constraints.txt").read_text().splitlines()


def test_importing_mlops_imports_none_of_its_modules() -> None:
    assert {name for name in modules_after("import mlops") if name.startswith("mlops.")} == set()


@pytest.mark.parametrize("name", mlops.__all__)
def test_public_name_is_there_and_is_called_so(name: str) -> None:
    assert getattr(mlops, name).__name__ == name


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="color"):
        _ = mlops.color


@pytest.mark.parametrize(
    "code",
    [
        "import mlops.client",
        "from mlops import *",
        "import mlops.platform",
        "import mlops.gateway.app",
        "import mlops.services.control",
        "import mlops.registration",
        "import mlops.monitoring.evidently",
        "import mlops.monitoring.evidently_ui",
        "import mlops.worker.drift_job",
    ],
)
def test_no_heavy_tool_is_imported_before_it_is_used(code: str) -> None:
    assert {name.partition(".")[0] for name in modules_after(code)} & HEAVY == set()


def test_constraints_are_names_and_versions_alone() -> None:
    assert len(pins()) > 100
    assert [line for line in pins() if not _PIN.fullmatch(line)] == []


def test_constraints_are_sorted_and_pin_nothing_twice() -> None:
    assert pins() == sorted(pins())
    bare = [line.partition("==")[0] for line in pins() if ";" not in line]
    assert len(bare) == len(set(bare))


def test_uv_is_held_to_the_same_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["uv"]["constraint-dependencies"] == pins()


def test_no_lock_file_is_tracked() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*uv.lock", "*poetry.lock"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    assert listed.stdout == ""


def test_settings_are_read_in_one_place() -> None:
    """Environment variables become settings in `config`. Others hand the whole environment on to what
    they start, or set what a heavy tool reads from there; a Kubernetes Secret comes by one."""
    others = {
        "binding/session.py",
        "services/__main__.py",
        "services/control.py",
        "serving/ingress.py",
        "serving/ray.py",
        "worker/journals.py",
        "worker/packaging.py",
    }
    readers = {
        path.relative_to(ROOT / "mlops").as_posix()
        for path in (ROOT / "mlops").rglob("*.py")
        if re.search(r"os\.(environ|getenv)\b", path.read_text())
    }
    assert readers == others
