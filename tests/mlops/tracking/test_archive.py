"""Reading while no server answers, and MLflow's JSON with things missing."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.entities import RunStatus
from mlops.errors import ConfigError, RunOpen, ServiceUnavailable
from mlops.remote import Gateway
from mlops.tracking.compare import best, compare
from mlops.tracking.mlflow import MLflowTracker
from mlops.tracking.rest import Rest
from mlops.tracking.server import MLflowServer


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of a tracker whose server does not answer."""
    with socket.socket() as silent:  # bound and not listening: nobody else takes the port
        silent.bind(("127.0.0.1", 0))
        yield {
            "project": "alpha",
            "namespace": "alpha",
            "url": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "username": "alpha",
            "password": "never-asked-for",
            "experiment_id": "1",
        }


@pytest.fixture
def tracker(settings: dict[str, str], tmp_path: Path) -> MLflowTracker:
    return MLflowTracker(**settings, journal=tmp_path / "journal")


def test_what_only_the_server_knows_is_unavailable_and_says_what_is_safe(tracker: MLflowTracker) -> None:
    run = tracker.start_run(None, {}, None)
    tracker.log(run.key, metrics={"loss": 1.0})
    unknown = uuid.uuid4().hex
    for attempt in (
        lambda: tracker.search_runs(),
        lambda: best(tracker, "alpha", "loss", "min"),
        lambda: tracker.metric_history(run.key, "loss"),
        lambda: tracker.get_run(unknown),
        lambda: tracker.delete_run(unknown),
        lambda: tracker.restore_run(unknown),
    ):
        with pytest.raises(ServiceUnavailable) as caught:
            attempt()
        assert "mlops:sync --status" in caught.value.remedy


def _never_started() -> Gateway:
    raise ConfigError("no port of gateway is recorded")


@pytest.mark.parametrize("reason", ["dead", "never started"])
def test_a_history_without_gateway_and_server_is_unavailable(
    settings: dict[str, str], tmp_path: Path, reason: str
) -> None:
    dead = Gateway(settings["url"], "a-token")
    gateway = {"dead": lambda: dead, "never started": _never_started}[reason]
    tracker = MLflowTracker(**settings, journal=tmp_path / "journal", gateway=gateway)
    with pytest.raises(ServiceUnavailable) as caught:
        tracker.metric_history(uuid.uuid4().hex, "loss")
    assert "mlops:sync --status" in caught.value.remedy
    dead.close()


def test_own_runs_are_read_and_compared_without_a_server(tracker: MLflowTracker) -> None:
    runs = [tracker.start_run(None, {}, None) for _ in range(2)]
    for loss, run in enumerate(runs):
        tracker.log(run.key, metrics={"loss": loss}, params={"rate": loss})
        tracker.end_run(run.key, RunStatus.FINISHED)
    both = compare(tracker, [run.key for run in runs])
    assert both.best == {"loss": runs[0].key}
    assert both.differing == {"rate": {runs[0].key: "0", runs[1].key: "1"}}
    assert [run.mlflow_id for run in both.runs] == [None, None]
    assert both.frame()["metrics.loss"].tolist() == [0.0, 1.0]
    with pytest.raises(RunOpen):  # what it logged was not sent
        tracker.delete_run(runs[0].key)


def test_a_run_that_waits_in_another_process_journal_is_known_by_its_key(
    tracker: MLflowTracker, settings: dict[str, str], tmp_path: Path
) -> None:
    program = (
        "from pathlib import Path; from mlops.tracking.mlflow import MLflowTracker\n"
        f"tracker = MLflowTracker(**{settings!r}, journal=Path({str(tmp_path / 'journal')!r}))\n"
        "print(tracker.start_run('theirs', {'kind': 'x'}, None).key)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    run = tracker.get_run(key)
    assert (run.key, run.name, run.mlflow_id, run.status) == (key, "theirs", None, RunStatus.RUNNING)
    assert run.tags["kind"] == "x"
    with pytest.raises(RunOpen):
        tracker.delete_run(key)


def test_mlflows_json_may_lack_things_and_spell_numbers_as_text() -> None:
    rest = Rest(lambda: "http://127.0.0.1:1/", "alpha", "alpha", "never-asked-for")
    run = MLflowServer(rest, "alpha", "alpha", "1").read(
        {
            "info": {"run_id": "0a1b", "experiment_id": "1", "status": "SCHEDULED"},
            "data": {
                "metrics": [
                    {"key": "nan", "value": "NaN"},
                    {"key": "inf", "value": "-Infinity"},
                    {"key": "zero"},
                ],
                "params": [{"key": "empty"}],
                "tags": [{"key": "empty"}],
            },
        }
    )
    assert (run.key, run.id, run.name, run.status) == ("0a1b", "0a1b", "", RunStatus.RUNNING)
    assert (run.started_at, run.ended_at) == (datetime.fromtimestamp(0, UTC), None)
    assert math.isnan(run.metrics["nan"])
    assert (run.metrics["inf"], run.metrics["zero"]) == (-math.inf, 0.0)
    assert (run.params, run.tags) == ({"empty": ""}, {"empty": ""})
