"""From the supervisor's files to the database, and to what needs no database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.config import MLOpsConfig
from mlops.entities import RestartCause, ServiceState, ServiceStatus
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.services.observing import SPAN_S, Observer, observations_dir
from mlops.services.record import read_records, record_file, with_records
from mlops.store.store import Store
from mlops.worker.recorder import ProbeRecorder


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """One of its own beside the database of all tests, and so with rows of its own."""
    made = Installation(MLOpsConfig(home=tmp_path / "home"))
    made.prepare()
    return made


@pytest.fixture
def recorder(store: Store, installation: Installation) -> Iterator[ProbeRecorder]:
    made = ProbeRecorder(store, installation)
    yield made
    made.stop()


def observed(installation: Installation, began: float, up: int, down: int) -> Observer:
    """A supervisor's, whose ray answered for so many s and then did not."""
    now = [began]
    observer = Observer(observations_dir(installation), lambda: now[0], lambda: now[0])
    observer.see("ray", True)
    for second in range(up + down):
        if second == up:
            observer.restarted("ray", RestartCause.KILLED, "exited with -9: secret words")
        now[0] += 1.0
        observer.look()
    return observer


def test_what_was_seen_is_recorded_and_published(recorder: ProbeRecorder, installation: Installation) -> None:
    observed(installation, time.time() - 40, 30, 10).close()
    recorder.look()
    record = read_records(installation)["ray"]
    assert (record.day.share, record.day.down_s, record.restarts_day) == (0.75, 10.0, 1)
    assert record.restarts[0].cause is RestartCause.KILLED
    assert (datetime.now(UTC) - record.as_of).total_seconds() < 60
    assert record_file(installation).stat().st_mode & 0o077 == 0
    known, unknown = with_records(
        [ServiceStatus("ray", ServiceState.HEALTHY), ServiceStatus("mlflow", ServiceState.HEALTHY)],
        read_records(installation),
    )
    assert (known.record, unknown.record) == (record, None)


def test_the_file_of_a_span_that_goes_on_stays_and_one_that_is_over_goes(
    recorder: ProbeRecorder, installation: Installation
) -> None:
    observed(installation, time.time() - 3 * SPAN_S, SPAN_S, 0).close()
    observed(installation, time.time() - 3, 2, 0).close()
    recorder.look()
    recorder.look()
    left = list(observations_dir(installation).glob("*.json"))
    assert len(left) == 1
    assert read_records(installation)["ray"].day.observed == pytest.approx((SPAN_S + 2) / 86_400, rel=0.02)


def test_a_worker_that_is_replaced_counts_nothing_twice(
    store: Store, recorder: ProbeRecorder, installation: Installation
) -> None:
    observed(installation, time.time() - 40, 30, 10).close()
    recorder.look()
    first = read_records(installation)["ray"]
    ProbeRecorder(store, installation).look()
    again = read_records(installation)["ray"]
    assert replace(again, as_of=first.as_of) == first


def test_while_postgres_is_away_files_wait(installation: Installation, store: Store) -> None:
    observed(installation, time.time() - 40, 30, 10).close()
    away = Store("postgresql://nobody@127.0.0.1:1/mlops")
    with pytest.raises(ServiceUnavailable):
        ProbeRecorder(away, installation).look()
    assert read_records(installation) == {}
    ProbeRecorder(store, installation).look()
    assert read_records(installation)["ray"].day.down_s == 10


def test_its_thread_goes_on_after_a_failure(
    recorder: ProbeRecorder, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.worker.recorder.EVERY_S", 0.05)
    run = installation.run_dir
    observations_dir(installation).mkdir(parents=True)
    record_file(installation).mkdir()  # cannot be written
    observed(installation, time.time() - 40, 30, 10).close()
    recorder.start()
    time.sleep(0.3)
    record_file(installation).rmdir()
    monkeypatch.setattr("mlops.worker.recorder.PUBLISH_S", 0.0)
    observed(installation, time.time() - 3, 2, 0).close()
    deadline = time.monotonic() + 20
    while "ray" not in read_records(installation):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert run.is_dir()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"ray": {}}', '{"ray": 1}', '{"ray": {"as_of": "x"}}'])
def test_records_that_cannot_be_read_are_none(installation: Installation, content: str) -> None:
    assert read_records(installation) == {}
    record_file(installation).write_text(content)
    assert read_records(installation) == {}
