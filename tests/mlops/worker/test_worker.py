"""The worker as a process, over a real Postgres and a real Ray that dies under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from mlops.entities import Deployment, DeploymentState, ProjectWorkspace
from mlops.installation import Installation
from mlops.store.store import Store
from tests.mlops.serving.fixtures import RayHead, onnx_model, ray_head  # noqa: F401
from tests.mlops.serving.models import package, tag_of

ROWS = {"inputs": {"x": [[1, 2, 3]]}}


class Supervised:
    """`python -m mlops.worker`, started anew whenever it ends by itself, as the supervisor would."""

    def __init__(self, installation: Installation, head: RayHead) -> None:
        self.codes: list[int] = []
        self.log = installation.logs_dir / "worker.log"
        self._environment = {
            **os.environ,
            "MLOPS_HOME": str(installation.root),
            "MLOPS_RAY_ADDRESS": head.address,
            "MLOPS_RAY_TOKEN": head.token,
        }
        self._ending = False
        self._start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlops.worker"],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _watch(self) -> None:
        while not self._ending:
            if self.process.poll() is not None and not self._ending:
                self.codes.append(self.process.returncode)
                self._start()
            time.sleep(0.1)

    def end(self) -> int:
        """SIGTERM; returns the exit code."""
        self._ending = True
        self._thread.join()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture
def store(database_installation: Installation) -> Iterator[Store]:
    """With one project, and no deployment."""
    store = Store(database_installation.database_url("mlops"))
    store.upgrade()
    for project in store.projects.all():
        store.projects.remove(project.project_name)
    store.projects.put(ProjectWorkspace("drilling", "drilling", "1", "", "", "", Path("/")), {})
    yield store
    store.close()


@pytest.fixture
def recorded(store: Store, database_installation: Installation, onnx_model: Path) -> Deployment:  # noqa: F811
    """A deployment that ran before everything was stopped: its Bento is there, and its record."""
    tag = tag_of(package(onnx_model, database_installation.bentos_dir))
    wanted = store.deployments.want("drilling", "depth", 1, 1)
    store.deployments.advance(wanted.id, DeploymentState.RUNNING, bento=tag)
    return wanted


@pytest.fixture
def worker(
    recorded: Deployment,  # the worker finds it when it starts
    database_installation: Installation,
    ray_head: RayHead,  # noqa: F811
) -> Iterator[Supervised]:
    made = Supervised(database_installation, ray_head)
    yield made
    made._ending = True
    if made.process.poll() is None:
        os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait()


def wait_until(condition: Callable[[], bool], log: Path, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-6000:]
        time.sleep(0.05)


def test_a_deployment_outlives_ray(
    recorded: Deployment,
    worker: Supervised,
    store: Store,
    database_installation: Installation,
    ray_head: RayHead,  # noqa: F811
) -> None:
    secret = {"X-MLOps-Replica-Secret": database_installation.secret("replica_secret")}

    def answers() -> bool:
        route = store.deployments.routes().get(("drilling", "depth"))
        if route is None:
            return False
        try:
            answer = httpx.post(f"{route.champion.replicas[0].url}/predict", json=ROWS, headers=secret)
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.json() == {"outputs": {"y": [[321.0]]}}

    wait_until(answers, worker.log)
    beat = json.loads((database_installation.run_dir / "worker.json").read_text())
    assert beat["ray"] == "ok"

    ray_head.kill()
    wait_until(lambda: not answers(), worker.log)
    ray_head.start()
    wait_until(answers, worker.log)
    assert worker.codes[:1] == [75]

    before = len(worker.codes)
    os.kill(worker.process.pid, signal.SIGKILL)
    wait_until(lambda: -signal.SIGKILL in worker.codes[before:], worker.log)
    assert answers()  # what serves needs no worker
    store.deployments.want_removal("drilling", "depth")
    wait_until(lambda: store.deployments.get(recorded.id) is None, worker.log)

    assert worker.end() == 0, worker.log.read_text()[-3000:]
