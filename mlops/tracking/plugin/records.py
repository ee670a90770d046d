"""What MLflow records, checked by MLflow's own rules and written into a run's journal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from mlflow.entities import Metric
from mlflow.protos import service_pb2 as api
from mlflow.utils.proto_json_utils import message_to_json
from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

from mlops.tracking.open_runs import OpenRun
from mlops.tracking.records import Records


def record(run: OpenRun, metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]) -> None:
    """Record all of it, or raise INVALID_PARAMETER_VALUE, or `InvalidInput` for a param that changes."""
    for each in metrics:
        _validate_metric(each.key, each.value, each.timestamp, each.step)
    checked = Records(
        params={each.key: each.value for each in (_validate_param(p.key, p.value) for p in params)},
        tags={each.key: each.value for each in (_validate_tag(t.key, t.value) for t in tags)},
    )
    if checked.params or checked.tags:
        run.journal.texts(checked)
    _record_metrics(run, metrics)


def record_call(run: OpenRun, method: str, path: str, request: dict[str, Any]) -> None:
    """Record any other request below MLflow's API."""
    run.journal.operation({"op": "call", "method": method, "path": path, "body": request})


def _record_metrics(run: OpenRun, metrics: Sequence[Metric]) -> None:
    plain = [each for each in metrics if not (each.model_id or each.dataset_name or each.dataset_digest)]
    for (time_ms, step), together in groupby(plain, lambda each: (each.timestamp, each.step)):
        for values in _without_repeats(together):
            run.journal.metrics(values, step, time_ms)
    if more := [each for each in metrics if each not in plain]:
        request = api.LogBatch(run_id=run.journal.key, metrics=[each.to_proto() for each in more])
        record_call(run, "POST", "/runs/log-batch", json.loads(message_to_json(request)))


def _without_repeats(metrics: Iterable[Metric]) -> list[dict[str, float]]:
    portions: list[dict[str, float]] = [{}]
    for each in metrics:
        if each.key in portions[-1]:
            portions.append({})
        portions[-1][each.key] = each.value
    return portions
