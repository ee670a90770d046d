"""Numbers of a model's versions."""

from __future__ import annotations

from mlops.errors import VersionPending


def check_version(project: str, name: str, version: int | None) -> int:
    """Return `version`, if it has a number; raises `VersionPending`."""
    if version is None:
        raise VersionPending(project, name)
    return version
