"""What is about to be added: its files as they stand, and whether they stay so."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops.data.paths import TOOLS, check_path
from mlops.entities import DataVersion
from mlops.errors import DataChanging, DataError, DataNotFound, InvalidInput
from mlops.project import FILE_NAME

MANY_FILES = 10_000
"""Above it a push or a pull, which asks the remote for each file, takes minutes."""

_Stat = tuple[int, int, int]


@dataclass(frozen=True)
class Survey:
    """The files of a data path at one moment: their sizes, times of change and inodes."""

    project: str
    root: Path
    path: str
    """Of the data, relative to `root`."""
    files: dict[str, _Stat]
    """Path relative to `root` -> (bytes, nanoseconds, inode)."""

    @property
    def size_bytes(self) -> int:
        """All sizes together."""
        return sum(size for size, _, _ in self.files.values())

    def changed(self) -> list[str]:
        """The files that are not now what they were; new and removed ones, too."""
        now = dict(_stats(self.root, self.path))
        return sorted(
            name for name in self.files.keys() | now.keys() if self.files.get(name) != now.get(name)
        )

    def check_quiet(self) -> None:
        """Raise `DataChanging` for a file that some program has open for writing."""
        for name in self.files:
            if open_for_writing(self.root / name):
                raise DataChanging(self.project, self.path, name, "is open for writing")

    def check_unchanged(self) -> None:
        """Raise `DataChanging` for a file that changed since."""
        if changed := self.changed():
            raise DataChanging(self.project, self.path, changed[0], "changed meanwhile")


def survey(project: str, root: Path, path: str) -> Survey:
    """Look at `path`, relative to `root`.

    Raises `DataNotFound`; `InvalidInput` for a symbolic link out of `root`, to a folder or to nothing, for
    what is another project's, for what is neither file nor folder, and for a folder without files.
    """
    target = root / path
    for each in (target, *target.parents[: len(Path(path).parts) - 1]):
        if each.is_symlink():
            _check_link(each, path, root)
    if not target.exists():
        raise DataNotFound(project, path)
    if not (target.is_file() or target.is_dir()):
        raise InvalidInput("path", path, "is neither a file nor a folder", remedy="Add plain files.")
    files = dict(_stats(root, path))
    if not files:
        raise InvalidInput("path", path, "is a folder without files", remedy="Put files into it first.")
    return Survey(project, root, path, files)


def differs(root: Path, version: DataVersion) -> bool:
    """Whether the working tree surely holds something else than `version`: other files, or another size. An
    edit that keeps both is not seen; `DataStore.status` sees it. Very many files are not looked at."""
    if version.files > MANY_FILES:
        return False
    sizes = [size for _, (size, _, _) in _stats(root, version.path)]
    return (len(sizes), sum(sizes)) != (version.files, version.size_bytes)


def open_for_writing(file: Path) -> bool:
    """Whether some program has the file open for writing, or mapped so. Linux tells: it gives no read lease
    then (fcntl(2), F_SETLEASE). False where that cannot be asked: elsewhere, another user's file, a
    file system without leases."""
    if sys.platform != "linux":
        return False
    import fcntl
    import signal

    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # A writer that comes while the lease is held is told by a signal, whose default would end us.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(descriptor)
    return False


def _stats(root: Path, path: str) -> Iterator[tuple[str, _Stat]]:
    target = root / path
    try:
        if target.is_dir():
            yield from _below(str(target), path, root)
        elif target.exists():
            yield path, _stat(target.stat())
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error}", remedy="Check its permissions and the disk.", path=path
        ) from error


def _below(folder: str, path: str, root: Path) -> Iterator[tuple[str, _Stat]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{path}/{entry.name}"
            try:
                if entry.name in TOOLS or entry.name == FILE_NAME:
                    problem = "belongs to a repository or to another project"
                    raise InvalidInput("path", name, problem, remedy="Data is added without it.")
                if entry.is_symlink():
                    _check_link(Path(entry.path), name, root)
                if entry.is_dir():
                    yield from _below(entry.path, name, root)
                elif entry.is_file():
                    yield name, _stat(entry.stat())
                else:
                    raise InvalidInput(
                        "path", name, "is neither a file nor a folder", remedy="Add plain files."
                    )
            except FileNotFoundError:  # removed meanwhile
                continue


def _check_link(link: Path, name: str, root: Path) -> None:
    if link.is_dir():
        raise InvalidInput(
            "path", name, "is a symbolic link to a folder", remedy="Replace the link by the folder itself."
        )
    if not link.exists():
        raise InvalidInput("path", name, "is a symbolic link to nothing", remedy="Remove the link.")
    if not link.resolve().is_relative_to(root.resolve()):
        raise InvalidInput(
            "path",
            name,
            "is a symbolic link out of the project's folder",
            remedy="Replace the link by the file itself.",
        )
    check_path(root, link.resolve().relative_to(root.resolve()).as_posix())


def _stat(found: os.stat_result) -> _Stat:
    return found.st_size, found.st_mtime_ns, found.st_ino
