"""The contract of a model registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from mlops.entities import ModelVersion


class ModelRegistry(Protocol):
    """Models of one project; names and versions of another project are unknown to it."""

    def log_model(
        self,
        run_id: str,
        model: Any,
        name: str,
        *,
        flavor: str,
        input_example: Any = None,
        output_example: Any = None,
        register: bool = True,
        files: Path | None = None,
    ) -> ModelVersion | None:
        """Store `model` with the run in the flavor's format, with the signature inferred from the
        examples, and register it as the next version of `name` unless told not to (then None).
        What is in the folder `files` is kept in the model's own folder, at the same places below it.
        Its version is None, pending, when no server gave it a number.
        Raises `InvalidInput` (flavor, name), `RunNotFound`."""

    def get_version(self, name: str, version: int | None) -> ModelVersion:
        """Read one version; raises `ModelNotFound`, and `VersionPending` for None, a version that has no
        number yet."""

    def list_versions(self, name: str | None = None) -> list[ModelVersion]:
        """Versions of one model (raises `ModelNotFound`), or of all, newest first."""

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        """Point `alias` (champion, challenger) at a version; raises `ModelNotFound`, `VersionPending`."""

    def download(self, name: str, version: int | None, folder: Path, path: str = "") -> Path:
        """Bring the version's files (an MLflow model folder with its MLmodel) into `folder`; returns the
        model's folder. With `path` (relative to it, POSIX) that file alone, which is returned. Raises
        `ModelNotFound`, `VersionPending`, `ModelFileNotFound`, and `InvalidInput` (path)."""

    def attach(self, name: str, version: int | None, file: Path, folder: str) -> str:
        """Keep a copy of `file` beside the version: in `folder` (relative, POSIX) among the artifacts of the
        run that logged it, which may have ended. A file of that name there is replaced. Returns the copy's
        URI; raises `ModelNotFound`, `VersionPending`, `RunNotFound` for a run that was deleted, and
        `InvalidInput` (file, folder)."""
