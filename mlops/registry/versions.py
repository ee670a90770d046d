"""Numbers of a model's versions, and what is kept beside one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mlops.errors import InvalidInput, VersionPending


def check_version(project: str, name: str, version: int | None) -> int:
    """Return `version`, if it has a number; raises `VersionPending`."""
    if version is None:
        raise VersionPending(project, name)
    return version


def check_attachment(file: Path, folder: str) -> None:
    """Raise `InvalidInput` unless `file` is one, and `folder` a place below a run's artifacts."""
    if not file.is_file():
        raise InvalidInput("file", str(file), "is not a file", remedy="Give the path of one file.")
    _check_relative("folder", folder)


def check_file_path(path: str) -> None:
    """Raise `InvalidInput` unless `path` is a place below a model's folder."""
    _check_relative("path", path)


def _check_relative(field: str, path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in path:
        raise InvalidInput(field, path, "is not a relative path", remedy="Name folders, as `a/b`.")
