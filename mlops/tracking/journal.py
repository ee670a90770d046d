"""The journal: what a run records, on this machine's disk before the call returns.

A record that was appended survives the death of the process. It reaches the disk within a second, so a
power failure may cost that second. A forked child writes a segment of its own into the same run.
`mlops.tracking.run_folder` says what lies where.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import secrets
import shutil
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mlops.entities import Run, RunStatus
from mlops.errors import MLOpsError, RunEnded
from mlops.installation import write_private
from mlops.tracking import codec
from mlops.tracking.copies import full_disk, keep_copy
from mlops.tracking.records import Records, check_metrics, check_unchanged
from mlops.tracking.run_folder import Opening, RunFolder, confirmed
from mlops.tracking.segment import OVERHEAD, SUFFIX, SegmentWriter

_log = logging.getLogger(__name__)

_FIRST, _LARGEST = 1 << 16, 1 << 22
"""Sizes of a run's first segment and of its largest; each is twice the one before."""
_LOCK_TRIES = 5
_SCHEMAS = 4096
"""Sets of metric names that are remembered; a run with more pays for naming them again."""


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
        self._named = max((int(each.name.partition("-")[0]) for each in folder.segments()), default=0)
        self._reset()
        _open.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._inside = False
        self._late: deque[Callable[[], None]] = deque()
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
        try:
            part.path.mkdir(mode=0o700, parents=True)
            write_private(part.path / "run.json", json.dumps(asdict(opening)))
            lock = part.open_lock()
            folder = RunFolder(part.path.rename(project_folder / opening.key))
        except OSError as error:
            shutil.rmtree(part.path, ignore_errors=True)
            raise full_disk(project_folder, error) from error
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
        if not metrics:
            return
        # As `_exclusively` does it, without its price: this is what a training loop calls.
        with self._lock:
            if self._inside:
                self._late.append(partial(self._put_metrics, dict(metrics), step, now))
                return
            self._inside = True
            try:
                self._put_metrics(metrics, step, now)
            finally:  # a handler may have left by an exception
                self._inside = False
                if self._late:
                    self._make_up()

    def _put_metrics(self, metrics: Mapping[str, float], step: int, now: int) -> None:
        keys, values = tuple(metrics), tuple(metrics.values())
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
        self._exclusively(partial(self._put_texts, records))

    def _put_texts(self, records: Records) -> None:
        self._check_running()
        check_unchanged(records.params, self.params)
        self._append(codec.encode({"op": "texts", "params": records.params, "tags": records.tags}))
        self.params.update(records.params)
        self.tags.update(records.tags)

    def operation(self, operation: Mapping[str, Any]) -> None:
        """Record what is performed in order: see `mlops.tracking.operations`. Raises `RunEnded`."""
        self._exclusively(partial(self._put_operation, dict(operation)))

    def _put_operation(self, operation: dict[str, Any]) -> None:
        self._check_running()
        self._append(codec.encode(operation))

    def file(
        self, path: Path, artifact_path: str | None, *, model: str | None = None, contents: bool = False
    ) -> None:
        """Copy a file or folder (or the folder's `contents`), to be uploaded below `artifact_path` of the
        run, or of its logged `model`. Raises `RunEnded`, `JournalError`, and `InvalidInput` for what cannot
        be copied; a copy that fails leaves nothing."""
        self._check_running()
        if path.name in ("", ".."):
            path = path.resolve()  # `.` has a name, too
        kept = self.folder.files / f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        copied = keep_copy(path, kept)
        with self._lock:
            self._unsynced += copied
        operation = {"kept": kept.name, "name": path.name, "below": artifact_path or ""}
        try:
            self.operation({"op": "file", **operation, "model": model, "contents": contents})
        except BaseException:
            shutil.rmtree(kept, ignore_errors=True)
            raise

    def end(self, status: RunStatus) -> None:
        """End the run with this status, and close the segment. Raises `RunEnded`."""
        self._exclusively(partial(self._put_end, status))

    def _put_end(self, status: RunStatus) -> None:
        self._check_running()
        ended_ms = time.time_ns() // 1_000_000
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

    def _exclusively(self, put: Callable[[], None]) -> None:
        """Do `put` alone. A signal's handler may interrupt another one in the same thread: then it is put
        off, for the microseconds until that one is done."""
        with self._lock:
            if self._inside:
                self._late.append(put)
                return
            self._inside = True
            try:
                put()
            finally:
                self._inside = False
                if self._late:
                    self._make_up()

    def _make_up(self) -> None:
        while self._late:
            try:
                self._exclusively(self._late.popleft())
            except IndexError:  # another thread was quicker
                return
            except MLOpsError as error:  # its caller, a signal's handler, is gone
                _log.warning("run %s: not recorded: %s", self.key, error.message)

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
        least = needed + 2 * OVERHEAD + 64
        made = self._begin_segment(max(self._size, least), least)
        # In this order: an interrupt in between leaves a writer that can be used, or none.
        self._schemas.clear()
        self._close()
        self._writer, self._synced = made, 0
        self._size = min(self._size * 2, _LARGEST)
        self.on_segment()

    def _begin_segment(self, size: int, least: int) -> SegmentWriter:
        self._named = max(time.time_ns(), self._named + 1)  # the clock may go back, the order must not
        name = f"{self._named:020d}-{os.getpid()}-{secrets.token_hex(2)}{SUFFIX}"
        try:
            return SegmentWriter(self.folder.path / name, size)
        except FileNotFoundError:  # ended and delivered by the process that owns it
            raise RunEnded(self.opening.project, self.key) from None
        except OSError as error:
            if size > least:  # a disk that is nearly full may hold a small one
                return self._begin_segment(least, least)
            raise full_disk(self.folder.path, error) from error

    def _close(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        self._unsynced.append(writer.duplicate())
        self._written.append((writer.path, writer.end))
        writer.close()

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


def _sync(each: int | Path) -> None:
    try:
        fd = each if isinstance(each, int) else os.open(each, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # delivered meanwhile
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
