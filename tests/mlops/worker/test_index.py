"""The index of runs, from a database that MLflow made and its own client wrote to."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import psycopg
import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType

from mlops.entities import USED_KEY, DataCheck, DataVersion, ProjectWorkspace, RunStatus
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.run_query import RunQuery
from mlops.store.store import Store
from mlops.tracking.datasets import dataset_input
from mlops.worker.index import RunIndex
from mlops.worker.indexer import Indexer
from mlops.worker.mlflow_tables import MLflowTables
from mlops.worker.presence import INDEX_LOCK, Presence

Runs = dict[str, IndexedRun]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    store.upgrade()
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE projects, run_index CASCADE")
    yield store
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE projects, run_index CASCADE")
    store.close()


@pytest.fixture
def client(mlflow_database: mlflow.MlflowClient) -> mlflow.MlflowClient:
    return mlflow_database


@pytest.fixture
def experiment(client: mlflow.MlflowClient, mlflow_database_url: str, store: Store) -> str:
    """Of a workspace of its own, which the project `indexed` has: other tests use the default one."""
    return add_project(client, mlflow_database_url, store, "indexed")


def add_project(client: mlflow.MlflowClient, url: str, store: Store, name: str) -> str:
    namespace = f"{name}-{uuid.uuid4().hex[:8]}"
    made = client.create_experiment(f"of {namespace}", artifact_location="file:///nowhere")
    with psycopg.connect(url) as connection:
        statement = "UPDATE experiments SET workspace = %s WHERE experiment_id = %s"
        connection.execute(statement, (namespace, int(made)))
    store.projects.put(ProjectWorkspace(name, namespace, "1", "", "", "", Path("/")), {})
    return str(made)


@pytest.fixture
def index(store: Store, mlflow_database_url: str) -> RunIndex:
    return RunIndex(store, mlflow_database_url)


@pytest.fixture
def look(store: Store, index: RunIndex) -> Callable[[], Runs]:
    """The index after a further round, by the runs' names."""

    def read() -> Runs:
        index.update()
        return {run.name: run for run in store.runs.stream(RunQuery())}

    return read


def log(client: mlflow.MlflowClient, run: str, key: str, *values: float, step: int = 0) -> None:
    client.log_batch(run, metrics=[Metric(key, value, step + i, step + i) for i, value in enumerate(values)])


def test_a_run_of_plain_mlflow_appears_with_all_it_logged(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], index: RunIndex
) -> None:
    look()
    run = client.create_run(experiment, start_time=1000, run_name="first", tags={"mlflow.user": "ada"})
    id = run.info.run_id
    client.log_batch(
        id,
        metrics=[Metric("loss", value, 0, step) for step, value in enumerate((0.5, 0.1, 0.3))]
        + [Metric("odd", math.nan, 1, 0), Metric("endless", -math.inf, 1, 0)],
        params=[Param("lr", "0.1"), Param("long", "x" * 501)],
        tags=[RunTag("data", "synthetic"), RunTag("document", "x" * 501)],
    )
    found = look()["first"]
    assert (found.id, found.project, found.user) == (id, "indexed", "ada")
    assert found.experiment.startswith("of indexed")
    assert (found.status, found.started_at.timestamp(), found.ended_at) == (RunStatus.RUNNING, 1, None)
    assert found.params == {"lr": "0.1"}
    assert found.tags["data"] == "synthetic"
    assert "document" not in found.tags
    assert found.metrics["loss"] == MetricSummary(0.3, 0.1, 0.5, 2, 0, 3)
    assert repr(found.metrics["odd"]) == repr(MetricSummary(math.nan, math.nan, math.nan, 0, 1, 1))
    assert found.metrics["endless"].last == found.metrics["endless"].min == -math.inf
    assert found.as_run().metrics == {"loss": 0.3}
    assert index.update() == 0


