"""Data versions by DVC, in-process; the project's folder is a DVC root of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from mlops.data.paths import check_content, check_path
from mlops.entities import DataVersion
from mlops.errors import DataError, DataNotFound

if TYPE_CHECKING:
    from mlops.data.base import DataStore

T = TypeVar("T")

_REMOTE = "mlops"


class DvcStore:
    """The data of one project. Thread-safe: one operation at a time, other processes waited for."""

    def __init__(self, *, project: str, root: Path, remote: str, lock_wait_s: float = 60.0) -> None:
        """`remote` is a folder or a URL DVC knows; it goes into the local, untracked configuration.

        `lock_wait_s` bounds the wait for another process that holds DVC's lock.
        """
        self.project = project
        self._root = root.absolute()
        self._remote = remote
        self._lock_wait_s = lock_wait_s
        self._turn = threading.Lock()

    def prepare(self) -> None:
        """See `DataStore.prepare`: a DVC root inside a git repository, or without one."""
        try:
            self._guarded("preparing", self._prepare)
        except OSError as error:
            raise DataError(
                f"the data root {self._root} cannot be prepared: {error}",
                remedy="Make the project's folder writable, then register again.",
                project=self.project,
            ) from error

    def _prepare(self) -> None:
        from dvc.repo import Repo

        self._root.mkdir(parents=True, exist_ok=True)
        if not (self._root / ".dvc" / "config").is_file():
            in_git = any((folder / ".git").exists() for folder in (self._root, *self._root.parents))
            Repo.init(str(self._root), no_scm=not in_git, subdir=in_git).close()
        with self._repo() as repo:
            _configure(repo, self._remote)

    def add(self, path: str) -> DataVersion:
        """See `DataStore.add`."""
        plain = check_path(self._root, path)
        check_content(self.project, self._root, plain)
        self._run(f"adding {plain!r}", lambda repo: repo.add(str(self._root / plain)))
        return self.version(plain)

    def push(self, path: str | None = None) -> int:
        """See `DataStore.push`."""
        targets = self._targets(path)
        return int(self._run("pushing", lambda repo: repo.push(targets=targets, remote=_REMOTE)))

    def pull(self, path: str | None = None) -> int:
        """See `DataStore.pull`."""
        targets = self._targets(path)
        done = self._run("pulling", lambda repo: repo.pull(targets=targets, remote=_REMOTE))
        return int(done["stats"]["fetched"])

    def version(self, path: str) -> DataVersion:
        """See `DataStore.version`: read from `<path>.dvc`."""
        plain = check_path(self._root, path)
        recorded = self._recorded(plain)
        revision, dirty = self._run("reading git's state of", _git_state)
        return DataVersion(
            project=self.project,
            path=plain,
            hash=str(recorded["md5"]),
            size_bytes=int(recorded.get("size", 0)),
            files=int(recorded.get("nfiles", 1)),
            git_revision=revision,
            git_dirty=dirty,
            remote=self._remote,
        )

    def _recorded(self, plain: str) -> dict[str, Any]:
        file = self._root / f"{plain}.dvc"
        try:
            outputs = yaml.safe_load(file.read_text(encoding="utf-8"))["outs"]
            return dict(next(output for output in outputs if "md5" in output))
        except FileNotFoundError:
            raise DataNotFound(self.project, plain) from None
        except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
            raise DataError(
                f"{file} is damaged", remedy="Restore it from git, or add the data again.", path=plain
            ) from error

    def _targets(self, path: str | None) -> list[str] | None:
        if path is None:
            return None
        plain = check_path(self._root, path)
        self._recorded(plain)
        return [str(self._root / f"{plain}.dvc")]

    def _run(self, doing: str, work: Callable[[Any], T]) -> T:
        def opened() -> T:
            with self._repo() as repo:
                return work(repo)

        return self._guarded(doing, opened)

    def _guarded(self, doing: str, work: Callable[[], T]) -> T:
        from dvc.exceptions import DvcException
        from dvc.lock import LockError

        deadline = time.monotonic() + self._lock_wait_s
        with self._turn, _quiet():
            while True:
                try:
                    return work()
                except LockError as error:  # DVC itself has waited for 3 s
                    if time.monotonic() >= deadline:
                        raise DataError(
                            f"DVC's lock of {self.project!r} stayed taken for {self._lock_wait_s:g} s",
                            remedy="Wait for the other process, or end it; then try again.",
                            project=self.project,
                        ) from error
                except DvcException as error:
                    raise DataError(
                        f"{doing} data of project {self.project!r} failed: {error}",
                        remedy="Check the remote and the .dvc files, then try again.",
                        project=self.project,
                    ) from error

    @contextmanager
    def _repo(self) -> Iterator[Any]:
        # Opened for each operation (10 ms): an open repository trusts what it saw of its cache.
        from dvc.exceptions import NotDvcRepoError
        from dvc.repo import Repo

        try:
            repo = Repo(str(self._root))
        except NotDvcRepoError as error:
            raise DataError(
                f"{self._root} is no data root yet",
                remedy="Run `efficientai-toolkit mlops:register` in it.",
                project=self.project,
            ) from error
        try:
            yield repo
        finally:
            repo.close()


@contextmanager
def _quiet() -> Iterator[None]:
    # DVC writes its hints (`git add …`) to standard output, where our commands write JSON.
    from dvc.logger import set_loggers_level

    with set_loggers_level(logging.WARNING):
        yield


def _configure(repo: Any, remote: str) -> None:
    with repo.config.edit("repo") as shared:
        shared["core"]["analytics"] = False
        shared["cache"]["type"] = "reflink,hardlink,copy"
    with repo.config.edit("local") as local:
        local["remote"] = {_REMOTE: {"url": remote}}
        local["core"]["remote"] = _REMOTE


def _git_state(repo: Any) -> tuple[str | None, bool]:
    from dvc.scm import SCMError
    from scmrepo.exceptions import SCMError as GitError

    try:
        return str(repo.scm.get_rev()), bool(repo.scm.is_dirty())
    except (SCMError, GitError):  # no git, or no commit yet
        return None, False


if TYPE_CHECKING:
    _conforms: type[DataStore] = DvcStore
