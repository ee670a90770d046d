"""Where one run's journal lies, and how far each of its segments was delivered.

A run has a folder `<journal>/<project>/<key>/`:

- `run.json`: what it was opened with; `lock`: held (`flock`) by the process that delivers the run;
- `*.seg`: segments, one writer each; `*.pos`: how far a segment was confirmed by the server;
- `files/`: copies of artifacts on their way; `mlflow_id`: MLflow's id, once it has one;
- `models.json`: ids of logged models given offline, with MLflow's; `output/`: what it printed;
- `ended`: there once the server knows how it ended; `refused.jsonl`: what it refused, and why.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops.errors import JournalError
from mlops.installation import write_private
from mlops.tracking.segment import SUFFIX

KEY_PREFIX = "r-"
"""Tells a run's key from MLflow's ids, which are hexadecimal."""
JOURNAL_SCHEME = "mlops-journal"
"""Of the artifact URI `mlops-journal:/<key>…` of what has no place at the server yet."""
_KEY = re.compile(rf"{KEY_PREFIX}[0-9a-f]{{32}}")


def new_key() -> str:
    """A key that no other run has."""
    return f"{KEY_PREFIX}{uuid.uuid4().hex}"


def is_key(text: str) -> bool:
    """Whether it has the form of a run's key."""
    return _KEY.fullmatch(text) is not None


@dataclass(frozen=True)
class Opening:
    """What a run is opened with."""

    project: str
    name: str
    started_ms: int
    key: str
    experiment: str | None = None
    """Name of its experiment; None is the project's own."""
    tags: dict[str, str] = field(default_factory=dict)
    mlflow_id: str | None = None
    """Of a run that is resumed."""


class RunFolder:
    """Where one run's journal lies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = path / "files"
        self.output = path / "output"
        self.lock = path / "lock"
        self.ended = path / "ended"
        self.refused = path / "refused.jsonl"
        self._id = path / "mlflow_id"

    def opening(self) -> Opening:
        """What the run was opened with; raises `JournalError` when that cannot be read."""
        try:
            return Opening(**json.loads((self.path / "run.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise JournalError(
                self.path, f"run.json is damaged: {error}", remedy="Look at the folder, then delete it."
            ) from error

    def is_sound(self) -> bool:
        """Whether there is a run here that can be delivered."""
        try:
            self.opening()
        except JournalError:
            return False
        return True

    def segments(self) -> list[Path]:
        """Its segments, oldest first."""
        return sorted(self.path.glob(f"*{SUFFIX}"))

    def mlflow_id(self) -> str | None:
        """MLflow's id, when the run is known there."""
        try:
            return self._id.read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    def know_as(self, mlflow_id: str) -> None:
        """Keep MLflow's id."""
        write_private(self._id, mlflow_id)

    def open_lock(self) -> int | None:
        """Lock the run for delivery; the descriptor, or None when another process holds it or the run
        is gone."""
        try:
            fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino == self.lock.stat().st_ino:
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)
        return None


def run_folders(project_folder: Path) -> Sequence[RunFolder]:
    """The runs of a project that have a journal, oldest first."""
    if not project_folder.is_dir():
        return []
    found = [path for path in project_folder.iterdir() if (path / "run.json").is_file()]
    return [RunFolder(path) for path in sorted(found, key=_begun) if not path.name.startswith(".")]


def _begun(path: Path) -> float:
    try:
        return (path / "run.json").stat().st_mtime
    except FileNotFoundError:  # delivered this moment
        return 0.0


def confirmed(segment: Path) -> int:
    """How far the server has confirmed a segment."""
    try:
        return int(_position_file(segment).read_bytes() or b"0")
    except (FileNotFoundError, ValueError):
        return 0


def confirm(segment: Path, end: int) -> None:
    """Remember that the server has everything before `end`."""
    fd = os.open(_position_file(segment), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, b"%020d" % end, 0)
    finally:
        os.close(fd)


def forget(segment: Path) -> None:
    """Delete a segment that is confirmed whole."""
    segment.unlink(missing_ok=True)  # first: without it its position means nothing
    _position_file(segment).unlink(missing_ok=True)


def _position_file(segment: Path) -> Path:
    return segment.with_suffix(".pos")
