"""Reading one project's runs: from the MLflow server, and from the journal what is not there yet."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.entities import Run, RunStatus
from mlops.errors import (
    ConfigError,
    InvalidInput,
    MetricNotFound,
    MLOpsError,
    RunNotFound,
    RunOpen,
    ServiceUnavailable,
)
from mlops.tracking import open_runs, reading
from mlops.tracking.journal import snapshot
from mlops.tracking.open_runs import OpenRun
from mlops.tracking.rest import ServerRefusal
from mlops.tracking.results import MetricHistory, Runs
from mlops.tracking.run_folder import KEY_PREFIX, RunFolder, run_folders
from mlops.tracking.sampling import MOST_AT_SOURCE, check_max_points, downsampled
from mlops.tracking.server import MLflowServer

if TYPE_CHECKING:
    from mlops.remote import Gateway
    from mlops.tracking.base import RunArchive

_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}")
_FLUSH_S = 2 * open_runs.DOWN_S
_REMEDY = (
    "Start it with `efficientai-toolkit mlops:start`. What was logged is safe meanwhile:"
    " `efficientai-toolkit mlops:sync --status` shows what is pending."
)


class MLflowArchive:
    """The recorded runs of one project; what this process wrote is delivered before the server is asked."""

    def __init__(
        self,
        project: str,
        server: MLflowServer,
        journal: Path,
        gateway: Callable[[], Gateway] | None = None,
    ) -> None:
        """`journal` is the project's folder of journals; `gateway` gives the one that reads the server's
        database, None where there is none."""
        self.project = project
        self._server = server
        self._journal = journal
        self._gateway = gateway

    def get_run(self, run_id: str) -> Run:
        """See `RunArchive.get_run`; what waits in the journal of another process is told without its
        records."""
        known = self._find(run_id)
        if known is not None:
            return self._read_known(known)
        try:
            with _reading():
                return self._server.read(self._at_server(run_id))
        except (RunNotFound, ServiceUnavailable):
            folder = self._folder(run_id)
            if folder is None or folder.mlflow_id() is not None:
                raise
            return _opened(folder)

    def search_runs(
        self,
        filter: str = "",
        order_by: str = "",
        max_results: int = 100,
        page_token: str | None = None,
    ) -> Runs:
        """See `RunArchive.search_runs`; what the server has."""
        until = time.monotonic() + _FLUSH_S
        for run in open_runs.of_project(self._journal):
            run.flush(max(0.0, until - time.monotonic()))
        with _reading():
            return reading.search_runs(self._server, filter, order_by, max_results, page_token)

    def metric_history(self, run_id: str, key: str, max_points: int = 1000) -> MetricHistory:
        """See `RunArchive.metric_history`. The gateway thins a history out where it is kept; where it does
        not answer, all values are read through MLflow's API, page by page: 40 s for a million."""
        check_max_points(max_points)
        known = self._find(run_id)
        is_whole = known is None or known.flush(_FLUSH_S)
        if is_whole:
            history = self._thinned_out(run_id, key, max_points)
            if history is not None:
                return history
        with _reading():
            found = self._at_server(run_id if known is None else known.id)
            if key not in {each["key"] for each in found.get("data", {}).get("metrics", [])}:
                if not is_whole:
                    raise ServiceUnavailable("mlflow", "what was logged to the run is not wholly there")
                raise MetricNotFound(self.project, key, run_id)
            points = reading.metric_points(self._server, str(found["info"]["run_id"]), key)
            return downsampled(points, max_points)

    def delete_run(self, run_id: str) -> None:
        """See `RunArchive.delete_run`; the run is MLflow's deleted one, and its artifacts stay."""
        known = self._find(run_id)
        if known is not None:
            if not known.journal.closed or not known.flush(_FLUSH_S):
                raise RunOpen(self.project, run_id)
        elif (folder := self._folder(run_id)) is not None and _waits(folder):
            raise RunOpen(self.project, run_id)
        with _reading():
            found = self._at_server(run_id if known is None else known.id)
            self._server.delete_run(str(found["info"]["run_id"]))

    def restore_run(self, run_id: str) -> Run:
        """See `RunArchive.restore_run`."""
        known = self._find(run_id)
        with _reading():
            found = self._at_server(run_id if known is None else known.id, deleted=True)
            mlflow_id = str(found["info"]["run_id"])
            if _is_deleted(found):
                self._server.restore_run(mlflow_id)
            return self._server.read(self._at_server(mlflow_id))

    # -- finding --------------------------------------------------------------------------------

    def _read_known(self, known: OpenRun) -> Run:
        known.flush(_FLUSH_S)
        if known.journal.mlflow_id is not None:
            try:
                return self._server.read(self._at_server(known.journal.mlflow_id))
            except MLOpsError as error:
                if isinstance(error, RunNotFound):
                    raise
        return snapshot(known.journal)

    def _find(self, run_id: str) -> OpenRun | None:
        """The run, when this process writes it or has written it."""
        known = open_runs.find(run_id, self.project)
        return known if known is not None and known.journal.folder.path.parent == self._journal else None

    def _folder(self, run_id: str) -> RunFolder | None:
        """The run's journal, when it has one on this machine."""
        if not _ID.fullmatch(run_id):
            raise RunNotFound(self.project, run_id)
        for folder in run_folders(self._journal):
            if run_id in (folder.path.name, folder.mlflow_id()):
                return folder
        return None

    def _thinned_out(self, run_id: str, key: str, max_points: int) -> MetricHistory | None:
        """The history from the gateway; None when it has to be read elsewhere."""
        if self._gateway is None or max_points > MOST_AT_SOURCE or not _ID.fullmatch(run_id):
            return None
        try:
            columns = self._gateway().metric_history(self.project, run_id, key, max_points)
            return MetricHistory.from_columns(columns)
        except (ServiceUnavailable, ConfigError):  # it is down, was never started, or has no database to ask
            return None

    def _at_server(self, run_id: str, *, deleted: bool = False) -> dict[str, Any]:
        """MLflow's JSON of the run with this key or id; of a `deleted` one too when told so."""
        if not isinstance(run_id, str) or not _ID.fullmatch(run_id):
            raise RunNotFound(self.project, str(run_id))
        try:
            known = self._server.find_run(run_id) if run_id.startswith(KEY_PREFIX) else run_id
            if known is not None:
                found = self._server.run(known)
                if deleted or not _is_deleted(found):
                    return found
        except ServerRefusal as refusal:
            if not refusal.missing:
                raise InvalidInput("run_id", run_id, refusal.message) from refusal
        raise RunNotFound(self.project, run_id)


def _waits(folder: RunFolder) -> bool:
    """Whether a journal has something to send, or a living process that may write."""
    if folder.mlflow_id() is None or folder.segments():
        return True
    lock = folder.open_lock()
    if lock is None:
        return folder.path.exists()
    os.close(lock)
    return False


def _is_deleted(found: dict[str, Any]) -> bool:
    return bool(found["info"].get("lifecycle_stage") == "deleted")


def _opened(folder: RunFolder) -> Run:
    opening = folder.opening()
    return Run(
        key=opening.key,
        project=opening.project,
        name=opening.name,
        status=RunStatus.RUNNING,
        started_at=datetime.fromtimestamp(opening.started_ms / 1000, UTC),
        tags=dict(opening.tags),
    )


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except ServiceUnavailable as error:
        error.remedy = _REMEDY
        raise


if TYPE_CHECKING:
    _conforms: type[RunArchive] = MLflowArchive
