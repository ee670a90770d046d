"""Logged models of open runs: made at the server where it answers, else in the journal, under a local id.

Either way what follows (files, tags, params, the final state) goes through the run's journal.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.protos import service_pb2
from mlflow.utils.name_utils import _generate_random_name
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.validation import _validate_logged_model_name

from mlops.errors import MLOpsError
from mlops.tracking import sender
from mlops.tracking.open_runs import OpenRun
from mlops.tracking.plugin.entities import LOCAL_EXPERIMENT
from mlops.tracking.plugin.runs import known_run, mentioned, mlflows_errors
from mlops.tracking.rest import ServerRefusal
from mlops.tracking.run_folder import JOURNAL_SCHEME

_ID = re.compile(r"m-[0-9a-f]{32}")


@dataclass
class _Known:
    run_key: str
    model: LoggedModel


_models: dict[str, _Known] = {}
_MOST = 1000
"""So many models are remembered."""


def run_of(model_id: str) -> OpenRun | None:
    """The run of this process that made this model; its isolation is the run's."""
    known = _models.get(model_id)
    return known_run(known.run_key) if known is not None else None


def real_id(model_id: str) -> str:
    """MLflow's id of a model that may be known by its local one."""
    run = run_of(model_id)
    delivered = run.journal.models.get(model_id) if run is not None else None
    return str(delivered["info"]["model_id"]) if delivered else model_id


def exchanged(text: str) -> str:
    """A request with local ids of models replaced by MLflow's."""
    return _ID.sub(lambda found: mentioned(found.group(), real_id), text)


def known_model(model_id: str) -> LoggedModel:
    """The model as this process knows it."""
    return _models[model_id].model


def note_status(model_id: str, status: LoggedModelStatus) -> LoggedModel:
    """Remember a model's final state; returns the model."""
    model = _models[model_id].model
    model.status = status
    return model


def create_model(
    run: OpenRun,
    experiment_id: str,
    name: str | None,
    model_type: str | None,
    tags: Sequence[Any],
    params: Sequence[Any],
) -> LoggedModel:
    """A logged model of an open run."""
    _validate_logged_model_name(name)
    key = f"m-{uuid.uuid4().hex}"
    body = {
        "name": name or _generate_random_name(),
        "source_run_id": run.journal.key,
        "tags": [{"key": each.key, "value": each.value} for each in tags],
        "params": [{"key": each.key, "value": each.value} for each in params],
        **({"model_type": model_type} if model_type else {}),
    }
    model = _created(run, experiment_id, key, body)
    if model is None:
        with mlflows_errors():
            run.journal.operation({"op": "model", "id": key, "body": body})
        model = _journaled(run, experiment_id, key, body)
    if len(_models) >= _MOST:
        del _models[next(iter(_models))]
    _models[model.model_id] = _Known(run.journal.key, model)
    return model


def _created(run: OpenRun, experiment_id: str, key: str, body: dict[str, Any]) -> LoggedModel | None:
    """The model, made at the server; None where that does not answer."""
    if run.journal.mlflow_id is None or sender.current().trouble(run.journal) is not None:
        return None
    try:
        if experiment_id.startswith(LOCAL_EXPERIMENT):
            experiment_id = str(run.server.run(run.journal.mlflow_id)["info"]["experiment_id"])
        more = {"source_run_id": run.journal.mlflow_id, "experiment_id": experiment_id}
        return _entity(run.server.create_model(key, {**body, **more}))
    except ServerRefusal as refusal:
        raise MlflowException.from_json({"error_code": refusal.code, "message": refusal.message}) from refusal
    except MLOpsError:
        return None


def _entity(found: dict[str, Any]) -> LoggedModel:
    message = service_pb2.LoggedModel()
    parse_dict(json.loads(json.dumps(found)), message)
    return LoggedModel.from_proto(message)


def _journaled(run: OpenRun, experiment_id: str, key: str, body: dict[str, Any]) -> LoggedModel:
    now = time.time_ns() // 1_000_000
    return LoggedModel(
        experiment_id=experiment_id,
        model_id=key,
        name=body["name"],
        artifact_location=f"{JOURNAL_SCHEME}:/{run.journal.key}/models/{key}/artifacts",
        creation_timestamp=now,
        last_updated_timestamp=now,
        model_type=body.get("model_type"),
        source_run_id=run.id,
        status=LoggedModelStatus.PENDING,
        tags={each["key"]: each["value"] for each in body["tags"]},
        params={each["key"]: each["value"] for each in body["params"]},
    )
