"""The watch, in its thread, over a real Postgres."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from mlops.entities import AlertState, ServiceState, ServiceStatus
from mlops.errors import ServiceUnavailable
from mlops.monitoring.channels.base import Channel
from mlops.monitoring.readings import Facts
from mlops.store.store import Store
from mlops.worker.deliveries import Deliveries
from mlops.worker.presence import WATCH_LOCK, Presence
from mlops.worker.watch import Watch
from tests.mlops.worker.test_deliveries import Told

DISK = {"kind": "disk_low", "threshold": 0.5}


class Watched:
    """A watch whose facts are ours."""

    def __init__(self, store: Store, url: str, facts: Callable[[], Facts], channel: Told) -> None:
        def open_channel(project: str, name: str) -> Channel:
            return channel

        self.channel = channel
        self.watch = Watch(store, Presence(url, WATCH_LOCK), facts, Deliveries(store, open_channel))
        self.watch.start()

    def until_told(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.channel.notices) < count:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.worker.watch.EVERY_S", 0.05)


def test_what_is_wrong_is_told_and_that_it_is_over(store: Store, database_url: str) -> None:
    store.alert_rules.add("", "disk", DISK)
    free = [0.2]
    watched = Watched(store, database_url, lambda: Facts(datetime.now(UTC), disk_free=free[0]), Told())
    watched.until_told(1)
    free[0] = 0.9
    watched.until_told(2)
    watched.watch.stop()
    fired, resolved = watched.channel.notices
    assert (fired.event, fired.alert.rule, fired.alert.state) == ("fired", "disk", AlertState.FIRING)
    assert (resolved.event, resolved.alert.state) == ("resolved", AlertState.RESOLVED)


def test_of_two_one_watches_and_the_other_takes_over(store: Store, database_url: str) -> None:
    store.alert_rules.add("", "disk", DISK)
    found: list[str] = []

    def facts(name: str) -> Callable[[], Facts]:
        def find() -> Facts:
            found.append(name)
            return Facts(datetime.now(UTC), disk_free=0.2)

        return find

    channel = Told()
    first = Watched(store, database_url, facts("first"), channel)
    first.until_told(1)
    second = Watched(store, database_url, facts("second"), channel)
    time.sleep(0.5)
    assert set(found) == {"first"}
    first.watch.stop()
    deadline = time.monotonic() + 30
    while "second" not in found:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second.watch.stop()
    assert len(channel.notices) == 1, "told once, whoever watches"


def test_it_outlives_a_round_that_fails(store: Store, database_url: str) -> None:
    failures: list[Exception] = [ServiceUnavailable("postgres", "away"), ValueError("a fault of ours")]

    def facts() -> Facts:
        if failures:
            raise failures.pop()
        return Facts(datetime.now(UTC), services=[ServiceStatus("ray", ServiceState.HEALTHY)], disk_free=0.01)

    watched = Watched(store, database_url, facts, Told())
    watched.until_told(1)
    watched.watch.stop()
    assert not failures
