"""A project's tracker whose way to the server can be cut, and a run inside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops.entities import Run, RunStatus
from mlops.tracking import open_runs
from mlops.tracking.mlflow import MLflowTracker

NOBODY = "http://127.0.0.1:9"


@dataclass
class Line:
    """The way to the server, which can be cut and mended."""

    url: str
    cut: bool = False

    def __call__(self) -> str:
        return NOBODY if self.cut else self.url


@pytest.fixture(autouse=True)
def nothing_else_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that other tests left open, of another project perhaps: a thread outside may write while the
    process has one project's runs open."""
    monkeypatch.setattr(open_runs, "_runs", {})


@pytest.fixture
def line(mlflow_accounts: Any) -> Line:
    return Line(mlflow_accounts[0].url)


@pytest.fixture
def tracker(mlflow_accounts: Any, line: Line, tmp_path: Path) -> MLflowTracker:
    settings = {**mlflow_accounts[0].settings(), "url": line}
    return MLflowTracker(**settings, journal=tmp_path / "journal")


@pytest.fixture(params=["online", "offline"])
def run(request: pytest.FixtureRequest, tracker: MLflowTracker, line: Line) -> Iterator[Run]:
    """An active run; in the second round the server is away until `delivered`."""
    line.cut = request.param == "offline"
    begun = tracker.start_run("plugin", {}, None)
    with tracker.activate(begun.id):
        yield begun


@pytest.fixture
def delivered(tracker: MLflowTracker, line: Line, run: Run, tmp_path: Path) -> Callable[[], Run]:
    """Mends the line, ends the run, and reads it when the server has everything, refusing nothing."""

    def deliver() -> Run:
        line.cut = False
        tracker.end_run(run.key, RunStatus.FINISHED)
        wait_until(lambda: not (tmp_path / "journal" / run.key).exists())
        return tracker.get_run(run.key)

    return deliver


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until something is so."""
    return wait_until


def wait_until(done: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "not done in time"
        time.sleep(0.05)
