"""One run's way from its journal to the server, in order, each step repeatable.

Operations of a segment, besides metrics: `texts` (params, tags), `status`, `call` (any request of
MLflow's API), `file` (an upload), `outputs` (models the run made), `model` (a logged model made
offline), `version` (a registration). Ids given offline are exchanged for the server's on the way.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlops.entities import RunStatus
from mlops.errors import MLOpsError, ServiceUnavailable
from mlops.tracking import codec, output
from mlops.tracking.batch import Batch, Item, body
from mlops.tracking.journal import Opening, RunFolder, RunJournal, confirm, confirmed, forget
from mlops.tracking.rest import ServerRefusal
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
        self.models: dict[str, dict[str, Any]] = journal.models if journal else {}
        self.models.update(self._read_models())
        self.finished = False
        """Whether nothing is left, here or in another process's hands."""
        self._lock = journal.take_lock() if journal else None
        self._cursors: dict[Path, _Cursor] = {}
        self._faults = 0
        self._artifact_uri = ""
        self._last_sign = _last_change(folder)
        self._operations: dict[str, Callable[[dict[str, Any]], None]] = {
            "status": self._set_status,
            "call": self._call,
            "file": self._upload,
            "outputs": self._add_outputs,
            "model": self._create_model,
            "version": self._create_version,
        }

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
                left = self.journal is not None and self.journal.closed and self.journal.delivered
                self.finished = left or not self.folder.path.exists()
        return self._lock is not None

    def _ensure_run(self) -> None:
        if self.mlflow_id is None:
            known = self.opening.mlflow_id
            self.mlflow_id = known or self.server.create_run(self._resolved_opening())
            self.folder.know_as(self.mlflow_id)
        if self.journal is not None:
            self.journal.mlflow_id = self.mlflow_id

    def _resolved_opening(self) -> Opening:
        parent = self.opening.tags.get("mlflow.parentRunId")
        if not parent:
            return self.opening
        # The parent may have been offline, too: its key is exchanged for its id.
        known = RunFolder(self.folder.path.parent / parent).mlflow_id()
        if known is None and RunFolder(self.folder.path.parent / parent).path.exists():
            raise ServiceUnavailable("mlflow", f"the parent run {parent} is not delivered yet")
        resolved = known or self.server.find_run(parent) or parent
        return replace(self.opening, tags={**self.opening.tags, "mlflow.parentRunId": resolved})

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
                self._attempt(lambda: self._perform(operation), operation)
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
        for payload, after in records(cursor.segment, cursor.at):
            try:
                record = cursor.decoder.decode(payload)
            except ValueError as error:
                self._refuse({"op": "unreadable", "bytes": len(payload)}, str(error))
                end = after
                continue
            if isinstance(record, codec.Points):
                batch.add_points(record)
            elif record is not None and record["op"] == "texts":
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
            if len(items) == 1:
                self._refuse({"op": items[0].kind, **json.loads(items[0].text)}, str(refusal))
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
        # A server that fails may recover; one that fails at this again and again has refused it.
        # MLflow says BAD_REQUEST of its database's faults, such as a pool without a free connection.
        fault = refusal.status >= 500 or refusal.code == "BAD_REQUEST"
        if fault and self._faults < _FAULTS:
            self._faults += 1
            raise ServiceUnavailable("mlflow", str(refusal)) from refusal

    def _perform(self, operation: dict[str, Any]) -> None:
        self._operations[operation["op"]](operation)

    def _set_status(self, operation: dict[str, Any]) -> None:
        running = operation["status"] == RunStatus.RUNNING.value
        self.server.update_run(self._run_id, operation["status"], None if running else operation["time_ms"])
        self._ended.touch() if not running else self._ended.unlink(missing_ok=True)

    def _call(self, operation: dict[str, Any]) -> None:
        path, request = self._exchange(operation["path"]), self._exchange(operation["body"])
        self.server.rest.call(operation["method"], path, request)

    def _upload(self, operation: dict[str, Any]) -> None:
        kept = self.folder.files / operation["kept"]
        path = kept / operation["name"]
        model = operation["model"]
        if not kept.exists():  # uploaded, by a process that died before it could say so
            return
        for description in (path, *path.glob("MLmodel")):
            if description.name == "MLmodel" and description.is_file():
                self._exchange_in(description)
        root = path if operation["contents"] else kept
        self.server.upload(self._location(model), root, operation["below"])
        shutil.rmtree(kept, ignore_errors=True)

    def _exchange_in(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        exchanged = self._exchange(text)
        if exchanged != text:
            # In one step, whatever happens meanwhile; and the copy may be read-only, as its source was.
            part = self.folder.path / "exchanged"
            part.write_text(exchanged, encoding="utf-8")
            part.replace(file)

    def _add_outputs(self, operation: dict[str, Any]) -> None:
        known = self.server.run(self._run_id).get("outputs", {}).get("model_outputs", [])
        there = {each["model_id"] for each in known}
        wanted = [each for each in self._exchange(operation["models"]) if each["model_id"] not in there]
        if wanted:
            self.server.rest.call("POST", "/runs/outputs", {"run_id": self._run_id, "models": wanted})

    def _create_model(self, operation: dict[str, Any]) -> None:
        request = self._exchange(operation["body"])
        request["experiment_id"] = self.server.run(self._run_id)["info"]["experiment_id"]
        self.models[operation["id"]] = self.server.create_model(operation["id"], request)
        (self.folder.path / "models.json").write_text(json.dumps(self.models), encoding="utf-8")

    def _create_version(self, operation: dict[str, Any]) -> None:
        request = self._exchange(operation["body"])
        made = self.server.create_version(operation["key"], operation["name"], request)
        if self.journal is not None:
            self.journal.versions[operation["key"]] = made

    # -- ids ------------------------------------------------------------------------------------

    @property
    def _run_id(self) -> str:
        assert self.mlflow_id is not None  # noqa: S101 - `_ensure_run` came first
        return self.mlflow_id

    def _exchange(self, value: Any) -> Any:
        """The value with ids given offline, which are unmistakable, replaced by the server's."""
        text = json.dumps(value)
        for local, model in self.models.items():
            text = text.replace(local, str(model["info"]["model_id"]))
        return json.loads(text.replace(self.opening.key, self._run_id))

    def _location(self, model: str | None) -> str:
        if model is not None:
            known = self.models.get(model)
            return str(known["info"]["artifact_uri"]) if known else self.server.model_location(model)
        if not self._artifact_uri:
            self._artifact_uri = str(self.server.run(self._run_id)["info"]["artifact_uri"])
        return self._artifact_uri

    def _read_models(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads((self.folder.path / "models.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    # -- the end --------------------------------------------------------------------------------

    def _refuse(self, operation: dict[str, Any], reason: str) -> None:
        line = {"at": time.time(), "reason": reason, **operation}
        with self.folder.refused.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        _log.warning("run %s: refused by the server: %s", self.opening.key, reason)

    @property
    def _ended(self) -> Path:
        return self.folder.path / "ended"

    def _end(self) -> bool:
        """Close the run's folder when nobody writes any more; always False."""
        if self.folder.segments() or (self.journal is not None and not self.journal.closed):
            return False
        if not self._ended.exists():
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
        return lambda: self._upload({"contents": False, **operation})

    def _mark_killed(self) -> None:
        # Its process died without a word. When it did is not known: the last sign of life counts.
        if self.server.run(self._run_id)["info"].get("status") == RunStatus.RUNNING.value:
            self.server.update_run(self._run_id, RunStatus.KILLED.value, int(self._last_sign * 1000))
        self._ended.touch()

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


def _last_change(folder: RunFolder) -> float:
    try:
        return max(each.stat().st_mtime for each in (folder.path, *folder.path.iterdir()))
    except OSError:  # it is being delivered this moment
        return time.time()


def orphans(folders: Iterable[RunFolder]) -> Iterator[RunFolder]:
    """Runs that no living process delivers and that have something left."""
    for folder in folders:
        lock = folder.open_lock()
        if lock is None:
            continue
        os.close(lock)
        if folder.segments() or not (folder.path / "ended").exists():
            yield folder
