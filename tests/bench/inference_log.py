"""The inference log: rows a second that one writer brings into Postgres, alone and beside housekeeping."""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from mlops.entities import ProjectWorkspace
from mlops.store.database import connect
from mlops.store.partitions import Partitions
from mlops.store.store import Store
from tests.bench import database
from tests.bench.result import Measure, Result

PROJECT, MODEL = "bench", "depth"
COLUMNS, BATCH = 64, 1000
SECONDS, SLICES = 20.0, 10
BAR = 2000


def run(quick: bool) -> Iterator[Result]:
    """Twenty seconds of writing alone, and as many beside the housekeeping."""
    seconds = 1.0 if quick else SECONDS
    with database.running() as installation:
        url = installation.database_url("mlops")
        _prepare(url)
        batch = _batch()
        size = round(statistics.mean(len(row["features"]) for row in batch))
        name = f"inference log, one writer, {COLUMNS} columns in {size} bytes"
        rates, _ = _write(url, batch, seconds)
        yield Measure(name, "rows/s", rates, BAR, at_least=True)
        with _housekeeping(url):
            rates, longest = _write(url, batch, seconds)
        yield Measure(f"{name}, while days are made and dropped", "rows/s", rates, BAR, at_least=True)
        yield Measure(f"inference log: the longest write of {BATCH} rows meanwhile", "s", [longest], None)


def _prepare(url: str) -> None:
    """Tables, a project, and room for today's rows."""
    workspace = ProjectWorkspace.of(
        project_name=PROJECT,
        namespace=PROJECT,
        mlflow_experiment_id="1",
        dvc_remote_path="/nowhere",
        root=Path("/nowhere"),
    )
    store = Store(url)
    store.upgrade()
    store.projects.put(workspace, {})
    store.retention.make_room()
    store.close()


def _batch() -> list[dict[str, Any]]:
    """Requests of one row each, as a replica tells them."""
    dice = random.Random(7)

    def features() -> str:
        values = {f"f{place}": [round(dice.gauss(), 2)] for place in range(COLUMNS - 1)}
        told = {"rows": 1, "model_s": 0.0021, "inputs": values, "outputs": {"y": [round(dice.gauss(), 4)]}}
        return json.dumps(told, separators=(",", ":"))

    return [
        {
            "project": PROJECT, "model": MODEL, "version": 3, "side": "champion", "status": 200,
            "request_id": f"{dice.getrandbits(128):032x}", "latency_s": dice.random(), "features": features(),
        }
        for _ in range(BATCH)
    ]  # fmt: skip


def _write(url: str, batch: list[dict[str, Any]], seconds: float) -> tuple[list[float], float]:
    """Rows a second in each slice of the time, and the seconds of the longest write."""
    store = Store(url)
    rates, written, longest, begun = [], 0, 0.0, datetime.now(UTC)
    for _ in range(SLICES):
        rows, began = 0, time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds / SLICES:
            store.inferences.add([row | {"at": datetime.now(UTC)} for row in batch])
            rows += len(batch)
            longest = max(longest, time.perf_counter() - began - passed)
        rates.append(rows / passed)
        written += rows
    store.close()
    _check(url, begun, written)
    return rates, longest


def _check(url: str, begun: datetime, written: int) -> None:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM inferences WHERE at >= %s", [begun]).fetchone()
    if row != (written,):
        raise RuntimeError(f"{row} rows are there of {written}")


@contextmanager
def _housekeeping(url: str) -> Iterator[None]:
    """Makes days of long ago and drops them, one after the other."""
    stop = threading.Event()
    engine = connect(url)
    partitions = Partitions(engine)

    def work() -> None:
        day = datetime.now(UTC) - timedelta(days=3000)
        while not stop.wait(0.2):
            day += timedelta(days=1)
            partitions.make([day.date()])
            partitions.drop_before(day + timedelta(days=1))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        engine.dispose()
