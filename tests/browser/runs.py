"""Runs with curves, in a database that MLflow made, and in the index as the worker puts them there."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from mlops.entities import USED_KEY, RunStatus
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.store import Store

if TYPE_CHECKING:
    import mlflow

FIRST, SECOND, THIRD, RUNNING = ("a1" * 16, "b2" * 16, "c3" * 16, "d4" * 16)
OF_DIGITS = "e5" * 16
_TAGS = {
    "mlflow.source.git.commit": "7c0d1f4e" + "a" * 32,
    "mlflow.source.name": "drilling/training.py",
    "hardware.chip": "Apple M3 Max",
    "hardware.os": "macOS 15.5",
    USED_KEY + "9f8e7d6c" * 4: "data/holes",
}


def fill_runs(store: Store, mlflow_database: mlflow.MlflowClient, mlflow_url: str) -> None:
    """Four runs of drilling, one of which goes on, and one of digits; all of about an hour."""
    began = datetime.now(UTC) - timedelta(hours=2)
    experiment = _experiment(mlflow_database, mlflow_url)
    with psycopg.connect(mlflow_url) as connection:
        connection.execute("DELETE FROM metrics WHERE run_uuid = ANY(%s)", [list(_NAMES)])
        connection.execute("DELETE FROM runs WHERE run_uuid = ANY(%s)", [list(_NAMES)])
        for number, (id, name) in enumerate(_NAMES.items()):
            project = "digits" if id == OF_DIGITS else "drilling"
            run = IndexedRun(
                id, project, name, project, RunStatus.FINISHED, began - timedelta(hours=3 * number),
                began - timedelta(hours=3 * number - 1), user="ada", params=_params(number), tags=_TAGS,
            )  # fmt: skip
            if id == RUNNING:
                now = datetime.now(UTC) - timedelta(hours=1)
                run = replace(run, status=RunStatus.RUNNING, started_at=now, ended_at=None)
            values = dict(_values(number, round(run.started_at.timestamp() * 1000)))
            _write(connection, experiment[project], run, values)
            store.run_index.put([replace(run, metrics={key: _summary(rows) for key, rows in values.items()})])
        for statement in _MADE:
            connection.execute(statement)


_NAMES = {
    FIRST: "patchtsmixer-13", SECOND: "patchtsmixer-14", THIRD: "linear-baseline", RUNNING: "patchtsmixer-15",
    OF_DIGITS: "logistic-2",
}  # fmt: skip


_MADE = (
    "DELETE FROM model_versions WHERE workspace = 'drilling'",
    "INSERT INTO registered_models (workspace, name) VALUES ('drilling', 'depth') ON CONFLICT DO NOTHING",
    "INSERT INTO model_versions (workspace, name, version, run_id, current_stage)"
    f" VALUES ('drilling', 'depth', 3, '{FIRST}', 'None')",
    "INSERT INTO registered_model_aliases (workspace, name, alias, version)"
    " VALUES ('drilling', 'depth', 'champion', 3) ON CONFLICT DO NOTHING",
)
"""The model version that drilling's deployment serves is the first run's."""


def _params(number: int) -> dict[str, str]:
    return {
        "lr": ("0.0003", "0.001", "0.01", "0.003", "0.1")[number],
        "model": ("patchtsmixer", "patchtsmixer", "linear", "patchtsmixer", "logistic")[number],
        "layers": str(4 + 2 * (number % 3)), "dropout": f"{0.1 * (number % 4):.1f}", "seed": "0",
        "window_mm": "2.5", "batch_size": ("32", "64", "64", "128", "32")[number],
    }  # fmt: skip


def _values(number: int, begin_ms: int) -> Iterator[tuple[str, list[tuple[int, int, float]]]]:
    """Of each metric (step, time in ms, value) over an hour: every second, minute or five seconds, with a
    pause in which the machine slept."""
    chance = random.Random(number)
    at = [begin_ms + 1000 * second + (420_000 if second > 2000 else 0) for second in range(3200)]
    scale = (1.0, 0.8, 2.2, 0.9, 1.4)[number]
    loss = [scale * (math.exp(-step / 700) + 0.05) * (1 + 0.25 * chance.random()) for step in range(3200)]
    yield "loss", [(step, at[step], value) for step, value in enumerate(loss)]
    if number != 4:
        yield "val_mae_mm", [(step, at[step], 0.07 + 0.3 * loss[step]) for step in range(59, 3200, 60)]
        yield "entry_mae_mm", [(step, at[step], 0.05 + 0.2 * loss[step]) for step in range(59, 3200, 60)]
    else:
        yield "accuracy", [(step, at[step], 0.97 - 0.4 * loss[step]) for step in range(59, 3200, 60)]
    yield "lr", [(step, at[step], 1e-3 * 0.5 * (1 + math.cos(step / 1020))) for step in range(0, 3200, 10)]
    readings = {"gpu_0_utilization_percentage": (88, 9), "gpu_0_power_usage_watts": (21, 4),
                "package_power_watts": (34, 6), "thermal_state": (0, 1.4),
                "system_memory_usage_percentage": (61, 3)}  # fmt: skip
    for name, (level, noise) in readings.items():
        rounded = name == "thermal_state"
        rows = [(step, at[step], level + noise * chance.random()) for step in range(0, 3200, 5)]
        yield f"system/{name}", [(s, t, float(int(v)) if rounded else v) for s, t, v in rows]


def _summary(rows: list[tuple[int, int, float]]) -> MetricSummary:
    values = [value for _, _, value in rows]
    return MetricSummary(values[-1], min(values), max(values), rows[-1][0], rows[-1][1], len(rows))


def _experiment(client: mlflow.MlflowClient, url: str) -> dict[str, int]:
    """Ids of experiments of the workspaces drilling and digits."""
    made = {}
    for project in ("drilling", "digits"):
        id = int(client.create_experiment(os.urandom(8).hex(), artifact_location="file:///nowhere"))
        with psycopg.connect(url) as connection:
            connection.execute(
                "UPDATE experiments SET workspace = %s WHERE experiment_id = %s", [project, id]
            )
        made[project] = id
    return made


def _write(
    connection: psycopg.Connection, experiment: int, run: IndexedRun, values: dict[str, list[tuple]]
) -> None:
    connection.execute(
        "INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, experiment_id)"
        " VALUES (%s, %s, %s, %s, 'active', %s)",
        [run.id, run.name, run.status.value, round(run.started_at.timestamp() * 1000), experiment],
    )
    copy = "COPY metrics (run_uuid, key, step, timestamp, value, is_nan) FROM STDIN"
    with connection.cursor().copy(copy) as into:
        for key, rows in values.items():
            for step, time, value in rows:
                into.write_row((run.id, key, step, time, value, False))
