"""What a run prints, kept as its log: written through at once, bounded, progress bars as one line.

A log in the making is a folder `<output folder>/<name>/` of parts named by their offset in the whole:
the first holds the first megabyte and stays, of the others the last three are kept. So it survives the
death of its process, and whoever delivers the run makes one file of it.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path

_log = logging.getLogger(__name__)

LOG_NAME = "output.log"
_FIRST = 1_000_000
_PART = 3_000_000
_KEPT = 3
"""Parts kept besides the first: at least the last 6 MB, at most the last 9."""
_LONGEST = 1 << 16
"""Characters of a line that is still open; what is longer is written as it stands."""


class Output:
    """The log of one run in the making; thread-safe."""

    def __init__(self, folder: Path, name: str = LOG_NAME) -> None:
        """Keep it in `folder`, as the artifact `name`. Raises `OSError`."""
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.closed = False
        self._lock = threading.RLock()  # a signal's handler may print while we write
        self._open_lines: dict[str, str] = {}
        self._offset = 0
        """Where the part that is written begins in the whole."""
        self._fd = self._begin_part()
        self._end, self._length = 0, 0
        """Of the part: where its whole lines end, and how long it is with the open ones."""

    def write(self, text: str, stream: str) -> None:
        """Append what was printed to `stream`. Never raises: a disk that is full ends the log."""
        with self._lock:
            if self.closed or not text:
                return
            try:
                self._append(self._whole_lines(text, stream).encode("utf-8", "backslashreplace"))
            except OSError as error:
                self.closed = True
                os.close(self._fd)
                _log.warning("what the run prints is kept no more: %s", error)

    def close(self) -> None:
        """Keep what is there, and take no more."""
        with self._lock:
            if not self.closed:
                self.closed = True
                os.close(self._fd)

    def abandon(self) -> None:
        """Let go of the log as a forked child must: it stays the parent's."""
        self._lock = threading.RLock()
        self.close()

    def _whole_lines(self, text: str, stream: str) -> str:
        *lines, last = (self._open_lines.get(stream, "") + text).split("\n")
        done = "".join(_last_state(line) + "\n" for line in lines)
        if len(last) > _LONGEST:
            last = _last_state(last)
        if len(last) > _LONGEST:
            done, last = done + last, ""
        self._open_lines[stream] = last
        return done

    def _append(self, done: bytes) -> None:
        # Lines that are still open stand behind the whole ones, and are overwritten by what comes next.
        lines = [_last_state(line) for line in self._open_lines.values()]
        still_open = "\n".join(line for line in lines if line).encode("utf-8", "backslashreplace")
        limit = _PART if self._offset else _FIRST
        while self._end + len(done) > limit:
            room = limit - self._end
            room = done.rfind(b"\n", 0, room) + 1 or room  # at a line's end, where there is one
            self._put(done[:room], b"")
            done = done[room:]
            self._roll()
            limit = _PART
        self._put(done, still_open)

    def _put(self, done: bytes, still_open: bytes) -> None:
        content = done + still_open
        os.pwrite(self._fd, content, self._end)
        length = self._end + len(content)
        if length < self._length:
            os.ftruncate(self._fd, length)
        self._end, self._length = self._end + len(done), length

    def _roll(self) -> None:
        done, self._offset = self._fd, self._offset + self._end
        self._fd = self._begin_part()
        os.close(done)
        self._end, self._length = 0, 0
        for old in _parts(self.folder)[1:-_KEPT]:
            old.unlink()

    def _begin_part(self) -> int:
        """A new file; raises `OSError` and leaves the one that is open."""
        path = self.folder / f"{self._offset:020d}"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def collect(log: Path, to: Path) -> Path | None:
    """Make one file of a log's parts, `to/<its name>`; None when nothing was printed. Raises `OSError`."""
    parts = _parts(log)
    if not any(part.stat().st_size for part in parts):
        return None
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole, at = to / log.name, 0
    with whole.open("wb") as file:
        for part in parts:
            if (cut := int(part.name) - at) > 0:
                file.write(b"\n... %d bytes were cut here ...\n" % cut)
            file.write(part.read_bytes())
            at = int(part.name) + part.stat().st_size
    return whole


def logs(folder: Path) -> list[Path]:
    """The logs in the making of a run's output folder."""
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def tail(log: Path, most_bytes: int) -> tuple[bytes, int]:
    """The end of a log in the making, and how many bytes of it are before that. Raises `OSError`."""
    found, begins_at = b"", 0
    for part in reversed(_parts(log)):
        begins_at = int(part.name)
        found = part.read_bytes() + found
        if len(found) >= most_bytes:
            break
    cut = max(0, len(found) - most_bytes)
    return found[cut:], begins_at + cut


def forget(log: Path) -> None:
    """Delete a log's parts."""
    shutil.rmtree(log, ignore_errors=True)


def _parts(log: Path) -> list[Path]:
    return sorted(log.glob("[0-9]*"))


def _last_state(line: str) -> str:
    """A line as a terminal shows it last: what a carriage return began anew has replaced the rest."""
    return line.rstrip("\r").rpartition("\r")[2]
