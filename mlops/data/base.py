"""The contract of a data store."""

from __future__ import annotations

from typing import Protocol

from mlops.entities import DataVersion


class DataStore(Protocol):
    """The data of one project. Paths are relative to its folder; a path outside it, also by a
    symbolic link, or one that begins with `-`, is `InvalidInput`."""

    def prepare(self) -> None:
        """Make the project's folder a data root with the project's remote; safe to repeat."""

    def add(self, path: str) -> DataVersion:
        """Put a file or folder under version control; raises `DataNotFound`, `InvalidInput`, `DataError`."""

    def push(self, path: str | None = None) -> int:
        """Upload what the remote lacks, of `path` or of everything; returns the objects sent."""

    def pull(self, path: str | None = None) -> int:
        """Download and check out what is missing; returns the objects fetched; raises
        `DataNotFound`, `DataError`."""

    def version(self, path: str) -> DataVersion:
        """The recorded version of `path`; raises `DataNotFound` when it was never added."""
