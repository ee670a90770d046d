"""One run's way from its journal to the server, in order, each step repeatable."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops.entities import RunStatus
from mlops.errors import MLOpsError, ServiceUnavailable
from mlops.tracking import codec, output
from mlops.tracking.batch import Batch, Item, body
from mlops.tracking.journal import RunJournal
from mlops.tracking.operations import Operations
from mlops.tracking.pending import refused
from mlops.tracking.rest import ServerRefusal
from mlops.tracking.run_folder import (
    Opening,
    RunFolder,
    confirm,
    confirmed,
    forget,
    is_key,
)
from mlops.tracking.segment import is_written_to, records, torn_bytes
from mlops.tracking.server import MLflowServer

_log = logging.getLogger(__name__)

_FAULTS = 5
"""So often the server may fail at the same request before that counts as a refusal."""
_REFUSED_TAG = "mlops.refused"


class _Cursor:
    """Where the reading of one segment stands."""

    def __init__(self, segment: Path) -> None:
        self.segment = segment
        self.at = confirmed(segment)
        self.decoder = codec.Decoder()
        for payload, end in records(segment):
            if end > self.at:
                break
            if payload[0] == codec.KEYS:
                self.decoder.decode(payload)


class Delivery:
    """Delivers one run; used by one thread at a time."""

    def __init__(self, folder: RunFolder, server: MLflowServer, journal: RunJournal | None = None) -> None:
        """`journal` is this process's own, when it writes the run; without one the run is an orphan."""
        self.folder = folder
        self.server = server
        self.journal = journal
        self.opening = journal.opening if journal else folder.opening()
        self.mlflow_id = folder.mlflow_id()
        self.finished = False
        """Whether nothing is left, here or in another process's hands."""
        self._lock = journal.take_lock() if journal else None
        self._cursors: dict[Path, _Cursor] = {}
        self._faults = 0
        self._last_sign = _last_sign_of_life(folder)

    def step(self) -> bool:
        """Send the next portion; True when there may be more at once.

        Raises `MLOpsError` (`ServiceUnavailable`, `Unauthorized`) when it has to be tried again.
        """
        if not self._locked():
            return False
        try:
            self._ensure_run()
            for segment in self.folder.segments():
                if self._advance(segment):
                    return True
            return self._end()
        except ServerRefusal as refusal:
            raise MLOpsError(
                f"MLflow does not take run {self.opening.key}: {refusal}",
                remedy="What it recorded stays in the journal; see `mlops:sync --status`.",
                run_key=self.opening.key,
            ) from refusal

    def abandon(self) -> None:
        """Let go of an orphan as a forked child must: the parent's lock stays."""
        if self._lock is not None and self.journal is None:
            os.close(self._lock)
            self._lock = None

    def release(self) -> None:
        """Let another process deliver the run."""
        if self._lock is not None:
            if self.journal is not None:
                self.journal.lost_lock()
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # of a forked child's copy, too
            os.close(self._lock)
            self._lock = None

    # -- the run --------------------------------------------------------------------------------

    def _locked(self) -> bool:
        if self._lock is None and not self.finished:
            self._lock = self.folder.open_lock()
            if self._lock is None:
                # Another process delivers it, and what this one wrote as well.
                if self.journal is not None:
                    self.journal.mlflow_id = self.folder.mlflow_id() or self.journal.mlflow_id
                left = self.journal is not None and self.journal.closed and self.journal.delivered
                self.finished = left or not self.folder.path.exists()
        return self._lock is not None

    def _ensure_run(self) -> None:
        if self.mlflow_id is None:
            self.mlflow_id = self.opening.mlflow_id or self._create_run()
            self.folder.know_as(self.mlflow_id)
        if self.journal is not None:
            self.journal.mlflow_id = self.mlflow_id

    def _create_run(self) -> str:
        opening = self._with_parents_id()
        if self._is_listed("run"):
            return self.server.create_run(replace(opening, experiment=None))
        try:
            return self.server.create_run(opening)
        except ServerRefusal as refusal:
            if refusal.status == 403 or refusal.status >= 500 or opening.experiment is None:
                raise
            # Such as an experiment that was deleted: what the run recorded is worth more than its place.
            self._refuse({"op": "run", "experiment": opening.experiment}, str(refusal))
            return self.server.create_run(replace(opening, experiment=None))

    def _is_listed(self, op: str) -> bool:
        return any(each.get("op") == op for each in refused(self.folder))

    def _with_parents_id(self) -> Opening:
        """The opening with the parent's key, if that is what the tag holds, exchanged for its id."""
        parent = self.opening.tags.get("mlflow.parentRunId", "")
        if not is_key(parent):
            return self.opening
        folder = RunFolder(self.folder.path.parent / parent)
        known = folder.mlflow_id() or self.server.find_run(parent)
        if known is None and folder.is_sound():
            raise ServiceUnavailable("mlflow", f"the parent run {parent} is not delivered yet")
        return replace(self.opening, tags={**self.opening.tags, "mlflow.parentRunId": known or parent})

    # -- segments -------------------------------------------------------------------------------

    def _advance(self, segment: Path) -> bool:
        """Deliver the segment's next portion; False when there is none now."""
        try:
            cursor = self._cursors.get(segment) or _Cursor(segment)
            self._cursors[segment] = cursor
            written_to = self._is_written_to(segment)  # before reading: what follows is then complete
            batch, operation, end = self._read(cursor)
        except FileNotFoundError:
            return False
        if end > cursor.at:
            if len(batch):
                self._send(batch)
            elif operation is not None:
                self._attempt(lambda: self._operations.perform(operation), operation)
            confirm(segment, end)
            cursor.at = end
            self._faults = 0
            # Of a segment that grows the rest is left to the next round, to be sent with what follows.
            return batch.full or operation is not None or not written_to
        if written_to:
            return False
        if torn := torn_bytes(segment, cursor.at):
            self._refuse({"op": "torn", "segment": segment.name, "bytes": torn}, "the record is incomplete")
        forget(segment)
        del self._cursors[segment]
        return True

    def _is_written_to(self, segment: Path) -> bool:
        own = self.journal is not None and self.journal.end_of(segment) is not None
        return own or is_written_to(segment)

    def _read(self, cursor: _Cursor) -> tuple[Batch, dict[str, Any] | None, int]:
        """A batch of metrics, params and tags, or the one operation that comes next."""
        batch, end = Batch(), cursor.at
        own_end = self.journal.end_of(cursor.segment) if self.journal is not None else None
        for payload, after in records(cursor.segment, cursor.at):
            if own_end is not None and after > own_end:  # being written this moment
                break
            try:
                record = cursor.decoder.decode(payload)
            except ValueError as error:
                self._refuse({"op": "unreadable", "bytes": len(payload)}, str(error))
                end = after
                continue
            if isinstance(record, codec.Points):
                batch.add_points(record)
            elif record is not None and record.get("op") == "texts":
                batch.add_texts(record["params"], record["tags"])
            elif record is not None:
                return (batch, None, end) if len(batch) else (batch, record, after)
            end = after
            if batch.full:
                break
        return batch, None, end

    # -- sending --------------------------------------------------------------------------------

    def _send(self, batch: Batch) -> None:
        for items in batch.requests():
            self._send_items(items)

    def _send_items(self, items: list[Item]) -> None:
        try:
            self.server.rest.call("POST", "/runs/log-batch", body(self._run_id, items))
        except ServerRefusal as refusal:
            self._bear(refusal)
            if len(items) == 1 or self._is_deleted():
                for item in items:
                    self._refuse({"op": item.kind, **json.loads(item.text)}, str(refusal))
                return
            middle = len(items) // 2
            self._send_items(items[:middle])
            self._send_items(items[middle:])

    def _attempt(self, perform: Callable[[], None], operation: dict[str, Any]) -> None:
        try:
            perform()
        except ServerRefusal as refusal:
            self._bear(refusal)
            self._refuse(operation, str(refusal))
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._refuse(operation, f"{type(error).__name__}: {error}")

    def _bear(self, refusal: ServerRefusal) -> None:
        """Wait, by `ServiceUnavailable`, where waiting may help; return where the server has refused."""
        # A server that fails may recover; one that fails at this again and again while it answers other
        # calls has refused it. MLflow says BAD_REQUEST of its database's faults, too, such as a pool
        # without a free connection. A permission that was withdrawn can be given back.
        fault = refusal.status >= 500 or refusal.code == "BAD_REQUEST"
        self._faults += fault
        may_pass = refusal.status == 403 or fault
        if may_pass and ((fault and self._faults < _FAULTS) or not self._server_is_well()):
            raise ServiceUnavailable("mlflow", str(refusal)) from refusal

    def _server_is_well(self) -> bool:
        try:
            self.server.run(self._run_id)
        except ServerRefusal:
            return False
        return True

    def _is_deleted(self) -> bool:
        """Whether the run is deleted at the server, which then takes nothing of it."""
        try:
            return bool(self.server.run(self._run_id)["info"].get("lifecycle_stage") == "deleted")
        except ServerRefusal as refusal:
            return refusal.missing

    @cached_property
    def _operations(self) -> Operations:
        journal, run_id = self.journal, self._run_id
        made = (journal.models, journal.versions) if journal else ({}, {})
        return Operations(self.folder, self.server, self.opening.key, run_id, *made)

    @property
    def _run_id(self) -> str:
        assert self.mlflow_id is not None  # noqa: S101 - `_ensure_run` came first
        return self.mlflow_id

    # -- the end --------------------------------------------------------------------------------

    def _refuse(self, operation: dict[str, Any], reason: str) -> None:
        line = {"at": time.time(), "reason": reason, **operation}
        with self.folder.refused.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        _log.warning("run %s: refused by the server: %s", self.opening.key, reason)

    def _end(self) -> bool:
        """Close the run's folder when nobody writes any more; always False."""
        if self.folder.segments() or (self.journal is not None and not self.journal.closed):
            return False
        if not self.folder.ended.exists():
            if self.journal is not None:  # left without an end: another process's, or the next start's
                self.finished = True
                self.release()
                return False
            self._keep_output()
            self._mark_killed()
        if not self._close_folder():
            return False
        self.finished = True
        self.release()
        return False

    def _keep_output(self) -> None:
        # What a killed process printed; one that ended made it a file of its own.
        for log in output.logs(self.folder.output):
            kept = self.folder.files / f"output-{log.name}"
            with contextlib.suppress(FileNotFoundError):
                if output.collect(log, kept) is not None:
                    operation = {"kept": kept.name, "name": log.name, "below": "", "model": None}
                    self._attempt(self._upload_of(operation), {"op": "file", **operation})
            output.forget(log)

    def _upload_of(self, operation: dict[str, Any]) -> Callable[[], None]:
        return lambda: self._operations.upload({"contents": False, **operation})

    def _mark_killed(self) -> None:
        # Its process died without a word. When it did is not known: the last sign of life counts.
        if self.server.run(self._run_id)["info"].get("status") == RunStatus.RUNNING.value:
            self.server.update_run(self._run_id, RunStatus.KILLED.value, int(self._last_sign * 1000))
        self.folder.ended.touch()

    def _close_folder(self) -> bool:
        """Whether it is closed."""
        if self.folder.refused.exists():
            count = len(self.folder.refused.read_text(encoding="utf-8").splitlines())
            tag = Batch()
            tag.add_texts({}, {_REFUSED_TAG: str(count)})
            self._attempt(lambda: self._send(tag), {"op": "tags", "key": _REFUSED_TAG})
            return self._seal()  # the list stays, to be seen
        if not self._seal():
            return False
        done = self.folder.path.with_name(f".done-{self.opening.key}")
        self.folder.path.rename(done)
        if RunFolder(done).segments():  # a forked child has begun one this moment
            done.rename(self.folder.path)
            return False
        shutil.rmtree(done, ignore_errors=True)
        return True

    def _seal(self) -> bool:
        # This process may have gone on with the run a moment ago.
        return self.journal is None or self.journal.seal()


def _last_sign_of_life(folder: RunFolder) -> float:
    written = (folder.path / "run.json", *folder.segments(), *folder.output.glob("*"))
    try:
        return max(each.stat().st_mtime for each in written)
    except OSError:  # it is being delivered this moment
        return time.time()
