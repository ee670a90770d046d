"""Which class stands behind a backend's name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops import backends
from mlops.errors import BackendUnknown, ConfigError

KNOWN = [
    ("tracking", "mlflow", "MLflowTracker"),
    ("tracking", "memory", "MemoryTracker"),
    ("registry", "mlflow", "MLflowRegistry"),
    ("registry", "memory", "MemoryRegistry"),
    ("data", "dvc", "DvcStore"),
    ("data", "local", "LocalStore"),
]


def test_every_backend_is_tried_here() -> None:
    assert {(capability, name) for capability, name, _ in KNOWN} == {
        (capability, name) for capability, known in backends._BACKENDS.items() for name in known
    }


@pytest.mark.parametrize(("capability", "name", "expected"), KNOWN)
def test_known_backend_is_its_class(capability: str, name: str, expected: str) -> None:
    assert backends.load(capability, name).__name__ == expected


@pytest.mark.parametrize("capability", ["tracking", "registry", "data"])
@pytest.mark.parametrize("name", ["nope", "", "MLflow", "os:system"])
def test_unknown_backend_names_those_there_are(capability: str, name: str) -> None:
    with pytest.raises(BackendUnknown) as caught:
        backends.load(capability, name)
    assert (caught.value.capability, caught.value.name) == (capability, name)
    assert caught.value.known == list(backends._BACKENDS[capability])


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("import no_such_package_of_anyone", "no_such_package_of_anyone"),
        ("raise ImportError('libx.so: cannot open shared object file')", "libx.so"),
    ],
)
def test_backend_whose_package_is_missing_names_it(
    code: str, needed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed_backend.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(backends._BACKENDS["data"], "half", "half_installed_backend:Store")
    with pytest.raises(ConfigError, match=needed) as caught:
        backends.load("data", "half")
    assert "'half'" in caught.value.message
    assert "make setup" in caught.value.remedy


def test_backend_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys; from mlops.backends import load\n"
        "assert not [m for m in sys.modules if m.startswith(('mlops.tracking', 'mlops.data'))]\n"
        "load('tracking', 'memory'); assert 'mlops.tracking.memory' in sys.modules\n"
        "assert 'mlops.tracking.mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
