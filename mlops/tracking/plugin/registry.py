"""MLflow plug-in `mlflow.model_registry_store`: a model of an open run is registered through its journal."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.entities.model_registry.model_version_status import ModelVersionStatus
from mlflow.exceptions import MlflowException
from mlflow.protos import model_registry_pb2
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.model_registry.rest_store import RestStore
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.validation import _validate_model_name

from mlops.entities import PENDING_VERSION
from mlops.tracking.open_runs import OpenRun
from mlops.tracking.plugin import models as plugin_models
from mlops.tracking.plugin.runs import hindered_run, mlflows_errors, present_url, writable_run

_REGISTER_S = 600.0
"""The longest wait for a version's number: its files are uploaded before."""
_MODELS = "models:/"


class JournalRegistry(RestStore):
    """MLflow's registry of an HTTP server; versions of open runs' models can wait for it."""

    def __init__(self, store_uri: str) -> None:
        """As MLflow builds a store from a registry URI."""
        super().__init__(lambda: get_default_host_creds(present_url(store_uri)))

    def create_registered_model(
        self,
        name: str,
        tags: Sequence[Any] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        """A new registered model; without a server, inside a run, its first version will make it."""
        if (run := hindered_run()) is not None:
            _validate_model_name(name)
            now = time.time_ns() // 1_000_000
            return RegisteredModel(name, now, now, workspace=run.server.workspace)
        return super().create_registered_model(name, tags, description, deployment_job_id)

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Sequence[Any] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        """A new version; its number is `pending` when it waits in the journal of an open run."""
        run = _run_of(source, run_id, model_id)
        if run is None:
            return super().create_model_version(
                name,
                plugin_models.exchanged(source),
                run_id,
                tags,
                run_link,
                description,
                local_model_path,
                model_id and plugin_models.real_id(model_id),
            )
        body = {
            "source": source,
            "run_id": run_id,
            "tags": [{"key": each.key, "value": each.value} for each in tags or []],
            "run_link": run_link,
            "description": description,
            "model_id": model_id,
        }
        with mlflows_errors():
            made = run.register_version(name, {k: v for k, v in body.items() if v}, _REGISTER_S)
        if made is not None:
            return _entity(made)
        if run.journal.delivered:
            raise MlflowException(_why_refused(run), INVALID_PARAMETER_VALUE)
        now = time.time_ns() // 1_000_000
        return ModelVersion(
            name=name,
            version=PENDING_VERSION,
            creation_timestamp=now,
            last_updated_timestamp=now,
            description=description,
            source=source,
            run_id=run_id,
            status=ModelVersionStatus.to_string(ModelVersionStatus.PENDING_REGISTRATION),
            tags=list(tags or []),
            model_id=model_id,
        )

    def _await_model_version_creation_impl(self, mv: ModelVersion, *args: Any, **more: Any) -> None:
        if mv.version != PENDING_VERSION:
            super()._await_model_version_creation_impl(mv, *args, **more)


def _run_of(source: str, run_id: str | None, model_id: str | None) -> OpenRun | None:
    """The open run whose model is registered."""
    if model_id is None and source.startswith(_MODELS):
        model_id = source.removeprefix(_MODELS)
    if model_id is not None and (run := plugin_models.run_of(model_id)) is not None:
        return None if run.journal.closed else run
    return writable_run(run_id) if run_id else None


def _entity(made: dict[str, Any]) -> ModelVersion:
    message = model_registry_pb2.ModelVersion()
    parse_dict(made, message)
    return ModelVersion.from_proto(message)


def _why_refused(run: OpenRun) -> str:
    try:
        lines = run.journal.folder.refused.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return "the server refused the version"
    refused = [json.loads(line) for line in lines]
    return next((each["reason"] for each in reversed(refused) if each["op"] == "version"), "refused")