def test_what_is_logged_later_is_seen_at_once(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs]
) -> None:
    run = client.create_run(experiment, run_name="goes on").info.run_id
    log(client, run, "loss", 0.5, 0.4)
    look()
    log(client, run, "loss", math.nan, 0.9, 0.1, 0.3, step=2)
    log(client, run, "acc", 1.0)
    found = look()["goes on"]
    assert found.metrics["loss"] == MetricSummary(0.3, 0.1, 0.9, 5, 5, 6)
    assert found.metrics["acc"].last == 1
    log(client, run, "loss", math.nan, step=6)
    log(client, run, "loss", math.inf, step=7)
    assert look()["goes on"].metrics["loss"] == MetricSummary(math.inf, 0.1, math.inf, 7, 7, 8)
    log(client, run, "loss", 0.2, step=8)
    client.set_tag(run, "stage", "prod")
    client.log_param(run, "lr", "1")
    found = look()["goes on"]
    assert found.metrics["loss"] == MetricSummary(0.2, 0.1, math.inf, 8, 8, 9)
    assert (found.tags["stage"], found.params) == ("prod", {"lr": "1"})


def test_the_primary_metric_is_kept_as_a_spark(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], index: RunIndex, store: Store
) -> None:
    namespace = store.projects.get("indexed").namespace
    store.projects.put(
        ProjectWorkspace("indexed", namespace, "1", "", "", "", Path("/")), {"primary_metric": "loss"}
    )
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


def test_values_without_a_step_are_all_seen(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs]
) -> None:
    run = client.create_run(experiment, run_name="stepless").info.run_id
    for time_ms, value in ((5, 0.5), (6, 0.1), (7, 0.7)):
        client.log_metric(run, "loss", value, timestamp=time_ms)
        found = look()["stepless"].metrics["loss"]
    assert found == MetricSummary(0.7, 0.1, 0.7, 0, 7, 3)


def test_what_came_late_counts_from_the_runs_end_on(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs]
) -> None:
    run = client.create_run(experiment, run_name="late").info.run_id
    log(client, run, "loss", 0.5, step=10)
    look()
    log(client, run, "loss", 0.01, step=3)
    assert look()["late"].metrics["loss"].min == 0.5
    client.set_terminated(run, "FAILED", end_time=9000)
    found = look()["late"]
    assert (found.status, found.ended_at and found.ended_at.timestamp()) == (RunStatus.FAILED, 9)
    assert found.metrics["loss"] == MetricSummary(0.5, 0.01, 0.5, 10, 10, 2)


def test_what_is_written_to_a_run_that_is_over_is_seen(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs]
) -> None:
    run = client.create_run(experiment, run_name="over").info.run_id
    client.set_terminated(run)
    look()
    log(client, run, "loss", 0.5)
    client.set_tag(run, "note", "good")
    found = look()["over"]
    assert found.metrics["loss"].last == 0.5
    assert found.tags["note"] == "good"
    client.update_run(run, name="renamed")
    assert look().keys() == {"renamed"}


def test_a_run_is_gone_while_it_is_deleted(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], store: Store
) -> None:
    run = client.create_run(experiment, run_name="comes back").info.run_id
    log(client, run, "loss", 0.5)
    assert look().keys() == {"comes back"}
    client.delete_run(run)
    assert look() == {}
    client.restore_run(run)
    assert look()["comes back"].metrics["loss"].last == 0.5
    client.delete_experiment(experiment)
    assert look() == {}
    client.restore_experiment(experiment)
    assert look().keys() == {"comes back"}


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


def test_a_project_that_comes_or_goes_takes_its_runs_with_it(
    client: mlflow.MlflowClient,
    experiment: str,
    look: Callable[[], Runs],
    store: Store,
    mlflow_database_url: str,
) -> None:
    client.create_run(experiment, run_name="mine")
    workspace = store.projects.get("indexed")
    other = add_project(client, mlflow_database_url, store, "other")
    client.create_run(other, run_name="another's")
    store.projects.remove("other")
    assert look().keys() == {"mine"}
    store.projects.remove("indexed")
    assert look() == {}
    store.projects.put(workspace, {})
    assert look().keys() == {"mine"}
    store.projects.remove("indexed")
    store.projects.put(workspace, {})  # between two rounds
    assert look().keys() == {"mine"}


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
    assert store.runs.indexed_at() is None
    RunIndex(store, mlflow_database_url).update()
    assert [run.name for run in store.runs.latest("indexed", 9)] == [f"run {n}" for n in (4, 3, 2, 1, 0)]
    assert all(
        run.metrics["loss"] == MetricSummary(0.3, 0.1, 0.5, 2, 2, 3) for run in store.runs.stream(RunQuery())
    )
    assert store.runs.indexed_at() is not None


