"""A long metric read back: thinned out at the source, and all of it by MLflow's own client."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import psycopg

from mlops.client import MLOpsClient
from tests.bench.result import Comparison, Result
from tests.bench.tracking_server import PROJECT, Server

_KEY = "loss"
_COPY = "COPY metrics (run_uuid, key, step, timestamp, value, is_nan) FROM STDIN"


def run(quick: bool) -> Iterator[Result]:
    """One metric of a million points, in 1,000."""
    points, rounds = (20_000, 1) if quick else (1_000_000, 3)
    with Server.running() as server:
        server.start_gateway()
        client = MLOpsClient.from_project(PROJECT, config=server.installation.config)
        mlflow_id = _run_of(client, server, points)
        ours, theirs = [], []
        for _ in range(rounds):
            begun = time.perf_counter()
            history = client.metric_history(mlflow_id, _KEY)
            ours.append(time.perf_counter() - begun)
            found = server.theirs("history", run=mlflow_id, key=_KEY).result(1800)
            if not history.total == found["points"] == points or len(history) > 1000:
                raise RuntimeError("not all points were read")
            theirs.append(found["seconds"])
        name = f"metric_history of {points:,} points"
        yield Comparison(name, "s", ours, "MLflow's get_metric_history, all points", theirs, 0.1)


def _run_of(client: MLOpsClient, server: Server, points: int) -> str:
    """MLflow's id of a run whose metric was put into the database, which takes minutes otherwise."""
    with client.start_run() as run:
        client.log_metrics({_KEY: 0.0}, step=0)
    mlflow_id = client.get_run(run.key).id
    url = server.installation.database_url("mlflow")
    with psycopg.connect(url) as connection, connection.cursor().copy(_COPY) as into:
        for step in range(1, points):
            into.write_row((mlflow_id, _KEY, step, step, math.sin(step), False))
    return mlflow_id
