"""The services' log files: written to directly, turned over while they are written, bounded in total.

A process writes to its file itself: what it says survives the supervisor's death, and no pipe can fill up.
The file is its standard output and error, open to append. Earlier parts are `<service>.log.1` (the newest)
and on.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

KEEP_BYTES = 20_000_000
"""Of one part; a process of ours turns its file over there, and loses nothing by it."""
KEPT_PARTS = 3
"""Earlier ones that are kept."""
MOST_BYTES = KEEP_BYTES * 5 // 4
"""Where the supervisor turns a file over whose process does not do so itself: that of another program."""

_STREAMS = (1, 2)


class LogFile:
    """One service's file, as who starts the service sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> BinaryIO:
        """The file, open to append, for a process that is to be started; turned over first where it is
        large."""
        with contextlib.suppress(OSError), turning(self.path):
            if _size(self.path) > KEEP_BYTES:
                shift(self.path)
        file = self.path.open("ab")
        self.path.chmod(0o600)
        return file

    def bound(self, most_bytes: int = MOST_BYTES) -> bool:
        """Turn the file over if it is larger, under a process that holds it open: copied, then emptied.
        Returns whether that was done. What is written in the instant between the two is lost; where no
        room is left for the copy, all is. Raises `OSError` where the file cannot be changed."""
        if _size(self.path) <= most_bytes:
            return False
        with turning(self.path):
            if _size(self.path) <= most_bytes:
                return False
            _shift_earlier(self.path)
            try:
                _copy(self.path, part(self.path, 1))
            except OSError:
                part(self.path, 1).unlink(missing_ok=True)
            os.truncate(self.path, 0)
        return True


class LogFileHandler(logging.Handler):
    """Appends each line by one write, so that several processes may write to one file without tearing
    lines; turns it over at `keep_bytes`, whichever of them comes there first, and goes on in the new one.

    Those of `streams` (descriptors) that are this file at the beginning follow it. A full disk loses
    lines, and raises nothing."""

    def __init__(
        self, path: Path, *, streams: Sequence[int] = _STREAMS, keep_bytes: int = KEEP_BYTES
    ) -> None:
        super().__init__()
        self._path = path
        self._keep_bytes = keep_bytes
        self._file = _open(path)
        self._streams = [number for number in streams if is_same_file(number, path)]
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line."""
        try:
            self._write(self._line(record).encode())
        except OSError:  # a full disk must not end what runs
            self._torn = True

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._file)
        super().close()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record) + "\n"
        except Exception as error:  # noqa: BLE001 - logging's own way would print the arguments as they are
            why = f"a line of {record.pathname}:{record.lineno} cannot be written: {type(error).__name__}"
            failed = logging.LogRecord(
                record.name, record.levelno, record.pathname, record.lineno, why, (), None
            )  # fmt: skip
            return self.format(failed) + "\n"

    def _write(self, line: bytes) -> None:
        if not is_same_file(self._file, self._path):
            self._go_on()
        if os.fstat(self._file).st_size + len(line) > self._keep_bytes:
            self._turn(len(line))
        data = b"\n" + line if self._torn else line
        self._torn = os.write(self._file, data) < len(data)

    def _turn(self, more: int) -> None:
        with turning(self._path):
            size = _size(self._path)
            # Looked at again: another process may have done it meanwhile.
            if is_same_file(self._file, self._path) and size and size + more > self._keep_bytes:
                shift(self._path)
        self._go_on()

    def _go_on(self) -> None:
        old, self._file = self._file, _open(self._path)
        os.close(old)
        for number in self._streams:
            os.dup2(self._file, number)


def part(path: Path, number: int) -> Path:
    """Where an earlier part of the file lies; 1 is the newest."""
    return path.with_name(f"{path.name}.{number}")


def parts(path: Path) -> list[Path]:
    """The file and its earlier parts, the newest first, whether they are there or not."""
    return [path, *(part(path, number) for number in range(1, KEPT_PARTS + 1))]


def shift(path: Path) -> None:
    """Make the file its own newest earlier part; the oldest goes. Under `turning` alone."""
    _shift_earlier(path)
    path.replace(part(path, 1))


@contextlib.contextmanager
def turning(path: Path) -> Iterator[None]:
    """Only one process at a time turns a file of this folder over."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def is_same_file(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that lies there now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _shift_earlier(path: Path) -> None:
    for number in range(KEPT_PARTS - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            part(path, number).replace(part(path, number + 1))


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        target.chmod(0o600)
        shutil.copyfileobj(reading, writing, 1 << 20)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