def test_a_halted_round_leaves_its_progress_as_it_was(
    client: mlflow.MlflowClient, experiment: str, index: RunIndex, store: Store
) -> None:
    client.create_run(experiment)
    index.halt()
    assert index.update() == 0
    assert store.runs.indexed_at() is None


def test_a_rebuild_makes_every_row_right_while_the_old_ones_are_there(
    client: mlflow.MlflowClient, experiment: str, index: RunIndex, store: Store, database_url: str
) -> None:
    run = client.create_run(experiment, run_name="right").info.run_id
    log(client, run, "loss", 0.5)
    index.update()
    right = list(store.runs.stream(RunQuery()))
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE runs SET name = 'wrong', tags = '{}'")
        connection.execute("UPDATE run_metrics SET last = 7, points = 9")
        connection.execute("INSERT INTO run_metrics VALUES (%s, 'none', 'indexed', 1, 1, 1, 1, 1, 1)", (run,))
        connection.execute(
            "INSERT INTO runs (id, project, name, status, started_at)"
            " VALUES ('none', 'indexed', '', 'RUNNING', now())"
        )
    index.update()
    assert len(list(store.runs.stream(RunQuery()))) == 2, "nobody noticed"
    asked = store.run_index.ask_for_rebuild()
    index.update()
    assert list(store.runs.stream(RunQuery())) == right
    progress = store.run_index.progress()
    assert progress.rebuild_asked_at is None
    assert progress.indexed_at is not None
    assert progress.indexed_at >= asked


