"""The journal: what a run records, on this machine's disk before the call returns.

A run has a folder `<journal>/<project>/<key>/`:

- `run.json`: what it was opened with; `lock`: held (`flock`) by the process that delivers the run;
- `*.seg`: segments, one writer each; `*.pos`: how far a segment was confirmed by the server;
- `files/`: copies of artifacts on their way; `mlflow_id`: MLflow's id, once it has one;
- `output/`: what the run prints (`mlops.tracking.output`), until it is an artifact;
- `refused.jsonl`: what the server refused, with its reason.

A record that was appended survives the death of the process. It reaches the disk within a second, so a
power failure may cost that second. A forked child writes a segment of its own into the same run.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import secrets
import shutil
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops.entities import Run, RunStatus
from mlops.errors import JournalError, RunEnded
from mlops.installation import write_private
from mlops.tracking import codec
from mlops.tracking.records import Records, check_metrics, check_unchanged
from mlops.tracking.segment import OVERHEAD, SUFFIX, SegmentWriter

_FIRST, _LARGEST = 1 << 16, 1 << 22
"""Sizes of a run's first segment and of its largest; each is twice the one before."""
_LOCK_TRIES = 5
_SCHEMAS = 4096
"""Sets of metric names that are remembered; a run with more pays for naming them again."""

KEY_PREFIX = "r-"
"""Tells a run's key from MLflow's ids, which are hexadecimal."""


def new_key() -> str:
    """A key that no other run has."""
    return f"{KEY_PREFIX}{uuid.uuid4().hex}"


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


