"""The worker's smaller parts: lock and doorbell, heartbeat, how runs are indexed."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mlops.config import MLOpsConfig
from mlops.entities import ProjectWorkspace
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.store.store import Store
from mlops.worker.__main__ import _index
from mlops.worker.heartbeat import Heartbeat
from mlops.worker.polled_index import PolledIndex
from mlops.worker.presence import Presence


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    store.upgrade()
    yield store
    store.close()


def test_one_worker_at_a_time(database_url: str) -> None:
    first, second = Presence(database_url), Presence(database_url)
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    first.let_go()
    deadline = time.monotonic() + 60
    while not second.hold():
        assert time.monotonic() < deadline
    second.let_go()


def test_a_wish_rings(database_url: str, store: Store) -> None:
    store.projects.put(ProjectWorkspace("bell", "bell", "1", "", "", "", Path("/")), {})
    presence = Presence(database_url)
    presence.hold()
    assert not presence.wait(0.05)
    wish = threading.Timer(0.2, lambda: store.deployments.want("bell", "m", 1, 1))
    wish.start()
    assert presence.wait(60)
    wish.join()
    presence.let_go()
    store.projects.remove("bell")


def test_a_broken_connection_is_named_and_made_again(database_url: str) -> None:
    presence = Presence(database_url)
    assert presence.hold()
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mlops-worker'"
        )
    with pytest.raises(ServiceUnavailable):
        presence.wait(5)
    assert presence.hold()
    presence.let_go()


def test_the_heartbeat_is_whole_private_and_ends_with_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "worker.json"
    beat = Heartbeat(path, period_s=0.05, patience_s=2)
    before = time.time()
    beat.start()
    beat.tell(ray="ok", deployments={"running": 2})
    deadline = time.monotonic() + 60
    while (said := json.loads(path.read_text()))["ray"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (said["pid"], said["deployments"]) == (os.getpid(), {"running": 2})
    assert before <= said["at"] <= time.time()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    time.sleep(3)  # the loop says nothing more
    old = json.loads(path.read_text())["at"]
    time.sleep(0.2)
    assert json.loads(path.read_text())["at"] == old
    beat.stop()
    assert not path.exists()


def test_a_beat_is_not_forced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[int] = []
    monkeypatch.setattr(os, "fsync", forced.append)
    beat = Heartbeat(tmp_path / "worker.json")
    beat.start()
    beat.stop()
    assert forced == []


def test_an_mlflow_elsewhere_is_asked_by_its_api(tmp_path: Path, store: Store) -> None:
    config = MLOpsConfig(home=tmp_path, mlflow_uri="https://mlflow.example.org/")
    index = _index(config, Installation(config), store)
    assert isinstance(index, PolledIndex)
    assert index._url == "https://mlflow.example.org"