def test_a_rebuild_asked_for_meanwhile_stays_due(
    client: mlflow.MlflowClient,
    experiment: str,
    index: RunIndex,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.create_run(experiment)
    store.run_index.ask_for_rebuild()
    put = store.run_index.put

    def put_and_ask(found: list[IndexedRun]) -> int:
        store.run_index.ask_for_rebuild()
        return put(found)

    monkeypatch.setattr(store.run_index, "put", put_and_ask)
    index.update()
    assert store.run_index.progress().rebuild_asked_at is not None


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
    assert store.runs.indexed_at() is None


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


def test_the_index_changes_nothing_of_mlflows(
    client: mlflow.MlflowClient, experiment: str, index: RunIndex
) -> None:
    run = client.create_run(experiment, run_name="untouched").info.run_id
    before = client.get_run(run).to_dictionary()
    index.update()
    assert client.get_run(run).to_dictionary() == before
    assert [each.info.run_id for each in client.search_runs([experiment], "", ViewType.ALL)] == [run]
    with pytest.raises(ServiceUnavailable, match="read-only"), index._tables.snapshot() as snapshot:
        snapshot._connection.execute("DELETE FROM runs")


@pytest.fixture
def register(client: mlflow.MlflowClient, mlflow_database_url: str, store: Store, experiment: str):
    """Makes a version of a model in the workspace of `indexed`, in the database that MLflow made."""
    (project,) = (each for each in store.projects.all() if each.project_name == "indexed")

    def make(model: str, run_id: str = "", source: str = "mlflow-artifacts:/x", **tags: str) -> int:
        # MLflow's client without a server is in the default workspace alone: it writes there, and all moves.
        with psycopg.connect(mlflow_database_url) as connection:
            move = "UPDATE registered_models SET workspace = %s WHERE name = %s AND workspace = %s"
            known = connection.execute(move, ("default", model, project.namespace)).rowcount
        if not known:
            client.create_registered_model(model)
        made = client.create_model_version(model, source, run_id or None, tags=tags)
        with psycopg.connect(mlflow_database_url) as connection:
            connection.execute(move, (project.namespace, model, "default"))
        return int(made.version)

    return make


def test_model_versions_appear_with_aliases_tags_and_places(
    client: mlflow.MlflowClient,
    mlflow_database_url: str,
    experiment: str,
    index: RunIndex,
    store: Store,
    register,
) -> None:
    run = client.create_run(experiment, run_name="made it").info
    logged = client.create_logged_model(experiment, name="m", source_run_id=run.run_id)
    index.update()
    model = f"depth {uuid.uuid4().hex[:6]}"
    register(model, flavor="onnx", long="x" * 501)
    register(model, run.run_id)
    with psycopg.connect(mlflow_database_url) as connection:
        connection.execute(
            "UPDATE model_versions SET source = %s WHERE name = %s AND version = 2",
            [f"models:/{logged.model_id}", model],
        )
    assert index.update() == 2
    assert index.update() == 0
    second, first = store.model_versions.of_model("indexed", model, 10)
    assert (first.version, first.flavor, first.tags) == (1, "onnx", {"flavor": "onnx"})
    assert (first.run_id, first.location, first.run_location) == ("", "mlflow-artifacts:/x", "")
    assert (second.run_id, second.run_location) == (run.run_id, run.artifact_uri)
    assert second.location == logged.artifact_location
    with psycopg.connect(mlflow_database_url) as connection:
        connection.execute(
            "INSERT INTO registered_model_aliases (alias, version, name, workspace)"
            " SELECT 'champion', 2, name, workspace FROM registered_models WHERE name = %s",
            [model],
        )
    assert index.update() == 1
    ((head, count),) = store.model_versions.heads("indexed")
    assert (head.version, head.aliases, count) == (2, ("champion",), 2)


def test_model_versions_that_go_leave_the_index(
    mlflow_database_url: str, index: RunIndex, store: Store, register
) -> None:
    model = f"wear {uuid.uuid4().hex[:6]}"
    register(model, source="mlflow-artifacts:/1")
    register(model, source="mlflow-artifacts:/2")
    index.update()
    gone = "UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE name = %s AND version = 1"
    with psycopg.connect(mlflow_database_url) as connection:
        connection.execute(gone, [model])
    assert index.update() == 1
    assert [each.version for each in store.model_versions.of_model("indexed", model, 10)] == [2]
    with psycopg.connect(mlflow_database_url) as connection:
        connection.execute("DELETE FROM model_versions WHERE name = %s", [model])
    assert index.update() == 1
    assert store.model_versions.heads("indexed") == []


def test_a_rebuild_reads_the_model_versions_too(index: RunIndex, store: Store, register) -> None:
    model = f"feed {uuid.uuid4().hex[:6]}"
    register(model)
    index.update()
    store.model_versions.put([])
    assert index.update() == 0, "MLflow's own rows are as they were"
    store.run_index.ask_for_rebuild()
    index.update()
    assert [each.version for each in store.model_versions.of_model("indexed", model, 10)] == [1]


def test_data_that_a_run_used_is_known_with_it(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], store: Store, index: RunIndex
) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    version = DataVersion("indexed", "data/raw", "0" * 32 + ".dir", 12, 3, "f00", False, "/remote",
                          (DataCheck("rows", False, "2 < 3"),), declared=True)  # fmt: skip
    run = client.create_run(experiment, run_name="reads").info.run_id
    look()
    stated = dataset_input(version)
    tags = [InputTag(each["key"], each["value"]) for each in stated["tags"]]
    other = Dataset("iris", "abc", "local", "{}")
    client.log_inputs(run, [DatasetInput(Dataset(**stated["dataset"]), tags), DatasetInput(other, [])])
    look()
    (known,) = store.data.all("indexed", "", 10)
    assert (known.used_by, known.declared_by) == (0, 1)
    assert (known.version.size_bytes, known.version.files, known.version.git_revision) == (12, 3, "f00")
    assert known.version.checks == version.checks
    client.set_tag(run, USED_KEY + version.hash, version.path)
    look()
    assert store.data.all("indexed", "", 10)[0].used_by == 1
    assert index.update() == 0
