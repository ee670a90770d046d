"""The services' log files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mlops.errors import InvalidInput
from mlops.services.names import SERVICES

KEEP_BYTES = 20_000_000


class LogFile:
    """A file that a process writes to directly: its output survives the supervisor's death, and no
    pipe can fill up. It is turned over at a spawn once it is large; one earlier file is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> BinaryIO:
        """The file, open to append."""
        if self.path.exists() and self.path.stat().st_size > KEEP_BYTES:
            self.path.replace(self.path.with_suffix(".log.1"))
        file = self.path.open("ab")
        self.path.chmod(0o600)
        return file

    def tail(self, lines: int = 20) -> list[str]:
        """Its last lines; empty when there is none."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - 400 * lines))
                return file.read().decode("utf-8", "replace").splitlines()[-lines:]
        except OSError:
            return []

    def last_line(self) -> str:
        """Its last line that says something."""
        return next((line.strip() for line in reversed(self.tail()) if line.strip()), "no output")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one service."""

    service: str
    text: str


def last_lines(logs: Path, service: str | None, count: int) -> list[LogLine]:
    """The last `count` lines of a service's log, or of each one's. Raises `InvalidInput` for an
    unknown name."""
    return [
        LogLine(name, text) for name in _names(service) for text in LogFile(logs / f"{name}.log").tail(count)
    ]


def follow_logs(logs: Path, service: str | None, *, poll_s: float = 0.3) -> Iterator[LogLine]:
    """New lines as they come, for ever; a file that was turned over is read from its beginning."""
    paths = {name: logs / f"{name}.log" for name in _names(service)}
    positions = {name: _size(path) for name, path in paths.items()}
    while True:
        for name, path in paths.items():
            if _size(path) < positions[name]:
                positions[name] = 0
            for text, end in _complete_lines(path, positions[name]):
                positions[name] = end
                yield LogLine(name, text)
        time.sleep(poll_s)


def _names(service: str | None) -> tuple[str, ...]:
    known = (*SERVICES, "supervisor")
    if service is not None and service not in known:
        raise InvalidInput("service", service, "has no log", remedy=f"Use one of: {', '.join(known)}.")
    return known if service is None else (service,)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _complete_lines(path: Path, start: int) -> Iterator[tuple[str, int]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield line.decode("utf-8", "replace").rstrip(), start
