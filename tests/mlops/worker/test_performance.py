"""What rules ask of performance, looked at one by one."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from mlops.entities import Performance
from mlops.errors import InvalidInput
from mlops.monitoring.performance_desk import PerformanceDesk
from mlops.store.labelled import Effort
from mlops.store.store import Store
from mlops.worker import performance
from mlops.worker.performance import EVERY_S, PerformanceReadings


class Desk(PerformanceDesk):
    """One that notes what it is asked."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.asked: list[str] = []
        self.fails = False

    def rows(self, project: str, model: str, window_s: float, effort: Effort) -> list[Performance]:
        self.asked.append(model)
        if self.fails:
            raise InvalidInput("window", "", "has too much")
        return super().rows(project, model, window_s, effort)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(performance, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def test_each_is_looked_at_in_its_turn(desk: Desk, clock: list[float]) -> None:
    readings = PerformanceReadings(desk)

    def round_of(*models: str) -> list[Any]:
        readings.refresh()
        clock[0] += 1
        return [readings.read("alpha", model, 3600.0) for model in models]

    assert round_of("a", "b") == [None, None]
    assert sorted(map(str, round_of("a", "b"))) == ["None", "[]"]
    assert round_of("a", "b") == [[], []]
    assert sorted(desk.asked) == ["a", "b"]
    round_of("a", "b")
    assert len(desk.asked) == 2, "none is due"
    clock[0] += EVERY_S
    round_of("a", "b")
    round_of("a", "b")
    assert sorted(desk.asked) == ["a", "a", "b", "b"]
    round_of("a")
    round_of("a")
    assert round_of("b") == [None], "what nobody asked for is forgotten"


def test_what_takes_too_long_stays_as_it_was(
    desk: Desk, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    readings = PerformanceReadings(desk)
    desk.fails = True
    readings.read("alpha", "a", 3600.0)
    with caplog.at_level(logging.WARNING):
        readings.refresh()
    assert "alpha/a" in caplog.text
    assert readings.read("alpha", "a", 3600.0) is None
    desk.fails = False
    clock[0] += EVERY_S
    readings.refresh()
    assert readings.read("alpha", "a", 3600.0) == []
