"""MLflow plug-in `mlflow.tracking_store`: what MLflow is told about an open run goes into its journal.

For everything else it is MLflow's own store. MLflow builds one for each URL and asks it from any thread,
so the run is found by its id: its key here, or MLflow's id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from mlflow.entities import (
    Experiment,
    LoggedModel,
    LoggedModelStatus,
    Metric,
    Run,
    RunInfo,
    RunStatus,
    RunTag,
)
from mlflow.protos import service_pb2 as api
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking.rest_store import RestStore
from mlflow.utils.async_logging.run_operations import RunOperations
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.validation import _validate_tag

from mlops.binding.context import current_binding
from mlops.entities import RUN_KEY
from mlops.entities import RunStatus as OurStatus
from mlops.tracking import open_runs
from mlops.tracking.open_runs import OpenRun
from mlops.tracking.plugin import models as plugin_models
from mlops.tracking.plugin.entities import (
    LOCAL_EXPERIMENT,
    entity_of,
    journaled_entity,
    journaled_history,
    local_experiment,
)
from mlops.tracking.plugin.records import record, record_call
from mlops.tracking.plugin.runs import (
    at_server,
    ended_by_mlflow,
    hindered_run,
    known_run,
    mentioned,
    mlflows_errors,
    present_url,
    settle,
    writable_run,
)

__all__ = ["JournalStore", "entity_of"]

_PREFIX = "/api/2.0/mlflow"
_KEY = re.compile(r"r-[0-9a-f]{32}")
_OF_RUNS = {api.DeleteTag, api.LogInputs, api.LogModel, api.LinkTracesToRun}
_OF_MODELS = {api.SetLoggedModelTags, api.DeleteLoggedModelTag, api.LogLoggedModelParamsRequest}
"""Calls whose answer is empty: they can wait in the journal."""
_MODEL = re.compile(f"{_PREFIX}/logged-models/([^/?]+)")
_FIRST_PARAMS = 100
"""So many params the server takes when it makes a logged model."""


class JournalStore(RestStore):
    """MLflow's store of an HTTP server, with a journal for the runs this process has open."""

    def __init__(self, store_uri: str, artifact_uri: str | None = None) -> None:
        """As MLflow builds a store from a tracking URI."""
        super().__init__(lambda: get_default_host_creds(present_url(store_uri)))
        self._experiments: dict[str, str] = {}

    # -- writing --------------------------------------------------------------------------------

    def log_batch(
        self, run_id: str, metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]
    ) -> None:
        """Record metrics, params and tags; raises INVALID_PARAMETER_VALUE."""
        run = writable_run(run_id)
        if run is None:
            super().log_batch(at_server(run_id), metrics, params, tags)
            return
        with mlflows_errors():
            record(run, metrics, params, tags)

    def log_metric(self, run_id: str, metric: Metric) -> None:
        """Record a metric; raises INVALID_PARAMETER_VALUE."""
        self.log_batch(run_id, [metric], [], [])

    def log_param(self, run_id: str, param: Any) -> None:
        """Record a param; raises INVALID_PARAMETER_VALUE for one that changes."""
        self.log_batch(run_id, [], [param], [])

    def set_tag(self, run_id: str, tag: RunTag) -> None:
        """Set a tag; raises INVALID_PARAMETER_VALUE."""
        self.log_batch(run_id, [], [], [tag])

    def log_batch_async(
        self, run_id: str, metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]
    ) -> RunOperations:
        """As `log_batch`: a journal needs no queue before it."""
        if writable_run(run_id) is None:
            return super().log_batch_async(run_id, metrics, params, tags)
        done: Future[None] = Future()
        self.log_batch(run_id, metrics, params, tags)
        done.set_result(None)
        return RunOperations([done])

    def log_outputs(self, run_id: str, models: Sequence[Any]) -> None:
        """Record models that the run made."""
        run = writable_run(run_id)
        if run is None:
            super().log_outputs(at_server(run_id), models)
            return
        made = [{"model_id": each.model_id, "step": each.step} for each in models]
        with mlflows_errors():
            run.journal.operation({"op": "outputs", "models": made})

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int, tags: Sequence[RunTag], run_name: str | None
    ) -> Run:
        """A run of the bound project, with a journal of its own."""
        binding = current_binding()
        if binding is None or binding.tracker is None:
            return super().create_run(experiment_id, user_id, start_time, tags, run_name)
        texts = {tag.key: tag.value for tag in (_validate_tag(t.key, t.value) for t in tags)}
        with mlflows_errors():
            begun = binding.tracker.start_run(
                run_name or texts.get("mlflow.runName"), texts, self._experiment_name(experiment_id)
            )
        run = open_runs.find(begun.key)
        assert run is not None  # noqa: S101 - it was begun in this process
        ended_by_mlflow.add(run)
        return entity_of(run)

    def update_run_info(
        self, run_id: str, run_status: int | None, end_time: int | None, run_name: str | None
    ) -> RunInfo:
        """Set a run's status, which ends a run that MLflow began, and its name."""
        run = writable_run(run_id)
        if run is None:
            return self._update_closed(run_id, run_status, end_time, run_name)
        status = None if run_status is None else RunStatus.to_string(run_status)
        over = status in (OurStatus.FINISHED, OurStatus.FAILED, OurStatus.KILLED)
        ends = over and run in ended_by_mlflow
        with mlflows_errors():
            if run_name or not ends:
                request = {"run_id": run.journal.key, "run_name": run_name, "status": status}
                record_call(run, "POST", "/runs/update", {k: v for k, v in request.items() if v})
            if ends:
                _end(run, OurStatus(str(status)))
        return journaled_entity(run).info

    def _update_closed(
        self, run_id: str, run_status: int | None, end_time: int | None, run_name: str | None
    ) -> RunInfo:
        binding = current_binding()
        resumes = run_status is not None and RunStatus.to_string(run_status) == OurStatus.RUNNING
        if resumes and binding is not None and binding.tracker is not None:
            with mlflows_errors():
                resumed = open_runs.find(binding.tracker.resume_run(run_id).key)
            if resumed is not None:
                ended_by_mlflow.add(resumed)
                return entity_of(resumed).info
        return super().update_run_info(at_server(run_id), run_status, end_time, run_name)

    # -- reading --------------------------------------------------------------------------------

    def get_run(self, run_id: str) -> Run:
        """The run at the server; of a run of this process what the journal knows, when none answers, or
        when a thread outside any run asks, as MLflow's monitor of system metrics does."""
        run = known_run(run_id)
        if run is None:
            return super().get_run(run_id)
        if current_binding() is None or not settle(run):
            return journaled_entity(run)
        return super().get_run(run.id)

    def get_metric_history(
        self, run_id: str, metric_key: str, max_results: int | None = None, page_token: str | None = None
    ) -> PagedList[Metric]:
        """All values of a metric; of a run of this process what its journal holds, when none answers."""
        run = _readable(run_id)
        if run is None or settle(run):
            return super().get_metric_history(run.id if run else run_id, metric_key, max_results, page_token)
        return PagedList(journaled_history(run, metric_key), None)

    # -- experiments ----------------------------------------------------------------------------

    def get_experiment(self, experiment_id: str) -> Experiment:
        """An experiment by its id."""
        if experiment_id.startswith(LOCAL_EXPERIMENT):
            name = experiment_id.removeprefix(LOCAL_EXPERIMENT)
            return self.get_experiment_by_name(name) or local_experiment(name)
        return self._noted(super().get_experiment(experiment_id))

    def get_experiment_by_name(self, experiment_name: str) -> Experiment | None:
        """An experiment by its name; when no server answers, inside a run, one that is looked up, or made,
        when its first run is delivered."""
        if hindered_run() is not None:
            return local_experiment(experiment_name)
        return self._noted(super().get_experiment_by_name(experiment_name))

    def _noted(self, experiment: Experiment | None) -> Experiment | None:
        if experiment is not None:
            self._experiments[experiment.experiment_id] = experiment.name
        return experiment

    def _experiment_name(self, experiment_id: str) -> str | None:
        """What a run's journal calls the experiment; None is the project's own."""
        binding = current_binding()
        if binding is None or experiment_id in ("", binding.experiment_id):
            return None
        return self._experiments.get(experiment_id) or str(self.get_experiment(experiment_id).name)

    # -- logged models --------------------------------------------------------------------------

    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: Sequence[Any] | None = None,
        params: Sequence[Any] | None = None,
        model_type: str | None = None,
    ) -> LoggedModel:
        """A new logged model; of an open run also without a server."""
        run = writable_run(source_run_id) if source_run_id else None
        if run is None:
            return super().create_logged_model(experiment_id, name, source_run_id, tags, params, model_type)
        first, rest = list(params or [])[:_FIRST_PARAMS], list(params or [])[_FIRST_PARAMS:]
        model = plugin_models.create_model(run, experiment_id, name, model_type, tags or [], first)
        if rest:
            self.log_logged_model_params(model.model_id, rest)
        return model

    def finalize_logged_model(self, model_id: str, status: LoggedModelStatus) -> LoggedModel:
        """Set the state of a logged model."""
        run = _run_of_model(model_id)
        if run is None:
            return super().finalize_logged_model(plugin_models.real_id(model_id), status)
        request = {"model_id": model_id, "status": LoggedModelStatus.to_proto(status)}
        with mlflows_errors():
            record_call(run, "PATCH", f"/logged-models/{model_id}", request)
        return plugin_models.note_status(model_id, status)

    def get_logged_model(self, model_id: str, allow_deleted: bool = False) -> LoggedModel:
        """A logged model; of a run of this process as the journal knows it, when no server answers."""
        run = plugin_models.run_of(model_id) if current_binding() is not None else None
        if run is None or settle(run):
            return super().get_logged_model(plugin_models.real_id(model_id), allow_deleted)
        return plugin_models.known_model(model_id)

    # -- every other call -----------------------------------------------------------------------

    def _call_endpoint(
        self, api: Any, json_body: str | None = None, endpoint: str | None = None, **more: Any
    ) -> Any:
        request = json.loads(json_body) if json_body else {}
        run = None
        if api in _OF_RUNS:
            run = writable_run(str(request.get("run_id", "")))
        elif api in _OF_MODELS and endpoint and (found := _MODEL.match(endpoint)):
            run = _run_of_model(found[1])
        if run is None:
            return super()._call_endpoint(api, _exchanged(json_body), _exchanged(endpoint), **more)
        known, method = self._METHOD_TO_INFO[api]
        with mlflows_errors():
            record_call(run, method, (endpoint or known).removeprefix(_PREFIX), request)
        return api.Response()


def _readable(run_id: str) -> OpenRun | None:
    # Reading asks the server, as whom only a binding says.
    return known_run(run_id) if current_binding() is not None else None


def _exchanged(text: str | None) -> str | None:
    """A request with the keys of the project's open runs replaced by MLflow's ids, unless it asks for runs
    by their keys."""
    if not text or RUN_KEY in text:
        return text
    return plugin_models.exchanged(_KEY.sub(lambda found: mentioned(found.group(), at_server), text))


def _run_of_model(model_id: str) -> OpenRun | None:
    run = plugin_models.run_of(model_id)
    return None if run is None or run.journal.closed else run


def _end(run: OpenRun, status: OurStatus) -> None:
    binding = current_binding()
    if binding is not None and binding.tracker is not None:
        binding.tracker.end_run(run.id, status)
    else:
        run.journal.end(status)
