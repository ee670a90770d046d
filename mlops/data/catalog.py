"""The versions of all projects' data that the platform knows, for people and programs that look at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.data.git import is_content_hash
from mlops.entities import DataCheck, DataVersion
from mlops.errors import DataNotFound, InvalidInput
from mlops.project import check_project_name
from mlops.store.data_versions import DataUser, KnownData, NewestData
from mlops.store.store import Store

MOST_VERSIONS = 500
"""That are told at a time: a project's newest, or the newest of each path of all projects."""
MOST_USERS = 200
"""Runs of a version, the newest."""
_LONGEST = 1000
_MOST_CHECKS = 1000


@dataclass(frozen=True, slots=True)
class DataUse:
    """A version with the runs that used it, the newest first."""

    known: KnownData
    runs: tuple[DataUser, ...]


class DataCatalog:
    """Every verb raises `ServiceUnavailable` without Postgres."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def versions(self, project: str | None = None, path: str = "") -> list[KnownData]:
        """A project's versions, of one path if given, or the newest one of each path of all projects; the
        newest first. Raises `InvalidInput`."""
        if project is None:
            return self._store.data.newest(MOST_VERSIONS)
        _check_text("path", path)
        return self._store.data.all(check_project_name(project, "project"), path, MOST_VERSIONS)

    def of_projects(self) -> dict[str, NewestData]:
        """The newest version of each project that has any."""
        return self._store.data.of_projects()

    def version(self, project: str, path: str, hash: str) -> DataUse:
        """One version, and who used it. Raises `DataNotFound`."""
        check_project_name(project, "project")
        _check_text("path", path)
        _check_text("hash", hash)
        found = self._store.data.find(project, path, hash)
        if found is None:
            raise DataNotFound(project, path, remedy="See the versions that are known on the page Data.")
        return DataUse(found, tuple(self._store.data.users(project, path, hash, MOST_USERS)))

    def put(self, project: str, stated: Mapping[str, Any]) -> KnownData:
        """Remember a version that was added just now. Raises `ProjectNotFound`, `InvalidInput`."""
        self._store.projects.get(check_project_name(project, "project"))
        version = _version(project, stated)
        self._store.data.put(version, datetime.now(UTC))
        return self.version(project, version.path, version.hash).known


def _version(project: str, stated: Mapping[str, Any]) -> DataVersion:
    for field in ("path", "hash", "remote"):
        _check_text(field, stated[field])
    _check_text("git_revision", stated["git_revision"] or "")
    if not stated["path"]:
        raise InvalidInput("path", "", "is empty", remedy="Give the path below the project's folder.")
    if not is_content_hash(stated["hash"]):
        raise InvalidInput("hash", stated["hash"], "is no data version's", remedy="Give DVC's content hash.")
    checks = DataCheck.listed(stated["checks"])
    if len(checks) > _MOST_CHECKS:
        raise InvalidInput("checks", len(checks), "are too many", remedy=f"Give at most {_MOST_CHECKS}.")
    for check in checks:
        _check_text("checks", check.name + check.detail, 10 * _LONGEST)
    return DataVersion(
        project=project,
        path=stated["path"],
        hash=stated["hash"],
        size_bytes=stated["size_bytes"],
        files=stated["files"],
        git_revision=stated["git_revision"],
        git_dirty=False,
        remote=stated["remote"],
        checks=checks,
    )


def _check_text(field: str, text: str, most: int = _LONGEST) -> None:
    if len(text) > most:
        raise InvalidInput(field, text[:40], f"has over {most} characters", remedy="Shorten it.")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidInput(field, text[:40], "has characters that cannot be stored", remedy="Leave them out.")
