"""Telling alerts: lanes, failures, and an end that loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from mlops.entities import ServiceState, ServiceStatus
from mlops.errors import ConfigError, NotDelivered
from mlops.monitoring.alerts import evaluate
from mlops.monitoring.channels.base import Channel, Notice
from mlops.monitoring.readings import Facts
from mlops.monitoring.rules import Kind, Rule
from mlops.store.store import Store
from mlops.worker.deliveries import Deliveries


class Told:
    """A channel that keeps what it is told, or fails as it is made to."""

    def __init__(self, name: str = "told") -> None:
        self.name = name
        self.notices: list[Notice] = []
        self.failure: NotDelivered | None = None
        self.gate = threading.Event()
        self.gate.set()

    def send(self, notice: Notice) -> None:
        assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure
        self.notices.append(notice)


@pytest.fixture
def channels() -> dict[str, Told]:
    return {"a": Told("a"), "b": Told("b")}


@pytest.fixture
def deliveries(store: Store, channels: dict[str, Told]) -> Iterator[Deliveries]:
    def open_channel(project: str, name: str) -> Channel:
        if name not in channels:
            raise ConfigError(f"no channel {name!r}")
        return channels[name]

    made = Deliveries(store, open_channel)
    yield made
    for each in channels.values():
        each.gate.set()
    made.close()


@pytest.fixture
def fire(store: Store) -> Callable[..., None]:
    """Has an alert fire of each service, by channels."""

    def alert(*services: str, by: tuple[str, ...] = ("a",)) -> None:
        rule = Rule("down", Kind.SERVICE_DOWN, channels=by)
        found = [ServiceStatus(name, ServiceState.UNHEALTHY) for name in services]
        evaluate([rule], Facts(datetime.now(UTC), services=found), store.alerts)

    return alert


def looked(deliveries: Deliveries, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        deliveries.look()
        time.sleep(0.01)


def test_each_is_told_once(
    deliveries: Deliveries, channels: dict[str, Told], fire: Callable[..., None], store: Store
) -> None:
    fire("ray", "mlflow", by=("a", "b"))
    looked(deliveries, lambda: len(channels["a"].notices) == len(channels["b"].notices) == 2)
    looked(deliveries, lambda: not store.alerts.due(datetime.now(UTC)))
    deliveries.look()
    deliveries.close()
    assert {notice.alert.subject for notice in channels["a"].notices} == {"ray", "mlflow"}
    assert len({notice.id for notice in channels["a"].notices}) == 2
    assert len(channels["a"].notices) == 2


def test_one_that_hangs_holds_up_no_other(
    deliveries: Deliveries, channels: dict[str, Told], fire: Callable[..., None]
) -> None:
    channels["a"].gate.clear()
    fire("ray", by=("a", "b"))
    looked(deliveries, lambda: len(channels["b"].notices) == 1)
    assert channels["a"].notices == []
    channels["a"].gate.set()
    looked(deliveries, lambda: len(channels["a"].notices) == 1)


def test_what_may_work_later_is_tried_again_with_the_same_id(
    deliveries: Deliveries,
    channels: dict[str, Told],
    fire: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlops.worker.deliveries.FIRST_PAUSE_S", 0.1)
    channels["a"].failure = NotDelivered("a", "refused", again=True)
    fire("ray")
    for _ in range(20):
        deliveries.look()
        time.sleep(0.01)
    channels["a"].failure = None
    looked(deliveries, lambda: len(channels["a"].notices) == 1)
    assert channels["a"].notices[0].id.endswith("-fired")


def test_a_dead_channel_with_many_crowds_out_no_other(
    deliveries: Deliveries, channels: dict[str, Told], fire: Callable[..., None], store: Store
) -> None:
    channels["a"].failure = NotDelivered("a", "refused", again=True)
    fire(*(f"service-{number}" for number in range(1200)))
    looked(deliveries, lambda: len(store.alerts.due(datetime.now(UTC), most=2000)) < 1000)
    fire("last", by=("b",))
    looked(deliveries, lambda: len(channels["b"].notices) == 1)
    assert channels["a"].notices == []


def test_a_fault_of_a_channel_is_tried_again(
    deliveries: Deliveries,
    channels: dict[str, Told],
    fire: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlops.worker.deliveries.FIRST_PAUSE_S", 0.1)
    faults = [ValueError("a fault of ours")]
    send = channels["a"].send
    monkeypatch.setattr(channels["a"], "send", lambda notice: send(notice) if not faults else raised(faults))
    fire("ray")
    looked(deliveries, lambda: len(channels["a"].notices) == 1)


def raised(faults: list[Exception]) -> None:
    raise faults.pop()


def test_what_cannot_work_is_given_up(
    deliveries: Deliveries, channels: dict[str, Told], fire: Callable[..., None], store: Store
) -> None:
    channels["a"].failure = NotDelivered("a", "no such receiver", again=False)
    fire("ray", by=("a", "unknown"))
    looked(deliveries, lambda: not store.alerts.due(datetime.now(UTC)))
    channels["a"].failure = None
    deliveries.look()
    deliveries.close()
    assert channels["a"].notices == []


def test_its_end_waits_for_what_is_being_told(
    deliveries: Deliveries, channels: dict[str, Told], fire: Callable[..., None], store: Store
) -> None:
    channels["a"].gate.clear()
    fire(*(f"service-{number}" for number in range(50)))
    deliveries.look()
    end = threading.Thread(target=deliveries.close)
    end.start()
    channels["a"].gate.set()
    end.join(30)
    assert not end.is_alive()
    told = {notice.alert.subject for notice in channels["a"].notices}
    left = {delivery.alert.subject for delivery in store.alerts.due(datetime.now(UTC), most=100)}
    assert told.isdisjoint(left)
    assert len(told | left) == 50, "none lost, none to be told twice"
