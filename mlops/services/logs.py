"""A service's log file."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

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