class RunJournal:
    """What this process writes of one run; thread-safe, and usable in a forked child."""

    def __init__(self, folder: RunFolder, opening: Opening, lock: int | None) -> None:
        """Use `create` or `join`. `lock` is the run's lock when this process owns the run."""
        self.folder = folder
        self.opening = opening
        self.key = opening.key
        self.mlflow_id = opening.mlflow_id
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = dict(opening.tags)
        self.models: dict[str, dict[str, Any]] = {}
        """Logged models made offline: their ids here -> MLflow's model, once delivered."""
        self.versions: dict[str, dict[str, Any]] = {}
        """Model versions that were registered: their keys -> MLflow's version, once delivered."""
        self.status = RunStatus.RUNNING
        self.ended_ms: int | None = None
        self.closed = False
        """Whether this process writes no more of it."""
        self._sealed = False
        self.on_segment: Callable[[], None] = lambda: None
        """Called when a segment was begun, so that a sender looks after it (a fork loses its sender)."""
        self._lock_fd = lock
        self._latest: dict[tuple[str, ...], tuple[float, ...]] = {}
        self._reset()
        _open.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._writer: SegmentWriter | None = None
        self._schemas: dict[tuple[str, ...], codec.Schema] = {}
        self._numbers = itertools.count(1)  # never the same twice in a segment
        self._size = _FIRST
        self._written: list[tuple[Path, int]] = []
        self._unsynced: list[int | Path] = []
        self._synced = 0

    @classmethod
    def create(cls, project_folder: Path, opening: Opening) -> RunJournal:
        """A new run of this process; complete on the disk, or not there at all. Raises `JournalError`."""
        part = RunFolder(project_folder / f".new-{opening.key}")
        with _telling(project_folder):
            part.path.mkdir(mode=0o700, parents=True)
            write_private(part.path / "run.json", json.dumps(asdict(opening)))
            lock = part.open_lock()
            folder = RunFolder(part.path.rename(project_folder / opening.key))
        return cls(folder, opening, lock)

    @classmethod
    def join(cls, folder: RunFolder) -> RunJournal:
        """Write to a run that has a journal already; this process owns it if no other does."""
        opening, lock = folder.opening(), folder.open_lock()
        for _ in range(_LOCK_TRIES):
            if lock is not None:
                break
            time.sleep(0.02)  # who looks for orphans holds a lock for a moment
            lock = folder.open_lock()
        joined = cls(folder, opening, lock)
        joined.mlflow_id = folder.mlflow_id() or joined.mlflow_id
        return joined

    # -- writing --------------------------------------------------------------------------------

    def metrics(self, metrics: Mapping[str, float], step: int = 0, time_ms: int | None = None) -> None:
        """Record metrics at a step, at `time_ms` (now). Raises `RunEnded`, `InvalidInput`, `JournalError`."""
        now = time.time_ns() // 1_000_000 if time_ms is None else time_ms
        keys, values = tuple(metrics), tuple(metrics.values())
        with self._lock:
            self._check_running()
            while True:
                known = self._schemas.get(keys) or self._define(keys)
                try:
                    payload = known.pack(codec.POINTS, now, step, known.number, *values)
                except Exception:  # noqa: BLE001 - whatever a value's own conversion raises
                    # Once more, slowly: refused by name, or turned into numbers.
                    metrics, step = check_metrics(metrics, step)
                    values = tuple(metrics.values())
                    payload = known.pack(codec.POINTS, now, step, known.number, *values)
                if self._writer is not None and self._writer.append(payload):
                    break
                self._roll(len(payload) + len(known.definition))
            self._latest[keys] = values

    def texts(self, records: Records) -> None:
        """Record checked params and tags. Raises `RunEnded`, `InvalidInput` for a param that changes."""
        with self._lock:
            self._check_running()
            check_unchanged(records.params, self.params)
            self._append(codec.encode({"op": "texts", "params": records.params, "tags": records.tags}))
            self.params.update(records.params)
            self.tags.update(records.tags)

    def operation(self, operation: Mapping[str, Any]) -> None:
        """Record what is delivered in order: see `mlops.tracking.delivery`. Raises `RunEnded`."""
        with self._lock:
            self._check_running()
            self._append(codec.encode(dict(operation)))

    def file(
        self, path: Path, artifact_path: str | None, *, model: str | None = None, contents: bool = False
    ) -> None:
        """Copy a file or folder (or the folder's `contents`), to be uploaded below `artifact_path` of the
        run, or of its logged `model`. Raises `RunEnded`, `JournalError`; a copy that fails leaves nothing."""
        self._check_running()
        if path.name in ("", ".."):
            path = path.resolve()  # `.` has a name, too
        kept = self.folder.files / f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        with _telling(kept):
            try:
                kept.mkdir(mode=0o700, parents=True)
                copied = _copy(path, kept / path.name)
            except BaseException:
                shutil.rmtree(kept, ignore_errors=True)
                raise
        with self._lock:
            self._unsynced += copied
        operation = {"kept": kept.name, "name": path.name, "below": artifact_path or ""}
        try:
            self.operation({"op": "file", **operation, "model": model, "contents": contents})
        except BaseException:
            shutil.rmtree(kept, ignore_errors=True)
            raise

    def end(self, status: RunStatus, tags: Mapping[str, str] | None = None) -> None:
        """End the run with this status, and close the segment. Raises `RunEnded`."""
        with self._lock:
            self._check_running()
            ended_ms = time.time_ns() // 1_000_000
            if tags:
                self._append(codec.encode({"op": "texts", "params": {}, "tags": dict(tags)}))
                self.tags.update(tags)
            self._append(codec.encode({"op": "status", "status": status.value, "time_ms": ended_ms}))
            self.status, self.ended_ms, self.closed = status, ended_ms, True
            self._close()

    def reopen(self) -> bool:
        """Go on with a run that this process has ended; False when its delivery is done with it."""
        with self._lock:
            if self._lock_fd is None or self._sealed:
                return False
            self._append(codec.encode({"op": "status", "status": RunStatus.RUNNING.value}))
            self.status, self.ended_ms, self.closed = RunStatus.RUNNING, None, False
            return True

    def seal(self) -> bool:
        """Let nothing follow the end; False when the run goes on."""
        with self._lock:
            self._sealed = self.closed
            return self._sealed

    def leave(self) -> None:
        """Close this process's segment without ending the run, which another process owns."""
        with self._lock:
            self.closed = True
            self._close()

    # -- state ----------------------------------------------------------------------------------

    @property
    def owned(self) -> bool:
        """Whether this process may end the run."""
        return self._lock_fd is not None

    @property
    def delivered(self) -> bool:
        """Whether the server has confirmed everything this process wrote so far."""
        with self._lock:
            writer = self._writer
            ends = [*self._written, *([(writer.path, writer.end)] if writer else [])]
        behind = [(path, end) for path, end in ends if path.exists() and confirmed(path) < end]
        done = set(ends).difference(behind)
        with self._lock:
            self._written = [each for each in self._written if each not in done]
        return not behind

    def end_of(self, path: Path) -> int | None:
        """How far this process has written the segment it holds open; None for any other."""
        writer = self._writer
        return writer.end if writer is not None and writer.path == path else None

    def take_lock(self) -> int | None:
        """Give the run's lock to its delivery, which says when it let go of it."""
        return self._lock_fd

    def lost_lock(self) -> None:
        """The descriptor of the lock is closed: a fork must not close what has its number next."""
        self._lock_fd = None

    def last_metrics(self) -> dict[str, float]:
        """The latest value of each metric this process logged."""
        with self._lock:
            return {
                key: value
                for keys, values in self._latest.items()
                for key, value in zip(keys, values, strict=True)
            }

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        with self._lock:
            pending, self._unsynced = self._unsynced, []
            writer = self._writer
            if writer is not None and writer.end != self._synced:
                pending.append(writer.duplicate())
                self._synced = writer.end
        for each in pending:
            _sync(each)

    # -- inside ---------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if self.closed:
            raise RunEnded(self.opening.project, self.key)

    def _define(self, keys: tuple[str, ...]) -> codec.Schema:
        check_metrics(dict.fromkeys(keys, 0.0), 0)
        if len(self._schemas) >= _SCHEMAS:
            self._schemas.clear()
        made = codec.schema(next(self._numbers), keys)
        self._append(made.definition)  # may roll, which forgets the others
        self._schemas[keys] = made
        return made

    def _append(self, payload: bytes) -> None:
        if self._writer is None or not self._writer.append(payload):
            self._roll(len(payload))
            assert self._writer is not None  # noqa: S101 - _roll made it
            self._writer.append(payload)

    def _roll(self, needed: int) -> None:
        size = max(self._size, needed + 2 * OVERHEAD + 64)
        name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(2)}{SUFFIX}"
        with _telling(self.folder.path):
            made = SegmentWriter(self.folder.path / name, size)
        self._close()
        self._schemas.clear()
        self._writer, self._synced = made, 0
        self._size = min(self._size * 2, _LARGEST)
        self.on_segment()

    def _close(self) -> None:
        if self._writer is None:
            return
        self._unsynced.append(self._writer.duplicate())
        self._written.append((self._writer.path, self._writer.end))
        self._writer.close()
        self._writer = None

    def _after_fork(self) -> None:
        # The parent's files stay the parent's: its locks end with it, not with its last child.
        if self._writer is not None:
            self._writer.abandon()
        for each in self._unsynced:
            if isinstance(each, int):
                os.close(each)
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None
        self._reset()


