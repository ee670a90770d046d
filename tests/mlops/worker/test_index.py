"""The index of runs, from a database that MLflow made and its own client wrote to."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import psycopg
import pytest
from mlflow.entities import Metric

from mlops.entities import RunStatus
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.run_query import RunQuery
from mlops.store.store import Store
from mlops.worker.index import RunIndex
from mlops.worker.indexer import Indexer
from mlops.worker.mlflow_tables import MLflowTables
from mlops.worker.presence import INDEX_LOCK, Presence

from .conftest import Runs, Tables, workspace_of


@pytest.fixture
def source(tables: Tables) -> Tables:
    """The index is made of MLflow's tables."""
    return tables


def log(client: mlflow.MlflowClient, run: str, key: str, *values: float, step: int = 0) -> None:
    client.log_batch(run, metrics=[Metric(key, value, step + i, step + i) for i, value in enumerate(values)])


def test_the_primary_metric_is_kept_as_a_spark(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], index: RunIndex, store: Store
) -> None:
    namespace = store.projects.get("indexed").namespace
    store.projects.put(workspace_of("indexed", namespace), {"primary_metric": "loss"})
    run = client.create_run(experiment, run_name="goes on").info.run_id
    other = client.create_run(experiment, run_name="without").info.run_id
    log(client, run, "acc", 1.0)
    log(client, other, "acc", 1.0)
    look()
    assert store.runs.sparks([run, other]) == {}
    values = [0.9, math.nan, 0.7, -math.inf, 0.5]
    log(client, run, "loss", *values)
    look()
    spark = store.runs.sparks([run])[run]
    assert (spark.key, spark.width, spark.values()) == ("loss", 1, [0.9, 0.7, 0.5])
    for begin in range(5, 105, 20):
        more = [math.sin(step) for step in range(begin, begin + 20)]
        log(client, run, "loss", *more, step=begin)
        values += more
        look()
    spark = store.runs.sparks([run])[run]
    assert spark.width == 8
    for place in range(14):
        there = [value for value in values[8 * place : 8 * place + 8] if math.isfinite(value)]
        assert (spark.least[place], spark.greatest[place]) == (min(there), max(there))
    assert index.update() == 0
    store.run_index.ask_for_rebuild()
    look()
    assert store.runs.sparks([run])[run].values() == spark.values(), "read at once, or little by little"
    assert look()["goes on"].metrics["loss"].points == 105


def test_a_sweep_finds_what_leaves_no_trace(
    client: mlflow.MlflowClient, experiment: str, index: RunIndex, store: Store, mlflow_database_url: str
) -> None:
    kept, purged = (client.create_run(experiment, run_name=name).info.run_id for name in ("kept", "purged"))
    client.set_tag(kept, "stage", "prod")
    index.update()
    client.delete_tag(kept, "stage")
    with psycopg.connect(mlflow_database_url) as connection:
        connection.execute("DELETE FROM tags WHERE run_uuid = %s", (purged,))
        connection.execute("DELETE FROM runs WHERE run_uuid = %s", (purged,))
    index._sweep_due = 0.0
    assert index.update() > 0
    (found,) = store.runs.stream(RunQuery())
    assert (found.name, "stage" in found.tags) == ("kept", False)
    assert "stage" not in store.runs.names()["tag"]


@contextmanager
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr("mlops.worker.index.BATCH", 2)
        yield


def test_a_round_that_is_cut_short_is_done_by_the_next_worker(
    client: mlflow.MlflowClient,
    experiment: str,
    store: Store,
    mlflow_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(5):
        run = client.create_run(experiment, start_time=number + 1, run_name=f"run {number}").info.run_id
        log(client, run, "loss", 0.5, 0.1, 0.3)
    killed = RunIndex(store, mlflow_database_url)
    put, writes = store.run_index.put, 0

    def put_once(found: list[IndexedRun]) -> int:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise ServiceUnavailable("postgres", "killed")
        return put(found)

    with small_batches(monkeypatch), monkeypatch.context() as broken:
        broken.setattr(store.run_index, "put", put_once)
        with pytest.raises(ServiceUnavailable):
            killed.update()
    assert [run.name for run in store.runs.latest("indexed", 9)] == ["run 4", "run 3"], "the newest first"
    assert store.freshness.of().indexed_at is None
    RunIndex(store, mlflow_database_url).update()
    assert [run.name for run in store.runs.latest("indexed", 9)] == [f"run {n}" for n in (4, 3, 2, 1, 0)]
    assert all(
        run.metrics["loss"] == MetricSummary(0.3, 0.1, 0.5, 2, 2, 3) for run in store.runs.stream(RunQuery())
    )
    assert store.freshness.of().indexed_at is not None


def test_another_database_or_an_older_one_is_read_from_its_beginning(
    client: mlflow.MlflowClient, experiment: str, index: RunIndex, store: Store, database_url: str
) -> None:
    client.create_run(experiment, run_name="there")
    index.update()
    for wrong in ("source = 'another/1'", "horizon = horizon + 1000000000", "horizon = NULL"):
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE runs SET name = 'wrong'")
            connection.execute(f"UPDATE run_index SET {wrong}")
        index.update()
        assert [run.name for run in store.runs.stream(RunQuery())] == ["there"], wrong


def test_what_is_written_while_a_round_reads_is_seen_by_the_next(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], mlflow_database_url: str
) -> None:
    run = client.create_run(experiment, run_name="open").info.run_id
    look()
    with psycopg.connect(mlflow_database_url) as early:  # begun before the next round, committed after it
        early.execute("INSERT INTO tags (run_uuid, key, value) VALUES (%s, 'slow', 'x')", (run,))
        client.set_tag(run, "quick", "y")
        found = look()["open"]
        assert ("quick" in found.tags, "slow" in found.tags) == (True, False)
    assert "slow" in look()["open"].tags


