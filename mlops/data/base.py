"""The contract of a data store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from mlops.entities import DataCheck, DataStatus, DataTransfer, DataVersion


class DataStore(Protocol):
    """The data of one project, and of no other. Thread-safe, and safe beside other processes.

    Paths are relative to the project's folder; a path outside it, also by a symbolic link, inside another
    project, or with a name that begins with `-`, is `InvalidInput`. A `rev` is a git revision (tag,
    branch, commit) or a version's hash; `InvalidInput` for what cannot be one, `RevisionNotFound` for
    what is not there. `DataError` is raised by each verb when the tools refuse, or stay locked for longer
    than the setting allows.
    """

    def prepare(self) -> None:
        """Make the project's folder a data root with the project's remote; safe to repeat."""

    def add(self, path: str, check: Callable[[], Sequence[DataCheck]] = tuple) -> DataVersion:
        """Put a file or folder under version control.

        `check` looks at it before anything is recorded, may raise to refuse it, and its result is kept with
        the version. Raises `DataNotFound`, and `DataChanging` when a file is written meanwhile; nothing of
        the version stays then.
        """

    def push(self, path: str | None = None) -> DataTransfer:
        """Upload what the remote lacks, of `path` or of everything. What an interrupted push has sent is
        not sent again. Raises `DataNotFound`, and `DataMissing` when something is nowhere."""

    def pull(self, path: str | None = None, rev: str | None = None, *, force: bool = False) -> DataTransfer:
        """Download what is missing, of the recorded version or of `rev`, verify it, and put it into the
        working tree as `checkout` does. Raises `DataNotFound`, `DataMissing`, `DataCorrupted`,
        `DataModified`."""

    def checkout(
        self, rev: str | None = None, path: str | None = None, *, force: bool = False
    ) -> list[DataVersion]:
        """Put data into the working tree as it was recorded, or as of `rev`, from what is here; of `rev`,
        the recorded versions follow, and git's files otherwise stay. Raises `DataModified` before anything
        is touched that is in no version, unless `force`; `DataNotFound`, `DataMissing`."""

    def status(self, path: str | None = None, *, remote: bool = False) -> list[DataStatus]:
        """How the working tree, the cache and, when asked, the `remote` stand to what was recorded."""

    def version(self, path: str, rev: str | None = None) -> DataVersion:
        """The recorded version of `path`, or that of `rev`; raises `DataNotFound` when it was never
        added."""

    def view(self, path: str, rev: str | None = None) -> tuple[Path, DataVersion]:
        """A read-only copy of exactly that version beside the working tree, which is not touched; fetched
        when it is absent. Raises what `pull` raises."""
