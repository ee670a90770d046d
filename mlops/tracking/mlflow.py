"""Runs on an MLflow server, in the project's own workspace and as its own account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlops.binding.context import Binding
from mlops.binding.fluent import current_run
from mlops.binding.session import MLflowSession
from mlops.entities import DataVersion, Run, RunStatus
from mlops.errors import InvalidInput, RunEnded, RunNotFound
from mlops.tracking.records import Records, check_artifact, check_records, check_tags, check_unchanged

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MLflowRun

    from mlops.tracking.base import RunTracker

_METRICS, _TEXTS = 1000, 100
"""What one `log_batch` takes: metrics, and params or tags."""
_PAGE = 1000


class MLflowTracker:
    """The runs of one project; thread-safe."""

    def __init__(
        self, *, project: str, namespace: str, url: str, username: str, password: str, experiment_id: str
    ) -> None:
        """`url` is the server's, without credentials; the account sees `namespace` alone."""
        self.project = project
        self._binding = Binding(url.rstrip("/"), namespace, username, password, experiment_id)
        self._session = MLflowSession(self._binding)

    def start_run(self, name: str | None, tags: Mapping[str, str], experiment_name: str | None) -> Run:
        """See `RunTracker.start_run`."""
        from mlflow.tracking.context.registry import resolve_tags

        checked = check_tags(tags)
        with self._session.calls(
            RunNotFound(self.project, experiment_name or ""), "experiment_name", experiment_name
        ) as client:
            experiment = self._experiment(client, experiment_name)
            created = client.create_run(experiment, run_name=name, tags=resolve_tags(checked))
            return self._run(created)

    def end_run(self, run_id: str, status: RunStatus) -> Run:
        """See `RunTracker.end_run`."""
        if status is RunStatus.RUNNING:
            raise InvalidInput(
                "status", status.value, "does not end a run", remedy="Use FINISHED, FAILED or KILLED."
            )
        with self._calls(run_id) as client:
            self._running(client, run_id)
            client.set_terminated(run_id, status=status.value)
            return self._run(client.get_run(run_id))

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
        now = int(datetime.now(UTC).timestamp() * 1000)
        with self._calls(run_id) as client:
            run = self._running(client, run_id)
            records = check_records(params, metrics, tags, step, data)
            check_unchanged(records.params, run.data.params)
            _send(client, run_id, records, now)
            if data is not None:
                client.log_inputs(run_id, [_dataset_input(data)])

    def log_artifact(self, run_id: str, path: Path, artifact_path: str | None = None) -> None:
        """See `RunTracker.log_artifact`; a folder keeps its name."""
        with self._calls(run_id) as client:
            client.get_run(run_id)
            client.log_artifact(run_id, str(path), check_artifact(path, artifact_path))

    def get_run(self, run_id: str) -> Run:
        """See `RunTracker.get_run`."""
        with self._calls(run_id) as client:
            return self._run(client.get_run(run_id))

    def search_runs(self, filter: str = "", order_by: str = "", max_results: int = 100) -> list[Run]:
        """See `RunTracker.search_runs`."""
        order = [order_by] if order_by else ["attributes.start_time DESC"]
        found: list[Run] = []
        token: str | None = None
        missing = InvalidInput("filter", filter, "names what is not there")
        with self._session.calls(missing, "filter", f"{filter} order by {order[0]}") as client:
            experiments = _all_experiments(client)
            while experiments and len(found) < max_results:
                size = min(_PAGE, max_results - len(found))
                page = client.search_runs(
                    experiments, filter, max_results=size, order_by=order, page_token=token
                )
                found += [self._run(run) for run in page]
                token = page.token
                if not token:
                    break
        return found

    @contextmanager
    def activate(self, run_id: str) -> Iterator[None]:
        """See `RunTracker.activate`: MLflow's fluent API and autologging write into the run.

        The block may be nested, in one thread or in several, with runs of one project or of more. A
        thread started inside takes part when its function runs in `contextvars.copy_context()`;
        otherwise its calls to MLflow fail with a text that begins with `NoActiveRun`.
        """
        with self._calls(run_id) as client:
            run = self._running(client, run_id)
        with self._session.bound(), current_run(run, self._binding.url):
            yield

    def _calls(self, run_id: str) -> Any:
        return self._session.calls(RunNotFound(self.project, run_id), "run_id", run_id)

    def _running(self, client: MlflowClient, run_id: str) -> MLflowRun:
        run = client.get_run(run_id)
        if run.info.status != RunStatus.RUNNING.value:
            raise RunEnded(self.project, run_id)
        return run

    def _experiment(self, client: MlflowClient, name: str | None) -> str:
        from mlflow.exceptions import MlflowException

        if name is None:
            return self._binding.experiment_id
        if experiment := client.get_experiment_by_name(name):
            return str(experiment.experiment_id)
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            made_meanwhile = client.get_experiment_by_name(name)
            if made_meanwhile is None:
                raise
            return str(made_meanwhile.experiment_id)

    def _run(self, run: MLflowRun) -> Run:
        page = f"{self._binding.url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        return Run(
            id=run.info.run_id,
            project=self.project,
            name=run.info.run_name or "",
            status=_status(run.info.status),
            started_at=_time(run.info.start_time),
            ended_at=_time(run.info.end_time) if run.info.end_time else None,
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
            tags={key: value for key, value in run.data.tags.items() if key != "mlflow.runName"},
            url=f"{page}?workspace={quote(self._binding.workspace, safe='')}",
        )


def _send(client: MlflowClient, run_id: str, records: Records, now: int) -> None:
    from mlflow.entities import Metric, Param, RunTag

    params = [Param(key, value) for key, value in records.params.items()]
    tags = [RunTag(key, value) for key, value in records.tags.items()]
    metrics = [Metric(key, value, now, records.step) for key, value in records.metrics.items()]
    for at in range(0, max(len(params), len(tags)), _TEXTS):
        client.log_batch(run_id, params=params[at : at + _TEXTS], tags=tags[at : at + _TEXTS])
    for at in range(0, len(metrics), _METRICS):
        client.log_batch(run_id, metrics=metrics[at : at + _METRICS])


def _dataset_input(data: DataVersion) -> Any:
    import json

    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"path": data.path, "remote": data.remote, "git_revision": data.git_revision, "hash": data.hash}
    profile = {"size_bytes": data.size_bytes, "files": data.files}
    return DatasetInput(
        Dataset(
            name=data.path,
            digest=data.hash[:36],  # MLflow's limit: exactly a folder's `<md5>.dir`
            source_type="dvc",
            source=json.dumps(source),
            profile=json.dumps(profile),
        ),
        [InputTag("mlflow.data.context", "training")],
    )


def _all_experiments(client: MlflowClient) -> list[str]:
    found: list[str] = []
    token: str | None = None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        found += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            return found


def _status(status: str) -> RunStatus:
    return RunStatus(status) if status in RunStatus.__members__ else RunStatus.RUNNING


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


if TYPE_CHECKING:
    _conforms: type[RunTracker] = MLflowTracker
