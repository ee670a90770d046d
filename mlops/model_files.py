"""What lies among a model version's files that people want to see: its signature, an example, its reference,
and its report for the Apple Neural Engine. Read where the embedded MLflow keeps them, a version at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from mlops.hardware.ane.report import AneReport
from mlops.store.model_versions import IndexedVersion

if TYPE_CHECKING:
    from mlops.serving.runtimes.signature import Signature, Tensor

_SCHEME = "mlflow-artifacts:"
_EXAMPLE = "serving_input_example.json"
_MOST_BYTES, _MOST_FILES = 1_000_000, 10_000
"""Of a file that is read; of a folder that is looked through."""
_REPORT: TypeAdapter[AneReport] = TypeAdapter(AneReport)


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """What is known of a version's files."""

    flavors: tuple[str, ...] = ()
    """The forms that MLflow knows it in."""
    inputs: tuple[Tensor, ...] | None = None
    """None where its signature says nothing."""
    outputs: tuple[Tensor, ...] | None = None
    reference_bytes: int | None = None
    """Size of the sample of what it took and gave in training; None where there is none."""
    size_bytes: int = 0
    """Of all its files."""
    ane: AneReport | None = None
    """None where none was made."""
    problem: str = ""
    """Why its files tell nothing."""


class ModelFiles:
    """Files below MLflow's folder of artifacts."""

    def __init__(self, artifacts: Path) -> None:
        self._artifacts = artifacts

    def read(self, version: IndexedVersion, namespace: str) -> VersionFiles:
        """What the version's files tell; only those of its own project's workspace are looked at."""
        # NumPy comes with them, which the gateway does without until somebody asks this.
        from mlops.monitoring.reference import PLACE
        from mlops.serving.runtimes.mlmodel import read

        ane = self._report(version, namespace)
        folder = self._folder(version.location, namespace)
        if folder is None or not folder.is_dir():
            return VersionFiles(ane=ane, problem="Its files are not kept by this platform's MLflow.")
        found = islice(folder.rglob("*"), _MOST_FILES)
        sizes = {path: path.stat().st_size for path in found if path.is_file()}
        known = VersionFiles(
            reference_bytes=sizes.get(folder / PLACE), size_bytes=sum(sizes.values()), ane=ane
        )
        try:
            if sizes.get(folder / "MLmodel", 0) > _MOST_BYTES:
                raise ValueError("MLmodel is too large")
            model = read(folder)
        except ValueError as error:
            return replace(known, problem=str(error))
        return replace(
            known,
            flavors=tuple(sorted(str(each) for each in model.flavors)),
            inputs=_tensors(model.inputs),
            outputs=_tensors(model.outputs),
        )

    def example(self, version: IndexedVersion, namespace: str) -> dict[str, Any]:
        """Inputs by name that were stored with the version as an example; empty where there are none that an
        endpoint takes."""
        folder = self._folder(version.location, namespace)
        stored = None if folder is None else _json(folder / _EXAMPLE)
        inputs = stored.get("inputs") if isinstance(stored, dict) else None
        return inputs if isinstance(inputs, dict) else {}

    def _report(self, version: IndexedVersion, namespace: str) -> AneReport | None:
        run = self._folder(version.run_location, namespace)
        if run is None:
            return None
        path = run / "ane-report" / f"{version.model}-v{version.version}" / "report.json"
        try:
            stored = _json(path) if path.resolve().is_relative_to(run) else None
            json.dumps(stored, allow_nan=False)  # what is endless cannot be told on
            return _REPORT.validate_python(stored)
        except (OSError, ValueError):  # pydantic's, too
            return None

    def _folder(self, uri: str, namespace: str) -> Path | None:
        """Where the files of a URI lie; None for what is not of the workspace. Clients choose the URI."""
        if not uri.startswith(_SCHEME):
            return None
        workspace = (self._artifacts / "workspaces" / namespace).resolve()
        relative = PurePosixPath(uri.removeprefix(_SCHEME).lstrip("/"))
        try:
            folder = (self._artifacts / relative).resolve()
        except (OSError, ValueError):
            return None
        return folder if folder.is_relative_to(workspace) else None


def _tensors(signature: Signature | None) -> tuple[Tensor, ...] | None:
    return None if signature is None else signature.tensors


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes()) if path.stat().st_size <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
