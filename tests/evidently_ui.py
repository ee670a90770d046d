"""Evidently's real UI in a process of its own, over a workspace with real snapshots."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest

from mlops.config import MLOpsConfig
from mlops.entities import DriftJob, DriftTrigger, JobState
from mlops.installation import Installation
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.evidently import EvidentlyMonitor
from mlops.monitoring.evidently_files import workspace_of
from mlops.monitoring.sample import Sample

UNTIL = datetime(2026, 11, 27, 12, tzinfo=UTC)
_RNG = np.random.default_rng(3)


def a_job(number: int, project: str = "alpha", model: str = "depth", *, version: int = 3) -> DriftJob:
    """A report that was made; the window of each later one ends an hour later."""
    until = UNTIL + timedelta(hours=number)
    return DriftJob(
        number, project, model, version, DriftTrigger.SCHEDULE, "", JobState.DONE,
        asked_at=until, since=until - timedelta(hours=1), until=until,
    )  # fmt: skip


def add_report(installation: Installation, job: DriftJob, moved: float = 0.0) -> None:
    """What the worker's process does once the rows are there."""
    reference, current = (_sample(400, 0.0), _sample(200, moved))
    monitor = EvidentlyMonitor()
    drawing = monitor.draw(reference, current, monitor.report(reference, current, DriftSettings()))
    drawing.add_to(workspace_of(installation.drift_dir), job)


def _sample(rows: int, moved: float) -> Sample:
    inputs = {"torque": _RNG.normal(2.0 + moved, 0.5, rows), "drill": _RNG.choice(["a", "b"], rows)}
    return Sample.of(inputs, {"depth": _RNG.normal(10.0, 1.0, rows)})


@dataclass(frozen=True)
class RunningUi:
    """The UI, and where it is."""

    installation: Installation
    url: str
    secret: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def evidently_ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUi]:
    """Reports 1 and 2 of alpha/depth, 3 of alpha/wear, and 4 of beta/depth are in it."""
    installation = Installation(MLOpsConfig(home=tmp_path_factory.mktemp("evidently") / "home"))
    installation.prepare()
    installation.choose_ports(["evidently_ui"])
    for number, project, model in ((1, "alpha", "depth"), (2, "alpha", "depth"), (3, "alpha", "wear")):
        add_report(installation, a_job(number, project, model), moved=0.6 * (number - 1))
    add_report(installation, a_job(4, "beta", "depth"))
    settings = {"MLOPS_HOME": str(installation.root), "DO_NOT_TRACK": "1"}
    log = (installation.logs_dir / "evidently.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops.monitoring.evidently_ui"],
        env={**os.environ, **settings}, stdout=log, stderr=log,
    )  # fmt: skip
    url = installation.evidently_ui_url
    try:
        _wait(url, process, installation)
        yield RunningUi(installation, url, installation.secret("evidently_secret"), process)
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _wait(url: str, process: subprocess.Popen[bytes], installation: Installation) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        late = time.monotonic() > deadline or process.poll() is not None
        assert not late, (installation.logs_dir / "evidently.log").read_text()
        time.sleep(0.1)
