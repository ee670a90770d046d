"""Every run tracker, over two projects, for the contract suites."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops.entities import Run
from mlops.tracking.base import RunTracker
from mlops.tracking.memory import MemoryTracker
from mlops.tracking.mlflow import MLflowTracker


@dataclass(frozen=True)
class Two:
    """The trackers of two projects; `again` makes them anew, as another process would see them."""

    a: RunTracker
    b: RunTracker
    again: Callable[[], Two]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each contract over every tracker; import this name into the suite.

    What cannot work while no server answers is marked `needs_server`.
    """
    if "two" in metafunc.fixturenames:
        needy = any(metafunc.definition.iter_markers("needs_server"))
        mlflow = pytest.param("mlflow", marks=pytest.mark.xdist_group("mlflow_server"))
        metafunc.parametrize("two", ["memory", mlflow, *([] if needy else ["offline"])], indirect=True)


@pytest.fixture
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    """Trackers in memory, at an MLflow server, or at a server that does not answer."""
    if request.param == "memory":
        made = Two(MemoryTracker(project="contract-a"), MemoryTracker(project="contract-b"), lambda: made)
        yield made
    elif request.param == "mlflow":
        accounts = request.getfixturevalue("mlflow_accounts")
        yield _over_mlflow([each.settings() for each in accounts], tmp_path)
    else:
        with socket.socket() as silent:  # bound and not listening: nobody else takes the port
            silent.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            yield _over_mlflow([_unknown("contract-a", url), _unknown("contract-b", url)], tmp_path)


@pytest.fixture
def tracker(two: Two) -> RunTracker:
    """One of the two."""
    return two.a


def start(tracker: RunTracker, name: str | None = None, **tags: str) -> Run:
    """A run in the project's own experiment."""
    return tracker.start_run(name, tags, None)


def names_of(run: Run, tracker: RunTracker) -> set[str]:
    """What the run may be called by, now that it is delivered."""
    return {run.key, tracker.get_run(run.key).id}


def _over_mlflow(accounts: list[dict[str, str]], folder: Path, times: int = 0) -> Two:
    a, b = (MLflowTracker(**each, journal=folder / str(times) / each["project"]) for each in accounts)
    return Two(a, b, lambda: _over_mlflow(accounts, folder, times + 1))


def _unknown(project: str, url: str) -> dict[str, str]:
    return {
        "project": project,
        "namespace": project,
        "url": url,
        "username": project,
        "password": "never-asked-for",
        "experiment_id": "1",
    }