def test_odd_times_and_states_are_taken(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], mlflow_database_url: str
) -> None:
    names = ("far", "before", "none")
    for name, time_ms in zip(names, (2**62, -(2**62), None), strict=True):
        run = client.create_run(experiment, run_name=name).info.run_id
        with psycopg.connect(mlflow_database_url) as connection:
            statement = "UPDATE runs SET start_time = %s, status = 'SCHEDULED' WHERE run_uuid = %s"
            connection.execute(statement, (time_ms, run))
    found = look()
    assert [found[name].started_at.year for name in names] == [9999, 1970, 1970]
    assert found["far"].status is RunStatus.RUNNING


def test_mlflow_without_tables_has_no_runs(
    database_installation: Installation, store: Store, experiment: str
) -> None:
    assert RunIndex(store, database_installation.database_url("postgres")).update() == 0
    assert store.freshness.of().indexed_at is None


def test_a_dead_postgres_is_named(store: Store) -> None:
    with pytest.raises(ServiceUnavailable, match="postgres"), MLflowTables(DEAD).snapshot():
        pass


DEAD = "postgresql://mlops:x@127.0.0.1:1/mlflow"


def test_one_of_two_threads_writes_and_the_other_takes_over(
    client: mlflow.MlflowClient, experiment: str, store: Store, database_url: str, mlflow_database_url: str
) -> None:
    rounds: list[str] = []
    inside = threading.Lock()

    class Counted(RunIndex):
        def __init__(self, name: str, *given: Any) -> None:
            super().__init__(*given)
            self.name = name

        def update(self) -> int:
            assert inside.acquire(blocking=False), "two wrote at once"
            try:
                rounds.append(self.name)
                return super().update()
            finally:
                inside.release()

    first, second = (
        Indexer(Presence(database_url, INDEX_LOCK), Counted(name, store, mlflow_database_url))
        for name in ("a", "b")
    )
    first.start()
    until(lambda: "a" in rounds)
    second.start()
    try:
        client.create_run(experiment, run_name="seen")
        until(lambda: [run.name for run in store.runs.latest("indexed")] == ["seen"])
        assert set(rounds) == {"a"}
        first.stop()
        until(lambda: "b" in rounds)
    finally:
        second.stop()


def test_a_thread_goes_on_after_a_round_that_failed(
    experiment: str,
    store: Store,
    database_url: str,
    mlflow_database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[int] = []

    class Failing(RunIndex):
        def update(self) -> int:
            tried.append(1)
            raise ValueError("odd") if len(tried) == 1 else ServiceUnavailable("postgres", "away")

    indexer = Indexer(Presence(database_url, INDEX_LOCK), Failing(store, mlflow_database_url))
    indexer.start()
    until(lambda: len(tried) > 2)
    indexer.stop()
    assert "a round of the index of runs failed" in caplog.text
    assert "the index of runs waits" in caplog.text


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_mlflows_tables_are_only_read(index: RunIndex) -> None:
    with pytest.raises(ServiceUnavailable, match="read-only"), index._tables.snapshot() as snapshot:
        snapshot._connection.execute("DELETE FROM runs")


def test_a_model_versions_files_are_found_where_mlflow_put_them(
    tables: Tables, experiment: str, index: RunIndex, store: Store, mlflow_database_url: str
) -> None:
    run = tables.client.create_run(experiment).info
    logged = tables.client.create_logged_model(experiment, name="m", source_run_id=run.run_id)
    model = f"depth {uuid.uuid4().hex[:6]}"
    tables.register(model, run.run_id)
    with psycopg.connect(mlflow_database_url) as connection:
        change = "UPDATE model_versions SET source = %s WHERE name = %s"
        connection.execute(change, [f"models:/{logged.model_id}", model])
    index.update()
    (found,) = store.model_versions.of_model("indexed", model, 10)
    assert (found.location, found.run_location) == (logged.artifact_location, run.artifact_uri)


def test_model_versions_are_read_where_mlflows_rows_changed(
    tables: Tables, experiment: str, index: RunIndex, store: Store
) -> None:
    tables.register(f"feed {uuid.uuid4().hex[:6]}")
    index.update()
    store.model_versions.put([])
    assert index.update() == 0, "MLflow's own rows are as they were"
