"""Plain MLflow, as its users call it: the peer of the tracking benchmarks, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric

from tests.bench.tracking_pace import answer, names, summary, timed, values

_BATCH = 1000
"""The most points that the server takes in one request."""


def synchronous(request: dict[str, Any]) -> object:
    """Microseconds of `mlflow.log_metrics`, call after call."""
    with mlflow.start_run():
        return summary(timed(mlflow.log_metrics, request["calls"], 0, request["width"]))


def raw(request: dict[str, Any]) -> object:
    """Points a second of `log_batch` with 1,000 points a request."""
    client, keys = mlflow.MlflowClient(), names(request["width"])
    with mlflow.start_run() as run:
        steps = _BATCH // len(keys)
        begun = time.perf_counter()
        for first in range(0, request["calls"], steps):
            now = int(time.time() * 1000)
            points = [
                Metric(key, value, now, step)
                for step in range(first, min(first + steps, request["calls"]))
                for key, value in values(keys, step).items()
            ]
            client.log_batch(run.info.run_id, metrics=points)
        seconds = time.perf_counter() - begun
    return {"run": run.info.run_id, "rate": request["calls"] * len(keys) / seconds}


def asynchronous(request: dict[str, Any]) -> object:
    """Points a second of `mlflow.log_metrics(…, synchronous=False)`, until all are at the server."""
    keys = names(request["width"])
    with mlflow.start_run() as run:
        begun = time.perf_counter()
        for step in range(request["calls"]):
            mlflow.log_metrics(values(keys, step), step=step, synchronous=False)
        mlflow.flush_async_logging()
        seconds = time.perf_counter() - begun
    return {"run": run.info.run_id, "rate": request["calls"] * len(keys) / seconds}


def history(request: dict[str, Any]) -> object:
    """Seconds to read every value of a metric."""
    client = mlflow.MlflowClient()
    begun = time.perf_counter()
    points = client.get_metric_history(request["run"], request["key"])
    return {"points": len(points), "seconds": time.perf_counter() - begun}


_SCENARIOS: dict[str, Callable[[dict[str, Any]], object]] = {
    "synchronous": synchronous,
    "raw": raw,
    "asynchronous": asynchronous,
    "history": history,
}

if __name__ == "__main__":
    answer(Path(sys.argv[3]), _SCENARIOS[sys.argv[1]](json.loads(sys.argv[2])))
