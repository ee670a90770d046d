"""Metrics of a run for charts from an MLflow whose database is not read here: MLflow's own samples, which are
taken evenly over the steps, so that extremes between them are not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlops.entities import ProjectWorkspace
from mlops.errors import RunNotFound, ServiceUnavailable
from mlops.tracking.curves import Axis
from mlops.tracking.rest import Rest, ServerRefusal

_SAMPLES = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
_PATIENCE_S = 10.0


class SampledCurves:
    """Asks MLflow's API, as the account of a workspace that `rest_of` gives."""

    def __init__(self, rest_of: Callable[[ProjectWorkspace], Rest]) -> None:
        self._rest_of = rest_of

    def series(
        self,
        workspace: ProjectWorkspace,
        run_id: str,
        keys: Sequence[str],
        *,
        axis: Axis = Axis.STEP,
        begin: int | None = None,
        end: int | None = None,
        max_points: int = 1000,
    ) -> dict[str, dict[str, Any]]:
        """See `MetricCurves.series`; `run_id` is MLflow's. A stretch of time is cut from samples of the
        whole."""
        rest = self._rest_of(workspace)
        found = {}
        with rest.within(_PATIENCE_S):
            try:
                rest.call("GET", "/runs/get", query={"run_id": run_id})  # which asks who may see it
                for key in dict.fromkeys(keys):
                    rows = _samples(rest, run_id, key, max_points, begin, end, axis)
                    if rows:
                        found[key] = _columns(rows, axis)
            except ServerRefusal as refusal:
                if refusal.missing:
                    raise RunNotFound(workspace.project_name, run_id) from None
                raise ServiceUnavailable("mlflow", refusal.message[:300]) from None
        return found


def _samples(
    rest: Rest, run_id: str, key: str, most: int, begin: int | None, end: int | None, axis: Axis
) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {"run_ids": run_id, "metric_key": key, "max_results": most}
    if axis is Axis.STEP and begin is not None and end is not None:
        asked |= {"start_step": begin, "end_step": end}
    try:
        rows = rest.stream(_SAMPLES, asked).json().get("metrics", [])
    except ValueError:
        raise ServiceUnavailable("mlflow", "an answer that is no JSON") from None
    place = _PLACES[axis]
    low, high = begin if begin is not None else -(2**63), end if end is not None else 2**63
    return [row for row in rows if low <= int(row.get(place, 0)) <= high]


def _columns(rows: list[dict[str, Any]], axis: Axis) -> dict[str, Any]:
    rows = sorted(rows, key=lambda row: int(row.get(_PLACES[axis], 0)))
    return {
        "total": len(rows),
        "steps": [int(row.get("step", 0)) for row in rows],
        "times": [int(row["timestamp"]) for row in rows],
        "values": [row.get("value", 0.0) for row in rows],
    }


_PLACES = {Axis.STEP: "step", Axis.TIME: "timestamp"}
