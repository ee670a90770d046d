"""Files that outlive a crash: whole or not at all, one writer at a time."""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_MODE = 0o644


@contextmanager
def locked(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold a folder among threads and processes: alone, or with others who read.

    The lock is on the folder itself, so that it leaves no file for DVC to find. Raises OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # of a forked child's copy, too
    finally:
        os.close(descriptor)


def append_all(pieces: Mapping[Path, bytes]) -> None:
    """Append whole lines to each file and wait for the disk; all of them, or none.

    A last line that a crash cut off is ended first. The caller holds the lock. Raises OSError.
    """
    before: dict[Path, int | None] = {}
    try:
        for path, lines in pieces.items():
            before[path] = path.stat().st_size if path.exists() else None
            _append(path, lines)
    except BaseException:
        for path, size in before.items():
            _take_back(path, size)
        raise


def replace(path: Path, content: bytes) -> None:
    """Put a file in place in one step, durably. Raises OSError."""
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, _MODE)
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably. Raises OSError."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def _append(path: Path, lines: bytes) -> None:
    make_folder(path.parent)
    new = not path.exists()
    if not new and (path.is_symlink() or path.stat().st_nlink > 1):
        replace(path, path.read_bytes())  # a link into DVC's cache, whose file must not change
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, _MODE)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        _sync_folder(path.parent)


def _take_back(path: Path, size: int | None) -> None:
    with suppress(OSError):
        if size is None:
            path.unlink(missing_ok=True)
        else:
            os.truncate(path, size)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
