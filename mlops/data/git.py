"""What git knows of a folder: its revision, whether it is dirty, and which commits refs name.

The user's own `git` is called, as DVC does where its libraries do not suffice; importing one of them would
cost more than the calls, and a run's start asks for its revision.
"""

from __future__ import annotations

import logging
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from mlops.errors import DataError, InvalidInput, RevisionNotFound

_log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_NO_REVISION = re.compile(r"[\s~^:?*\[\\\x00-\x1f\x7f]|\.\.|@\{|^-|^$|^@$")
_STALE_LOCK_S = 30.0
_AT_ONCE = 200
_NO_LOCK = ("Permission denied", "Read-only")
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
    """The commits that any ref names: branches, tags, remotes' branches, stashes, and HEAD of each work tree.
    None outside a repository; raises `DataError` where git cannot tell."""
    if not _in_repository(root):
        return []
    found: set[str] = set()
    for words in (("rev-list", "--no-walk", "--all"), ("stash", "list", "--format=%H")):
        try:
            done = _git(root, "--no-optional-locks", *words)
        except FileNotFoundError as error:
            raise _untold(root, "it is not installed") from error
        if done.returncode:
            raise _untold(root, done.stderr.strip())
        found.update(done.stdout.split())
    return sorted(found)


def hashes(root: Path, commits: Sequence[str]) -> set[str]:
    """Every content hash that a .dvc file or a dvc.lock names in the commits and in git's index, of the whole
    repository: of a project that was elsewhere then, too. Raises `DataError` where git cannot tell."""
    found: set[str] = set()
    for begin in range(0, len(commits), _AT_ONCE):
        found |= _grepped(root, *commits[begin : begin + _AT_ONCE])
    return found | _grepped(root, "--cached") if _in_repository(root) else found


def _grepped(root: Path, *where: str) -> set[str]:
    plain = ("--no-color", "--no-line-number", "--no-column", "--text", "-h", "-o", "-E")
    words = ("grep", *plain, "-e", _CONTENT_HASH.pattern, *where, "--", ":(top)*.dvc", ":(top)*dvc.lock")
    done = _git(root, "--no-optional-locks", *words)
    if done.returncode > 1:  # 1: nothing is found
        raise _untold(root, done.stderr.strip())
    return set(done.stdout.split())


def _in_repository(root: Path) -> bool:
    return any((folder / ".git").exists() for folder in (root, *root.parents))


def tracks(file: Path) -> bool:
    """Whether a file is in git's index."""
    return bool(_lines(file.parent, "ls-files", "--", file.name))


def stage(root: Path, paths: Iterable[Path]) -> None:
    """Put files into git's index, by git itself: it reads the index when it has locked it, and what others
    stage meanwhile, in other projects of the repository too, stays. Raises `OSError` where git refuses;
    without git, nothing is staged."""
    # A file may be a link, and is staged as one; git wants to know the folder as it is.
    names = [str(path.parent.resolve() / path.name) for path in paths]
    with suppress(FileNotFoundError):
        done = _git(root, "update-index", "--add", "--", *sorted(names))
        if done.returncode:
            raise OSError(f"git update-index: {done.stderr.strip()}")


def is_locked(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that git's index is locked."""
    return any(
        type(each).__name__ == "FileLocked"
        or ("index.lock" in str(each) and not any(why in str(each) for why in _NO_LOCK))
        for each in _with_causes(error)
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
    except psutil.AccessDenied:  # another user's: it may be
        return True
    except (psutil.Error, OSError):
        return False


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _untold(root: Path, why: str) -> DataError:
    return DataError(
        f"git does not tell which commits the repository of {root} has: {why}",
        remedy="See that `git -C <the folder> log --all` works there.",
        root=str(root),
    )


def _lines(root: Path, *words: str) -> list[str]:
    try:
        done = _git(root, "--no-optional-locks", *words)
    except FileNotFoundError:  # no git here
        return []
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *words],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"git {' '.join(words[:2])} in {root} took longer than {_TIMEOUT_S:g} s",
            remedy="Look at the repository with `git status`.",
            root=str(root),
        ) from error
