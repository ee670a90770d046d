"""A client's metric history: by the gateway, and through MLflow's API where that cannot be asked."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from mlops.client import MLOpsClient
from mlops.errors import MetricNotFound, RunNotFound
from mlops.installation import Installation
from mlops.remote import Gateway
from mlops.tracking import reading
from mlops.tracking.results import MetricHistory
from mlops.workspace import Workspace


@pytest.fixture
def without_gateway(digits: MLOpsClient, stack: Installation) -> Iterator[MLOpsClient]:
    """The same project's client, whose gateway does not answer."""
    workspace = Workspace.open(digits.project.name, stack)
    dead = Gateway("http://127.0.0.1:1", workspace.token())
    workspace.__dict__["gateway"] = dead
    yield MLOpsClient(digits.project, workspace)
    dead.close()


@pytest.fixture
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever pages values through MLflow's API fails."""

    def refuse(*_: object) -> None:
        raise AssertionError("read through MLflow's API")

    monkeypatch.setattr(reading, "metric_points", refuse)


def told(history: MetricHistory) -> tuple[int, list[tuple[int, str, str]]]:
    return history.total, [(each.step, each.time.isoformat(), repr(each.value)) for each in history]


def trained(client: MLOpsClient) -> str:
    with client.start_run() as run:
        for step, value in enumerate((0.5, math.nan, -math.inf, math.inf, 1e-300, 0.25)):
            client.log_metrics({"train/loss": value}, step=step)
    return run.key


def test_both_ways_of_reading_say_the_same(digits: MLOpsClient, without_gateway: MLOpsClient) -> None:
    key = trained(digits)
    for name in (key, digits.get_run(key).id):
        assert told(digits.metric_history(name, "train/loss")) == told(
            without_gateway.metric_history(name, "train/loss")
        )
    assert digits.metric_history(key, "train/loss").total == 6
    for client in (digits, without_gateway):
        with pytest.raises(MetricNotFound) as caught:
            client.metric_history(key, "none")
        assert caught.value.fields == {"project": "digits", "metric": "none", "run_id": key}


@pytest.mark.usefixtures("no_rest")
def test_the_gateway_gives_what_an_open_run_logged_so_far(digits: MLOpsClient) -> None:
    with digits.start_run() as run:
        for step in range(3):
            digits.log_metrics({"loss": step}, step=step)
            assert [point.value for point in digits.metric_history(run.key, "loss")] == [*range(step + 1)]


@pytest.mark.usefixtures("no_rest")
def test_a_long_run_is_thinned_out_at_the_source(digits: MLOpsClient, stack: Installation) -> None:
    run = digits.get_run(trained(digits)).id
    copy = "COPY metrics (run_uuid, key, step, timestamp, value, is_nan) FROM STDIN"
    url = stack.database_url("mlflow")
    with psycopg.connect(url) as connection, connection.cursor().copy(copy) as into:
        for step in range(100_000):
            value = {41_234: -9.0, 87_654: 9.0}.get(step, math.sin(step))
            into.write_row((run, "train/loss", 10 + step, 1000 + step, value, False))
    history = digits.metric_history(run, "train/loss", 500)
    assert history.total == 100_006
    assert len(history) <= 500
    assert (history[0].step, history[-1].step) == (0, 100_009)
    assert {-9.0, 9.0} <= {point.value for point in history}


def test_another_projects_run_and_a_deleted_one_are_unknown(
    digits: MLOpsClient, drilling: MLOpsClient, without_gateway: MLOpsClient
) -> None:
    key = trained(drilling)
    theirs = [key, drilling.get_run(key).id]
    own = trained(digits)
    gone = [own, digits.get_run(own).id]
    digits.delete_run(own)
    for client in (digits, without_gateway):
        for name in (*theirs, *gone, uuid.uuid4().hex):
            with pytest.raises(RunNotFound) as caught:
                client.metric_history(name, "train/loss")
            assert caught.value.project == "digits"
    assert drilling.metric_history(key, "train/loss").total == 6
