"""DVC's repository, opened for one operation at a time: its locks waited for, its errors told as ours."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from mlops.data import git
from mlops.errors import DataError, InvalidInput, MLOpsError

T = TypeVar("T")

REMOTE = "mlops"
"""Name of the project's remote; no other is ever used."""
LOCK_WAIT_S = 60.0
_PAUSE_S = 0.2
_PATIENCE = {"s3": {"connect_timeout": 5}}
"""Seconds, where a remote's own are too many: botocore tries five times to connect, for 60 s each. How long
it waits for an answer stays: a part of a big file takes its time on a slow line."""


class DvcSession:
    """One project's DVC root. Thread-safe: one operation at a time."""

    def __init__(
        self,
        *,
        project: str,
        root: Path,
        remote: str,
        remote_options: Mapping[str, str] | None = None,
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        """`remote` is a folder or a URL that DVC knows; `remote_options` are DVC's for it, which `prepare`
        puts into the local configuration. `lock_wait_s` bounds the wait for another process."""
        self.project = project
        self.root = root.absolute()
        self.remote = remote
        self._options = dict(remote_options or {})
        self._lock_wait_s = lock_wait_s
        self._turn = threading.RLock()

    @property
    def remote_config(self) -> dict[str, Any]:
        """The remote, whatever DVC's files say of it; what comes from it is verified."""
        return {"url": self.remote, "verify": True}

    def run(self, doing: str, work: Callable[[Any], T]) -> T:
        """What `work` makes of the opened repository. Raises `DataError` where DVC or a storage fails."""

        def opened() -> T:
            with self._repo() as repo:
                return work(repo)

        return self.guarded(doing, opened)

    def locked(self, doing: str, work: Callable[[Any], T]) -> T:
        """`run`, holding DVC's lock; what DVC makes for git to track is staged at the end."""
        from dvc.repo import lock_repo

        def opened() -> T:
            with self._repo() as repo, lock_repo(repo), self._staging(repo):
                return work(repo)

        return self.guarded(doing, opened)

    @contextmanager
    def held(self, doing: str) -> Iterator[Any]:
        """The opened repository, with DVC's lock held for the whole block."""
        from dvc.repo import lock_repo

        with self._turn, ExitStack() as stack:
            repo = stack.enter_context(self._repo())
            self.guarded(doing, lambda: stack.enter_context(lock_repo(repo)))
            with _quiet():
                yield repo

    def guarded(self, doing: str, work: Callable[[], T]) -> T:
        """Call `work`, again while another process holds a lock; DVC itself has waited for 3 s."""
        deadline = time.monotonic() + self._lock_wait_s
        with self._turn, _quiet():
            while True:
                try:
                    return work()
                except MLOpsError:
                    raise
                except Exception as error:  # noqa: BLE001 - each storage has errors of its own
                    self._wait_or_raise(doing, error, deadline)

    # -- locks ----------------------------------------------------------------------------------

    def _wait_or_raise(self, doing: str, error: Exception, deadline: float) -> None:
        from dvc.lock import LockError
        from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError

        if isinstance(error, RWLockFileCorruptedError | RWLockFileFormatError):
            (self.root / ".dvc/tmp/rwlock").unlink(missing_ok=True)  # half-written by one that was killed
        elif git.is_locked(error):
            if not git.remove_stale_lock(self.root):
                self._pause("git's index (.git/index.lock)", "", error, deadline)
        elif isinstance(error, LockError):
            self._pause("DVC's lock", self._holder(), error, deadline)
        else:
            raise self._told(doing, error) from error

    def _pause(self, lock: str, holder: str, error: Exception, deadline: float) -> None:
        if time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
            return
        raise DataError(
            f"{lock} of {self.project!r} stayed taken for {self._lock_wait_s:g} s"
            + (f" by process {holder}" if holder else ""),
            remedy="Wait for the other process, or end it; then try again. MLOPS_DATA_LOCK_WAIT_S says how"
            " long to wait.",
            project=self.project,
        ) from error

    def _holder(self) -> str:
        with suppress(OSError, ValueError):
            found = (self.root / ".dvc/tmp/lock").read_text(encoding="ascii").strip()
            return str(int(found)) if found else ""
        return ""

    # -- errors ---------------------------------------------------------------------------------

    def _told(self, doing: str, error: Exception) -> DataError:
        from dvc.dvcfile import FileIsGitIgnored
        from dvc.exceptions import DvcException
        from dvc.fs import RemoteMissingDepsError
        from dvc.output import OutputAlreadyTrackedError, OutputIsIgnoredError

        if isinstance(error, RemoteMissingDepsError | ImportError):
            return DataError(
                f"the remote {self.remote} needs what is not installed: {error}",
                remedy=install_hint(self.remote),
                project=self.project,
            )
        remedy = "Check the remote and the .dvc files, then try again."
        if isinstance(error, FileIsGitIgnored | OutputIsIgnoredError):
            remedy = "Take the path out of .gitignore or .dvcignore."
        elif isinstance(error, OutputAlreadyTrackedError):
            remedy = "Take it out of git with `git rm -r --cached <path>`, commit, and add it again."
        elif "overlaps with an output of" in str(error):
            remedy = "It is a pipeline's output: run the pipeline (`dvc repro`), which records it."
        elif isinstance(error, OSError):
            remedy = "Check the disk's space, the permissions and the remote, then try again."
        kind = "" if isinstance(error, DvcException) else f"{type(error).__name__}: "
        return DataError(
            f"{doing} data of project {self.project!r} failed: {kind}{first_line(error)}",
            remedy=remedy,
            project=self.project,
            remote=self.remote,
        )

    # -- the repository -------------------------------------------------------------------------

    @contextmanager
    def _repo(self, *, configured: bool = True) -> Iterator[Any]:
        # Opened for each operation (10 ms): an open repository trusts what it saw of its cache.
        from dvc.exceptions import NotDvcRepoError
        from dvc.repo import Repo

        folder = self.root / ".dvc"
        if not (folder / "config").is_file() or folder.is_symlink():  # DVC would take a folder above
            raise self._unprepared()
        try:
            # Last of all that configures it: whatever the project's files say, this is the remote.
            ours = {"remote": {REMOTE: self.remote_config}} if configured else None
            repo = Repo(str(self.root), config=ours)
        except NotDvcRepoError as error:
            raise self._unprepared() from error
        try:
            self._refuse_foreign(repo)
            yield repo
        finally:
            repo.close()

    def _refuse_foreign(self, repo: Any) -> None:
        """The file that git tracks may not say where the project's remote answers, or with whose keys, nor
        where the cache is: that is each machine's. A cache among the remotes would be another project's."""
        shared = repo.config.load_one("repo")
        if REMOTE in shared["remote"]:
            raise InvalidInput(
                "remote",
                REMOTE,
                "is described in .dvc/config, and a project has the remote that it was registered with",
                remedy=f"Take its section out of {self.root / '.dvc/config'}.",
            )
        if moved := {"dir", "local"} & shared["cache"].keys():
            raise InvalidInput(
                f"cache.{min(moved)}",
                shared["cache"][min(moved)],
                "is in .dvc/config, which other machines share",
                remedy="Use `dvc config --local cache.dir <folder>`, and take it out of .dvc/config.",
            )
        cache = Path(repo.cache.local.path).resolve()
        if _scheme(self.remote) or cache.is_relative_to(self.root.resolve()):
            return
        if cache.is_relative_to(Path(self.remote).parent.resolve()):
            raise InvalidInput(
                "cache.dir", str(cache), "is among the data remotes", remedy="Use another folder."
            )

    @contextmanager
    def _staging(self, repo: Any) -> Iterator[Any]:
        """DVC's context of what git is to track. It is staged by git: DVC writes the index as it was when it
        read it, and what another project of the same repository staged meanwhile is gone."""
        from dvc.scm import NoSCM

        with repo.scm_context(autostage=False, quiet=True) as tracked:
            yield tracked
            paths = [Path(path).absolute() for path in tracked.files_to_track]
        if paths and tracked.autostage and not isinstance(tracked.scm, NoSCM):
            git.stage(self.root, paths)

    def _unprepared(self) -> DataError:
        return DataError(
            f"{self.root} is no data root yet",
            remedy="Run `efficientai-toolkit mlops:register` in it.",
            project=self.project,
        )

    def prepare(self) -> None:
        """Make the folder a DVC root, inside a git repository or without one, with the project's remote."""
        try:
            self.guarded("preparing", self._prepare)
        except OSError as error:
            raise DataError(
                f"the data root {self.root} cannot be prepared: {error}",
                remedy="Make the project's folder writable, then register again.",
                project=self.project,
            ) from error

    def _prepare(self) -> None:
        from dvc.repo import Repo

        self.root.mkdir(parents=True, exist_ok=True)
        in_git = any((folder / ".git").exists() for folder in (self.root, *self.root.parents))
        if not (self.root / ".dvc" / "config").is_file():
            Repo.init(str(self.root), no_scm=not in_git, subdir=in_git).close()
        with self._repo(configured=False) as repo:
            shared = Path(repo.config.files["repo"])
            before = shared.read_bytes()
            if in_git and repo.config["core"].get("no_scm"):
                with repo.config.edit("repo") as kept:
                    del kept["core"]["no_scm"]
            configure(repo, {**self.remote_config, **self._options}, bool(self._options))
            ignored = self.root / ".dvc/.gitignore"
            if not ignored.exists():  # made outside a repository; it may become one
                ignored.write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
        with self._repo() as repo:
            repo.cloud.get_remote(REMOTE)  # asks nobody, and fails where its extra is not installed
        if shared.read_bytes() != before or not git.tracks(shared):  # an earlier try may have ended here
            with self._repo() as repo, self._staging(repo) as tracked:  # which stages, from now on
                tracked.track_file(str(shared))


def configure(repo: Any, remote: Mapping[str, Any], has_options: bool) -> None:
    """Write what is shared into git's configuration file, and the remote with its keys into the local,
    untracked one (0600)."""
    with repo.config.edit("repo") as shared:
        shared["core"]["analytics"] = False
        shared["core"]["autostage"] = True
        shared["cache"]["type"] = "reflink,hardlink,copy"
    local_file = Path(repo.config.files["local"])
    local_file.touch(mode=0o600)
    local_file.chmod(0o600)
    with repo.config.edit("local") as local:
        before = local["remote"].get(REMOTE, {})
        same_kind = _scheme(str(before.get("url", ""))) == _scheme(remote["url"])
        known = before if same_kind and not has_options else {}
        local["remote"][REMOTE] = {**_PATIENCE.get(_scheme(remote["url"]), {}), **known, **remote}
        local["core"]["remote"] = REMOTE
        local["core"]["site_cache_dir"] = str(Path(repo.tmp_dir) / "site")


def install_hint(remote: str) -> str:
    """What to install for a remote's scheme."""
    extra = {"s3": "s3", "gs": "gcs", "azure": "azure"}.get(_scheme(remote))
    return f"Run `pip install 'efficientai-toolkit[{extra}]'`." if extra else "Use another remote."


def _scheme(url: str) -> str:
    """Of a URL; of a folder's path nothing."""
    scheme, found, _ = url.partition("://")
    return scheme if found else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, of what it was raised from where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """DVC writes its hints to standard output, where our commands write JSON. Its progress bars, on a
    terminal's standard error, stay."""
    from dvc.logger import set_loggers_level

    with set_loggers_level(logging.ERROR):
        yield
