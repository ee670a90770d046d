"""What the worker drops, and when it looks again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from mlops.store.partitions import AHEAD_DAYS, Partitions
from mlops.store.retention import Retention
from mlops.store.store import Store
from mlops.worker import housekeeping
from mlops.worker.housekeeping import Housekeeping


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time that the worker sees."""
    now = [1000.0]
    monkeypatch.setattr(housekeeping, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def log(store: Store, project: str, *ages_days: float) -> None:
    store.inferences.add(
        [
            {
                "at": datetime.now(UTC) - timedelta(days=days), "project": project, "model": "depth",
                "version": 1, "side": "champion", "request_id": "r", "status": 200, "latency_s": 0.1,
                "features": None,
            }
            for days in ages_days
        ]
    )  # fmt: skip


def left(store: Store) -> int:
    return sum(len(store.inferences.latest(project, "depth")) for project in ("alpha", "beta"))


def test_there_is_room_for_today_and_the_next_days(store: Store) -> None:
    Housekeeping(store).look()
    now = datetime.now(UTC)
    for days in range(AHEAD_DAYS + 1):
        assert any(each.holds(now + timedelta(days=days)) for each in Partitions(store._engine).all())


def test_it_looks_every_few_minutes(store: Store, add_project, clock: list[float]) -> None:
    add_project("alpha", serving={"log_days": 2})
    keeper = Housekeeping(store)
    keeper.look()
    log(store, "alpha", 1, 5)
    clock[0] += housekeeping.EVERY_S - 1
    keeper.look()
    assert left(store) == 2
    clock[0] += 1
    keeper.look()
    assert left(store) == 1


def test_it_looks_again_soon_where_much_is_due(
    store: Store, add_project, clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(Retention, "BATCH", 2)
    monkeypatch.setattr(Retention, "MOST_ROWS", 2)
    add_project("alpha", serving={"log_days": 2})
    add_project("beta", serving={"log_days": 20})
    log(store, "alpha", 3, 3, 3, 3, 3)
    log(store, "beta", 3, 30)
    keeper = Housekeeping(store)
    with caplog.at_level(logging.INFO, "mlops.worker"):
        keeper.look()
    assert left(store) == 5 - 2 + 1
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "dropped what no project keeps of the inference log",
        "2 inferences were older than their projects keep them",
    ]
    keeper.look()
    assert left(store) == 4
    for remaining in (2, 1, 1):
        clock[0] += housekeeping.SOON_S
        keeper.look()
        assert left(store) == remaining


def test_ground_truths_are_kept_as_long_as_inferences(store: Store, add_project) -> None:
    add_project("alpha", serving={"log_days": 2})
    label = {"request_id": "r", "model": "", "output": "y", "truths": [1]}
    store.ground_truths.put("alpha", [label, label | {"request_id": "new"}], "ann")
    with store._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE ground_truths SET logged_at = now() - interval '3 days' WHERE request_id = 'r'"
        )
    Housekeeping(store).look()
    assert store.ground_truths.of_request("alpha", "r") == []
    assert len(store.ground_truths.of_request("alpha", "new")) == 1
