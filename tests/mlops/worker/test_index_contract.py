"""What the index of runs promises, however MLflow is read: by its tables, or by the API of one elsewhere."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable

import mlflow
import psycopg
import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType

from mlops.entities import USED_KEY, DataCheck, DataVersion, RunStatus
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.run_query import RunQuery
from mlops.store.store import Store
from mlops.tracking.datasets import dataset_input
from mlops.worker.indexer import Index

from .conftest import Runs, Source


@pytest.fixture(params=["tables", pytest.param("api", marks=pytest.mark.xdist_group("mlflow_server"))])
def source(request: pytest.FixtureRequest) -> Source:
    """Each of them."""
    return request.getfixturevalue(request.param)


def log(client: mlflow.MlflowClient, run: str, key: str, *values: float, step: int = 0) -> None:
    client.log_batch(run, metrics=[Metric(key, value, step + i, step + i) for i, value in enumerate(values)])


def test_a_run_of_plain_mlflow_appears_with_all_it_logged(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], index: Index
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


def test_a_project_that_comes_or_goes_takes_its_runs_with_it(
    source: Source, experiment: str, look: Callable[[], Runs], store: Store
) -> None:
    source.client.create_run(experiment, run_name="mine")
    workspace = store.projects.get("indexed")
    source.client.create_run(source.add_project("other"), run_name="another's")
    store.projects.remove("other")
    assert look().keys() == {"mine"}
    store.projects.remove("indexed")
    assert look() == {}
    store.projects.put(workspace, {})
    assert look().keys() == {"mine"}
    store.projects.remove("indexed")
    store.projects.put(workspace, {})  # between two rounds
    assert look().keys() == {"mine"}


def test_a_halted_round_leaves_its_progress_as_it_was(
    client: mlflow.MlflowClient, experiment: str, index: Index, store: Store
) -> None:
    client.create_run(experiment)
    index.halt()
    assert index.update() == 0
    assert store.freshness.of().indexed_at is None


def test_a_rebuild_makes_every_row_right_while_the_old_ones_are_there(
    client: mlflow.MlflowClient, experiment: str, index: Index, store: Store, database_url: str
) -> None:
    run = client.create_run(experiment, run_name="right").info.run_id
    log(client, run, "loss", 0.5)
    index.update()
    right = list(store.runs.stream(RunQuery()))
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE runs SET name = 'wrong', tags = '{}'")
        connection.execute("UPDATE run_metrics SET min = -7, points = 9")
        connection.execute("INSERT INTO run_metrics VALUES (%s, 'none', 'indexed', 1, 1, 1, 1, 1, 1)", (run,))
        connection.execute(
            "INSERT INTO runs (id, project, name, status, started_at)"
            " VALUES ('none', 'indexed', '', 'RUNNING', now())"
        )
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
    index: Index,
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


def test_the_index_changes_nothing_of_mlflows(
    client: mlflow.MlflowClient, experiment: str, index: Index
) -> None:
    run = client.create_run(experiment, run_name="untouched").info.run_id
    before = client.get_run(run).to_dictionary()
    index.update()
    assert client.get_run(run).to_dictionary() == before
    assert [each.info.run_id for each in client.search_runs([experiment], "", ViewType.ALL)] == [run]


def test_model_versions_appear_with_aliases_and_tags(
    source: Source, experiment: str, index: Index, store: Store
) -> None:
    run = source.client.create_run(experiment, run_name="made it").info
    index.update()
    model = f"depth {uuid.uuid4().hex[:6]}"
    source.register(model, flavor="onnx", long="x" * 501)
    source.register(model, run.run_id)
    assert index.update() == 2
    assert index.update() == 0
    second, first = store.model_versions.of_model("indexed", model, 10)
    assert (first.version, first.flavor, first.tags) == (1, "onnx", {"flavor": "onnx"})
    assert (first.run_id, first.location, first.run_location) == ("", "s3://models/x", "")
    assert second.run_id == run.run_id
    assert store.model_versions.of_run("indexed", run.run_id) == [second]
    source.set_alias(model, "champion", 2)
    assert index.update() == 1
    ((head, count),) = store.model_versions.heads("indexed")
    assert (head.version, head.aliases, count) == (2, ("champion",), 2)


def test_model_versions_that_go_leave_the_index(
    source: Source, experiment: str, index: Index, store: Store
) -> None:
    model = f"wear {uuid.uuid4().hex[:6]}"
    source.register(model)
    source.register(model)
    index.update()
    source.delete_version(model, 1)
    assert index.update() == 1
    assert [each.version for each in store.model_versions.of_model("indexed", model, 10)] == [2]
    source.delete_version(model, 2)
    assert index.update() == 1
    assert store.model_versions.heads("indexed") == []


def test_a_rebuild_reads_the_model_versions_too(
    source: Source, experiment: str, index: Index, store: Store
) -> None:
    model = f"feed {uuid.uuid4().hex[:6]}"
    source.register(model)
    index.update()
    store.model_versions.put([])
    store.run_index.ask_for_rebuild()
    index.update()
    assert [each.version for each in store.model_versions.of_model("indexed", model, 10)] == [1]


def test_data_that_a_run_used_is_known_with_it(
    client: mlflow.MlflowClient, experiment: str, look: Callable[[], Runs], store: Store, index: Index
) -> None:
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
