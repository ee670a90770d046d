"""The runs this process writes, by key and by MLflow's id.

Known to the whole process, because MLflow's plug-ins are: a store that MLflow makes for a URL has to find
the run that a call of some thread names.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops.entities import Run
from mlops.errors import MLOpsError
from mlops.tracking import sender
from mlops.tracking.delivery import Delivery
from mlops.tracking.journal import RunJournal, snapshot
from mlops.tracking.rest import ServerRefusal
from mlops.tracking.server import MLflowServer

_log = logging.getLogger(__name__)

DOWN_S = 1.0
"""The longest wait for a server that cannot be reached, in seconds."""

_CLOSE_S = 0.5


class OpenRun:
    """A run that this process writes, or has written."""

    def __init__(self, journal: RunJournal, server: MLflowServer) -> None:
        """Register the run, and begin to deliver it."""
        self.journal = journal
        self.server = server
        with _lock:
            _forget_old()
            _runs[journal.key] = self
        sender.current().add(Delivery(journal.folder, server, journal))

    @property
    def id(self) -> str:
        """MLflow's id once there is one, else the key."""
        return self.journal.mlflow_id or self.journal.key

    def wait_for_id(self) -> str | None:
        """MLflow's id, waited for at most a second, and not at all once the server failed to answer."""
        known = lambda: self.journal.mlflow_id is not None  # noqa: E731
        sender.current().flush(self.journal, known, DOWN_S, down_s=0)
        return self.journal.mlflow_id

    def reopen(self) -> bool:
        """Go on with the run after its end; False when its journal is done with, and a new one is needed."""
        if self.journal.reopen():
            return True
        sealed = lambda: not self.journal.owned  # noqa: E731 - the folder is being closed, and then let go
        sender.current().flush(self.journal, sealed, DOWN_S, DOWN_S)
        return False

    def flush(self, timeout_s: float) -> bool:
        """Wait until the server has everything this process wrote, at most `timeout_s`, and at most a
        second for a server that cannot be reached. Returns whether it has."""
        return self._flush(lambda: self.journal.delivered, timeout_s)

    def flush_or_tell(self, timeout_s: float) -> bool:
        """As `flush`; what is still pending is told to the log."""
        if done := self.flush(timeout_s):
            # Its folder is closed next; a program that ends here would leave that to another one.
            sender.current().flush(self.journal, self._is_closed, _CLOSE_S, down_s=0)
            return done
        trouble = sender.current().trouble(self.journal)
        _log.warning(
            "run %r (%s) of project %s is not wholly at the server yet%s. Nothing is lost: it is sent when"
            " the server is back, or by `efficientai-toolkit mlops:sync --project %s`.",
            self.journal.opening.name,
            self.journal.key,
            self.journal.opening.project,
            f": {trouble.message}" if trouble else "",
            self.journal.opening.project,
        )
        return done

    def register_version(self, name: str, body: Mapping[str, Any], timeout_s: float) -> dict[str, Any] | None:
        """Register a version of the model `name` (`body` is MLflow's create request); MLflow's version,
        or None while it is pending. Raises `RunEnded`."""
        key = secrets.token_hex(16)
        self.journal.operation({"op": "version", "key": key, "name": name, "body": dict(body)})
        self._flush(lambda: key in self.journal.versions or self.journal.delivered, timeout_s)
        return self.journal.versions.get(key)

    def read(self) -> Run:
        """The run as the server has it, or as this process knows it when the server does not answer."""
        self.flush(2 * DOWN_S)
        if self.journal.mlflow_id is not None:
            try:
                return self.server.read(self.server.run(self.journal.mlflow_id))
            except (MLOpsError, ServerRefusal):
                _log.debug("run %s is told from the journal", self.journal.key, exc_info=True)
        return snapshot(self.journal)

    def _is_closed(self) -> bool:
        return not self.journal.folder.path.exists()

    def _flush(self, done: Any, timeout_s: float) -> bool:
        return sender.current().flush(self.journal, done, timeout_s, DOWN_S)


_runs: dict[str, OpenRun] = {}
_lock = threading.RLock()
_MOST = 1000
"""So many runs are remembered; beyond, those that are over are forgotten."""


def _forget_old() -> None:
    if len(_runs) >= _MOST:
        for key in [key for key, run in _runs.items() if run.journal.closed and run.journal.delivered]:
            del _runs[key]


def find(run_id: str, project: str | None = None) -> OpenRun | None:
    """The run with this key or MLflow id, of `project` alone when one is named."""
    with _lock:
        known = _runs.get(run_id) or next(
            (run for run in _runs.values() if run.journal.mlflow_id == run_id), None
        )
    if known is not None and project is not None and known.journal.opening.project != project:
        return None
    return known


def of_project(journal: Path) -> list[OpenRun]:
    """The runs this process writes into a project's folder of journals."""
    with _lock:
        return [run for run in _runs.values() if run.journal.folder.path.parent == journal]


def workspaces() -> set[str]:
    """The workspaces that this process has runs open in."""
    with _lock:
        return {run.server.workspace for run in _runs.values() if not run.journal.closed}


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)
