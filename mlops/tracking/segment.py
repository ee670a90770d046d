"""A segment: one append-only file of the journal, framed and checksummed.

Format: eight bytes of magic; then records, each a little-endian header (payload's length and CRC-32,
four bytes each) and the payload; then zeros up to the size that was set aside. A length of zero is the
end. A record whose checksum fails, or that the file does not hold whole, is a torn tail.

The writer copies each record into a shared memory map. From then on it is the kernel's: it survives the
death of the process, not of the machine, until `sync`. A map rather than `write`, because a system call
gives up Python's interpreter lock, and a caller would wait up to 5 ms behind the sender to get it back.
The whole file is set aside first, so that a full disk is an error at the call and not a signal.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"MLOPSJ1\n"
SUFFIX = ".seg"
_HEAD = struct.Struct("<II")
OVERHEAD = _HEAD.size
_READ = 1 << 18


class SegmentWriter:
    """Appends to a new file, which stays locked (`flock`) as long as its writer lives.

    Not thread-safe: its journal holds a lock around each call.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Create `path` with `size` bytes set aside. Raises `OSError` (a full disk) and leaves nothing."""
        self.path = path
        # It gets its name when it is locked: until then it would pass for one whose writer has died.
        part = path.with_suffix(".part")
        self._fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _set_aside(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
            self._map[: len(MAGIC)] = MAGIC
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            os.close(self._fd)
            raise
        self._size = size
        self.end = len(MAGIC)
        """Offset behind the last whole record; another thread may read the file up to it."""

    def append(self, payload: bytes) -> bool:
        """Append one record (not empty); False, and nothing written, when it does not fit."""
        end = self.end + _HEAD.size + len(payload)
        if end > self._size:
            return False
        self._map[self.end : end] = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        self.end = end
        return True

    def duplicate(self) -> int:
        """A further descriptor of the file, for `os.fsync` without the journal's lock."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Cut the file to what was written, and release it."""
        if self._map.closed:
            return
        self._map.close()
        os.ftruncate(self._fd, self.end)
        fcntl.flock(self._fd, fcntl.LOCK_UN)  # of every duplicate, too
        os.close(self._fd)

    def abandon(self) -> None:
        """Let go of the file as a forked child must: the parent's lock and data stay."""
        if not self._map.closed:
            self._map.close()
            os.close(self._fd)


def is_written_to(path: Path) -> bool:
    """Whether a living writer holds the segment, in this process or another."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def records(path: Path, start: int = 0) -> Iterator[tuple[bytes, int]]:
    """Whole records from offset `start` on, each with the offset behind it; ends at the end of data and
    before a torn tail. `FileNotFoundError` when there is no such segment."""
    with path.open("rb", buffering=0) as file:
        at = max(start, len(MAGIC))
        if start < len(MAGIC) and file.read(len(MAGIC)) != MAGIC:
            return
        file.seek(at)
        held = b""
        while chunk := file.read(_READ):
            held += chunk
            used = 0
            for payload, used in _whole(held):
                yield payload, at + used
            at += used
            if used < len(held) and _is_end(held, used):
                return
            held = held[used:]


def torn_bytes(path: Path, end: int) -> int:
    """Bytes behind `end`, where `records` stopped, that are no zeros: a torn record, or damage."""
    with path.open("rb") as file:
        file.seek(end)
        return len(file.read().rstrip(b"\0"))


def _whole(held: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at + _HEAD.size <= len(held):
        length, checksum = _HEAD.unpack_from(held, at)
        end = at + _HEAD.size + length
        if length == 0 or end > len(held):
            return
        payload = held[at + _HEAD.size : end]
        if zlib.crc32(payload) != checksum:
            return
        at = end
        yield payload, at


def _is_end(held: bytes, at: int) -> bool:
    # Not merely a record that the next chunk completes.
    if at + _HEAD.size > len(held):
        return False
    length, _ = _HEAD.unpack_from(held, at)
    return bool(length == 0 or at + _HEAD.size + length <= len(held))


def _set_aside(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    blank = bytes(min(size, _READ))  # macOS has no fallocate
    for at in range(0, size, len(blank)):
        os.pwrite(fd, blank[: size - at], at)
