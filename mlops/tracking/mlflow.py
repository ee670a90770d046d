"""Runs on an MLflow server, written through the journal, in the project's own workspace and account."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.binding.context import Binding
from mlops.binding.fluent import current_run, process_run
from mlops.entities import DataVersion, Run, RunStatus
from mlops.errors import InvalidInput, JournalError, MLOpsError, RunEnded, RunNotFound, ServiceUnavailable
from mlops.tracking import open_runs, pending, sender
from mlops.tracking.archive import MLflowArchive
from mlops.tracking.datasets import dataset_input
from mlops.tracking.delivery import Delivery
from mlops.tracking.journal import RunJournal, snapshot
from mlops.tracking.open_runs import OpenRun
from mlops.tracking.records import check_artifact, check_records, check_start
from mlops.tracking.rest import Rest
from mlops.tracking.run_folder import KEY_PREFIX, Opening, new_key, run_folders
from mlops.tracking.server import MLflowServer
from mlops.tracking.source import source_tags
from mlops.tracking.undelivered import undelivered

if TYPE_CHECKING:
    from mlops.remote import Gateway
    from mlops.tracking.base import RunTracker

_log = logging.getLogger(__name__)

_FLUSH_S = 60.0


class MLflowTracker(MLflowArchive):
    """The runs of one project; thread-safe, and usable in a forked child.

    Writing needs no server: it goes to the journal, which the process's sender delivers. Reading asks the
    server, after what this process wrote has been delivered.
    """

    def __init__(
        self,
        *,
        project: str,
        namespace: str,
        url: str | Callable[[], str],
        username: str,
        password: str,
        experiment_id: str,
        journal: Path,
        flush_timeout_s: float = _FLUSH_S,
        gateway: Callable[[], Gateway] | None = None,
    ) -> None:
        """`url` is the server's, without credentials; the account sees `namespace` alone. `journal` is
        the project's folder of journals; at a run's end the server is waited for up to
        `flush_timeout_s` seconds. `gateway` gives the one that reads the server's database, if any does."""
        self._url = url if callable(url) else lambda: url
        self._account = (namespace, username, password, experiment_id)
        rest = Rest(self._url, namespace, username, password)
        server = MLflowServer(rest, project, namespace, experiment_id)
        super().__init__(project, server, journal, gateway)
        self._flush_s = flush_timeout_s
        self._recovered = False

    @property
    def url(self) -> str:
        """The server's URL now."""
        return self._server.rest.url

    @property
    def server(self) -> MLflowServer:
        """The project's part of the server, for a delivery by hand."""
        return self._server

    # -- writing --------------------------------------------------------------------------------

    def start_run(self, name: str | None, tags: Mapping[str, str], experiment_name: str | None) -> Run:
        """See `RunTracker.start_run`; a server is waited for at most a second."""
        checked = check_start(name, tags, experiment_name)
        self._recover()
        key = new_key()
        opening = Opening(
            project=self.project,
            key=key,
            name=name or f"run-{key.removeprefix(KEY_PREFIX)[:8]}",
            started_ms=time.time_ns() // 1_000_000,
            experiment=experiment_name,
            tags={**source_tags(), **checked},
        )
        run = OpenRun(RunJournal.create(self._journal, opening), self._server)
        run.wait_for_id()
        return self.snapshot(run.journal.key)

    def resume_run(self, run_id: str) -> Run:
        """See `RunTracker.resume_run`."""
        known = self._find(run_id)
        if known is not None and (not known.journal.closed or known.reopen()):
            return self.snapshot(known.journal.key)
        folder = self._folder(run_id)
        if folder is not None:
            sender.current().hand_over(folder.path, open_runs.DOWN_S)
            folder = self._folder(run_id)  # it may have been delivered meanwhile
        if folder is not None:
            journal = RunJournal.join(folder)
        else:
            journal = RunJournal.create(self._journal, self._resumed(run_id))
        run = OpenRun(journal, self._server)
        if journal.owned:
            journal.operation({"op": "status", "status": RunStatus.RUNNING.value})
        run.wait_for_id()
        return self.snapshot(journal.key)

    def end_run(self, run_id: str, status: RunStatus) -> Run:
        """See `RunTracker.end_run`; waits until everything is delivered, up to the setting. A run that
        another process owns is only left: that one delivers what was written here."""
        if status is RunStatus.RUNNING:
            raise InvalidInput(
                "status", status.value, "does not end a run", remedy="Use FINISHED, FAILED or KILLED."
            )
        run = self._writing(run_id)
        if run.journal.owned:
            run.journal.end(status)
            run.flush_or_tell(self._flush_s)
        else:
            run.journal.leave()
        return self.snapshot(run.journal.key)

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
        data: DataVersion | None = None,
    ) -> None:
        """See `RunTracker.log`."""
        journal = self._writing(run_id).journal
        if not (params or tags or data):
            if metrics:
                journal.metrics(metrics, step)
            return
        records = check_records(params, metrics, tags, step, data)
        journal.texts(records)
        if records.metrics:
            journal.metrics(records.metrics, records.step)
        if data is not None:
            body = {"run_id": journal.key, "datasets": [dataset_input(data)]}
            journal.operation({"op": "call", "method": "POST", "path": "/runs/log-inputs", "body": body})

    def metric_writer(self, run_id: str) -> Callable[[Mapping[str, float], int], None]:
        """See `RunWriter.metric_writer`."""
        return self._writing(run_id).journal.metrics

    def log_artifact(self, run_id: str, path: Path, artifact_path: str | None = None) -> None:
        """See `RunTracker.log_artifact`; a folder keeps its name."""
        journal = self._writing(run_id).journal
        journal.file(path, check_artifact(path, artifact_path))

    @contextmanager
    def activate(self, run_id: str, *, process: bool = False) -> Iterator[None]:
        """See `RunTracker.activate`: MLflow's fluent API and autologging write into the run.

        The block may be nested, in one thread or in several, with runs of one project or of more. A
        thread started inside takes part when its function runs in `contextvars.copy_context()`;
        otherwise its calls to MLflow fail with a text that begins with `NoActiveRun`.
        """
        run = self._writing(run_id)
        namespace, username, password, experiment_id = self._account
        binding = Binding(self.url, namespace, username, password, experiment_id, tracker=self)
        with (process_run if process else current_run)(lambda: entity_of(run), binding):
            yield

    def snapshot(self, run_id: str) -> Run:
        """See `RunTracker.snapshot`."""
        known = self._find(run_id)
        if known is None:
            raise RunNotFound(self.project, run_id)
        url = self._server.page_of(known.journal.opening, known.journal.mlflow_id)
        return replace(snapshot(known.journal), url=url)

    def past(self, run_id: str) -> Run:
        """See `RunTracker.past`: of a run that no server knows yet, everything is in the journal."""
        run = self._writing(run_id)
        # Without a name it was resumed by a key that nothing here knew, and no server was asked.
        only_here = run.journal.mlflow_id is None and run.journal.opening.name != ""
        recorded = undelivered(run.journal.folder) if only_here else None
        if recorded is not None:
            return replace(self.snapshot(run_id), metrics=recorded.metrics, tags=recorded.tags)
        if not run.flush(2 * open_runs.DOWN_S):
            raise ServiceUnavailable("mlflow", "what was recorded of the run is not wholly there")
        return self._server.read(self._at_server(run_id))

    def owns(self, run_id: str) -> bool:
        """See `RunTracker.owns`."""
        return self._writing(run_id).journal.owned

    def output_folder(self, run_id: str) -> Path:
        """See `RunTracker.output_folder`: in the run's journal, so that it outlives the process."""
        return self._writing(run_id).journal.folder.output

    # -- finding --------------------------------------------------------------------------------

    def _writing(self, run_id: str) -> OpenRun:
        """The run, open for writing in this process; joined when another process has it open."""
        known = self._find(run_id)
        if known is None:
            folder = self._folder(run_id)
            if folder is None:
                self._check_running(self._at_server(run_id), run_id)
                journal = RunJournal.create(self._journal, self._resumed(run_id))
            else:
                journal = RunJournal.join(folder)
            known = OpenRun(journal, self._server)
        if known.journal.closed:
            raise RunEnded(self.project, run_id)
        return known

    def _check_running(self, found: Mapping[str, Any], run_id: str) -> None:
        if found["info"].get("status") != RunStatus.RUNNING.value:
            raise RunEnded(self.project, run_id)

    def _resumed(self, run_id: str) -> Opening:
        """What a run is opened with that has no journal here. Without a server its id is believed, unless
        this process knows it as another project's."""
        if open_runs.find(run_id) is not None and self._find(run_id) is None:
            raise RunNotFound(self.project, run_id)
        mlflow_id, key = (None, run_id) if run_id.startswith(KEY_PREFIX) else (run_id, run_id)
        name, started = "", time.time_ns() // 1_000_000
        try:
            with self._server.rest.within(open_runs.DOWN_S):
                found = self._server.read(self._at_server(run_id))
        except MLOpsError as error:
            if isinstance(error, RunNotFound):
                raise
        else:
            mlflow_id, key, name = found.mlflow_id, found.key, found.name
            started = int(found.started_at.timestamp() * 1000)
        return Opening(self.project, name, started, key=key, mlflow_id=mlflow_id)

    def _recover(self) -> None:
        """Deliver what earlier processes of the project left; once for this tracker."""
        if self._recovered:
            return
        self._recovered = True
        for folder in filter(pending.waits, run_folders(self._journal)):
            try:
                sender.current().add(Delivery(folder, self._server))
            except JournalError as error:  # a damaged one must not keep a new run from starting
                _log.warning("%s", error.message)


def entity_of(run: OpenRun) -> Any:
    """MLflow's entity of a run of this process."""
    from mlops.tracking.plugin.entities import entity_of

    return entity_of(run)


if TYPE_CHECKING:
    _conforms: type[RunTracker] = MLflowTracker
