"""What git knows of a folder: its revision, whether it is dirty, and which commits refs name.

The user's own `git` is called, as DVC does where its libraries do not suffice; importing one of them would
cost more than the calls, and a run's start asks for its revision.
"""

from __future__ import annotations

import logging
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from mlops.errors import DataError, InvalidInput, RevisionNotFound

_log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_NO_REVISION = re.compile(r"[\s~^:?*\[\\\x00-\x1f\x7f]|\.\.|@\{|^-|^$|^@$")
_STALE_LOCK_S = 30.0
_CONTENT_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


def state(root: Path) -> tuple[str | None, bool]:
    """The revision of HEAD, and whether tracked files differ from it; (None, False) outside a repository,
    before the first commit, and without git."""
    revision = _lines(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not revision:
        return None, False
    return revision[0], bool(_lines(root, "status", "--porcelain", "--untracked-files=no"))


def is_content_hash(rev: str) -> bool:
    """Whether `rev` is the hash of a data version, and no git revision."""
    return _CONTENT_HASH.fullmatch(rev) is not None


def check_revision(rev: str) -> str:
    """Return what may name a revision: a tag, a branch, a commit. Raises `InvalidInput`."""
    if _NO_REVISION.search(rev):
        raise InvalidInput("rev", rev, "names no revision", remedy="Give a tag, a branch, a commit, HEAD.")
    return rev


def commit_of(project: str, root: Path, rev: str) -> str:
    """The commit that `rev` names; raises `InvalidInput`, `RevisionNotFound`."""
    found = _lines(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{check_revision(rev)}^{{commit}}"
    )
    if not found:
        raise RevisionNotFound(project, rev)
    return found[0]


def tips(root: Path) -> list[str]:
    """The commits that any ref names, of all branches, tags, remotes' branches and stashes, and HEAD's."""
    lines = _lines(root, "for-each-ref", "--format=%(objectname) %(*objectname) %(objecttype) %(*objecttype)")
    found = set(_lines(root, "rev-parse", "--verify", "--quiet", "HEAD"))
    found |= set(_lines(root, "reflog", "show", "--format=%H", "refs/stash", "--"))
    for line in lines:
        parts = line.split()
        if parts[-1] == "commit":  # a tag's object, or what an annotated tag points at
            found.add(parts[1] if len(parts) == 4 else parts[0])
    return sorted(found)


def is_locked(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that git's index is locked."""
    return any(
        type(each).__name__ == "FileLocked" or "index.lock" in str(each) for each in _with_causes(error)
    )


def remove_stale_lock(root: Path) -> bool:
    """Remove the lock that a killed git left: older than 30 s, with no git at work in the repository."""
    where = _lines(root, "rev-parse", "--path-format=absolute", "--git-path", "index.lock", "--show-toplevel")
    if len(where) != 2:
        return False
    lock, top = Path(where[0]), Path(where[1])
    try:
        age = time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return False
    if age < _STALE_LOCK_S or any(_works_in(process, top, lock) for process in psutil.process_iter()):
        return False
    lock.unlink(missing_ok=True)
    _log.warning("removed %s, which a git that is gone had left %.0f s ago", lock, age)
    return True


def _works_in(process: psutil.Process, top: Path, lock: Path) -> bool:
    try:
        if process.name().startswith("git"):
            return Path(process.cwd()).is_relative_to(top)
        return "python" in process.name() and any(each.path == str(lock) for each in process.open_files())
    except (psutil.Error, OSError):
        return False


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _lines(root: Path, *words: str) -> list[str]:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *words],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:  # no git here
        return []
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"git {words[0]} in {root} took longer than {_TIMEOUT_S:g} s",
            remedy="Look at the repository with `git status`.",
            root=str(root),
        ) from error
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []
