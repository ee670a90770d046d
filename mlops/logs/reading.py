"""One reader for every service's log: the newest lines that are wanted, and new ones as they come."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from mlops.entities import LogLine
from mlops.logs.files import parts
from mlops.logs.query import LogQuery
from mlops.logs.text import MOST_LINES, records, says_when

_BLOCK = 1 << 16
_LATE = timedelta(minutes=5)
"""By so much a line may stand behind later ones, as of a process that was held up."""
_POLL_S = 0.3


class LogFolder:
    """The logs below one folder; `<service>.log` and its earlier parts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self, query: LogQuery, count: int, *, most_bytes: int | None = None) -> list[LogLine]:
        """The newest `count` lines that are wanted, the newest last. Read from the end, and no further
        than needed; of each service at most `most_bytes`."""
        if count <= 0:
            return []
        with ExitStack() as opened:
            each = [
                (line for line in self._backwards(name, query, opened, most_bytes) if query.wants(line))
                for name in query.services
            ]
            found = list(islice(heapq.merge(*each, key=_time, reverse=True), count))
        found.reverse()  # of one instant, each service's lines stay in their order
        return sorted(found, key=_time)

    def follow(self, query: LogQuery, *, poll_s: float = _POLL_S) -> Iterator[LogLine]:
        """New lines that are wanted as they come, for ever."""
        with ExitStack() as opened:
            followed = [
                opened.enter_context(closing(_Followed(name, self._path / f"{name}.log")))
                for name in query.services
            ]
            while True:
                news = [line for each in followed for line in each.new()]
                yield from sorted(filter(query.wants, news), key=_time)
                time.sleep(poll_s)

    def tail(self, service: str, count: int) -> list[str]:
        """The last `count` lines of the service's log, as text for people."""
        query = LogQuery((service,))
        shown = [f"{line.message}\n{line.error}".strip() for line in self.newest(query, count)]
        return [text for text in "\n".join(shown).splitlines() if text.strip()][-count:]

    def last_line(self, service: str) -> str:
        """The last line that says something."""
        return next((line.strip() for line in reversed(self.tail(service, 1))), "no output")

    def _backwards(
        self, service: str, query: LogQuery, opened: ExitStack, most_bytes: int | None
    ) -> Iterator[LogLine]:
        """The service's lines, the newest first, until before what the query asks for."""
        left = most_bytes
        # All are opened before any is read: a file that is turned over meanwhile is not read twice.
        for file in _open_all(self._path / f"{service}.log", opened):
            until = os.fstat(file.fileno())
            wanted = until.st_size if left is None else min(until.st_size, left)
            for line in _records_backwards(service, file, until.st_size, wanted, until.st_mtime):
                if query.since is not None and line.time < query.since - _LATE:
                    return
                yield line
            left = None if left is None else left - wanted
            if left == 0:
                return


def _time(line: LogLine) -> datetime:
    return line.time


def _open_all(path: Path, opened: ExitStack) -> list[BinaryIO]:
    found: dict[tuple[int, int], BinaryIO] = {}
    for each in parts(path):
        try:
            file = opened.enter_context(each.open("rb"))
        except OSError:
            continue
        status = os.fstat(file.fileno())
        found.setdefault((status.st_dev, status.st_ino), file)
    return list(found.values())


def _records_backwards(
    service: str, file: BinaryIO, end: int, wanted: int, changed: float
) -> Iterator[LogLine]:
    known = datetime.fromtimestamp(changed, UTC)
    later: list[str] = []
    for text in _lines_backwards(file, end, end - wanted):
        later.append(text)
        if says_when(text) or len(later) >= MOST_LINES:
            for line in reversed(list(records(service, reversed(later), known))):
                yield line
                known = line.time
            later = []
    yield from reversed(list(records(service, reversed(later), known)))


def _lines_backwards(file: BinaryIO, end: int, start: int) -> Iterator[str]:
    """Whole lines between two places of a file, the last first; a line that is begun before `start` is
    left out."""
    rest, place = b"", end
    while place > start:
        size = min(_BLOCK, place - start)
        place -= size
        file.seek(place)
        lines = (file.read(size) + rest).split(b"\n")
        rest = lines.pop(0)
        yield from (_text(line) for line in reversed(lines) if line.strip())
    if start == 0 and rest.strip():
        yield _text(rest)


class _Followed:
    """One service's file from now on, through its turns."""

    def __init__(self, service: str, path: Path) -> None:
        self._service = service
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        self._open(at_end=True)

    def new(self) -> list[LogLine]:
        """What was written since the last call."""
        found = self._complete()
        if self._is_turned():
            found += self._complete()  # what its writers said last before they noticed
            self._open(at_end=False)
            found += self._complete()
        return list(records(self._service, found, datetime.now(UTC)))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self, *, at_end: bool) -> None:
        self.close()
        try:
            self._file = self._path.open("rb")
        except OSError:
            self._file = None
            return
        self._rest = b""
        if at_end:
            self._file.seek(0, os.SEEK_END)

    def _is_turned(self) -> bool:
        if self._file is None:
            return True
        try:
            now, ours = self._path.stat(), os.fstat(self._file.fileno())
        except OSError:
            return False  # turned over this moment, or gone
        return not os.path.samestat(now, ours) or now.st_size < self._file.tell()

    def _complete(self) -> list[str]:
        if self._file is None:
            return []
        lines = (self._rest + self._file.read()).split(b"\n")
        self._rest = lines.pop()
        return [_text(line) for line in lines if line.strip()]


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip()