_open: weakref.WeakSet[RunJournal] = weakref.WeakSet()
"""Journals of this process: a fork must make each child's its own."""


def _after_fork_in_child() -> None:
    for journal in list(_open):
        journal._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


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


def _copy(path: Path, to: Path) -> list[Path]:
    if not path.is_dir():
        shutil.copy2(path, to)
        return [to]
    shutil.copytree(path, to)
    return [each for each in to.rglob("*") if each.is_file()]


def _sync(each: int | Path) -> None:
    try:
        fd = each if isinstance(each, int) else os.open(each, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # delivered meanwhile
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(
            path,
            error.strerror or str(error),
            remedy="Free some space in MLOPS_HOME, or let its owner write there.",
        ) from error


def snapshot(journal: RunJournal) -> Run:
    """The run as this process knows it, without asking a server."""

    def time_of(milliseconds: int) -> datetime:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)

    opening = journal.opening
    return Run(
        key=journal.key,
        project=opening.project,
        name=opening.name,
        status=journal.status,
        started_at=time_of(opening.started_ms),
        ended_at=None if journal.ended_ms is None else time_of(journal.ended_ms),
        params=dict(journal.params),
        metrics=journal.last_metrics(),
        tags=dict(journal.tags),
        mlflow_id=journal.mlflow_id,
    )


def run_folders(project_folder: Path) -> Sequence[RunFolder]:
    """The runs of a project that have a journal, oldest first."""
    if not project_folder.is_dir():
        return []
    found = [path for path in project_folder.iterdir() if (path / "run.json").is_file()]
    return [RunFolder(path) for path in sorted(found) if not path.name.startswith(".")]
