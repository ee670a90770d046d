"""The reconciler over a real Postgres, real packaging children and the in-process model server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from mlops.config import MLOpsConfig
from mlops.entities import Deployment, DeploymentState, ProjectWorkspace, Replica, Side
from mlops.errors import ServiceUnavailable
from mlops.serving.base import Phase, Served
from mlops.serving.bento import folder
from mlops.serving.local import LocalModelServer
from mlops.store.store import Store
from mlops.worker.packaging import Packager
from mlops.worker.reconcile import Reconciler
from tests.mlops.serving.fixtures import broken_model, onnx_model  # noqa: F401
from tests.mlops.serving.models import HEADERS, SECRET

pytestmark = pytest.mark.filterwarnings(r"ignore:::(_bentoml_.*|pathspec)(\..*)?")

DOWNLOAD = "tests.mlops.worker.test_reconcile:download"
ROWS = {"inputs": {"x": [[1, 2, 3]]}}


def download(config: MLOpsConfig, project: str, model: str, version: int, folder: Path) -> Path:
    """What the packaging child calls: the version's folder below MLOPS_HOME, as a registry would."""
    import shutil

    return Path(shutil.copytree(config.home / "models" / str(version), folder / "model"))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    store.upgrade()
    for project in store.projects.all():
        store.projects.remove(project.project_name)
    store.projects.put(
        ProjectWorkspace("drilling", "drilling", "1", "", "", "", Path("/")),
        {"quotas": {"replica_cpus": 0.2}},
    )
    yield store
    store.close()


class World:
    """A worker's parts, stepped by hand."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store = store
        self.home = home
        self.bentos = home / "bentos"
        self.server = LocalModelServer(secret=SECRET)
        self.packager = Packager(home, self.bentos, download=DOWNLOAD)
        self.reconciler = Reconciler(store, self.server, self.packager, self.bentos)

    def restart(self) -> None:
        """As after a kill -9 of worker and server: only the database and the Bentos are left."""
        self.close()
        self.server = LocalModelServer(secret=SECRET)
        self.packager = Packager(self.home, self.bentos, download="nowhere:nothing")
        self.reconciler = Reconciler(self.store, self.server, self.packager, self.bentos)

    def close(self) -> None:
        self.packager.close()
        self.server.close()

    def step_until(self, condition: Callable[[], bool], seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.store.deployments.all()
            self.reconciler.step()
            time.sleep(0.05)

    def state(self, deployment: Deployment) -> DeploymentState | None:
        found = self.store.deployments.get(deployment.id)
        return found.state if found else None

    def until(self, deployment: Deployment, state: DeploymentState | None) -> None:
        self.step_until(lambda: self.state(deployment) is state)

    def side(self, deployment: Deployment) -> Side | None:
        found = self.store.deployments.get(deployment.id)
        return found.side if found else None

    def replicas(self) -> tuple[Replica, ...]:
        route = self.store.deployments.routes().get(("drilling", "depth"))
        return route.champion.replicas if route else ()

    def ask(self) -> float | None:
        """What the routed version answers, as the gateway would call it."""
        route = self.store.deployments.routes().get(("drilling", "depth"))
        if route is None:
            return None
        answer = httpx.post(f"{route.champion.replicas[0].url}/predict", json=ROWS, headers=HEADERS)
        assert answer.status_code == 200
        return float(answer.json()["outputs"]["y"][0][0])


@pytest.fixture
def world(store: Store, tmp_path: Path, onnx_model: Path, broken_model: Path) -> Iterator[World]:  # noqa: F811
    models = tmp_path / "models"
    models.mkdir()
    for version, model in (("1", onnx_model), ("2", onnx_model), ("3", broken_model)):
        (models / version).symlink_to(model)
    made = World(store, tmp_path)
    yield made
    made.close()


def test_a_wish_is_packaged_served_and_removed(world: World) -> None:
    wanted = world.store.deployments.want("drilling", "depth", 1, 1)
    world.until(wanted, DeploymentState.RUNNING)
    assert world.ask() == 321.0
    running = world.store.deployments.get(wanted.id)
    assert running is not None
    assert folder(world.bentos, running.bento).is_dir()

    world.store.deployments.want("drilling", "depth", 1, 2)
    world.step_until(lambda: len(world.replicas()) == 2)

    world.store.deployments.want_removal("drilling", "depth")
    world.until(wanted, None)
    assert world.ask() is None
    assert world.server.served() == {}
    assert not folder(world.bentos, running.bento).exists()


def test_a_failed_replica_does_not_take_the_others_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = world.store.deployments.want("drilling", "depth", 1, 2)
    world.until(wanted, DeploymentState.RUNNING)
    told = world.server.served

    def failed() -> dict[int, Served]:
        error = "A replica's health check failed."
        return {number: Served(Phase.FAILED, each.urls[:1], error) for number, each in told().items()}

    monkeypatch.setattr(world.server, "served", failed)
    for _ in range(3):
        world.reconciler.step()
        assert len(world.replicas()) == 1
        assert world.ask() == 321.0
    (row,) = world.store.deployments.all("drilling")
    assert (row.state, row.error) == (DeploymentState.RUNNING, "A replica's health check failed.")
    monkeypatch.undo()
    world.step_until(lambda: len(world.replicas()) == 2)
    world.step_until(lambda: not world.store.deployments.all("drilling")[0].error)


def test_a_further_replica_without_a_core_makes_the_previous_version_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.store.deployments.want("drilling", "depth", 1, 1)
    world.until(first, DeploymentState.RUNNING)
    second = world.store.deployments.want("drilling", "depth", 2, 1)
    world.until(second, DeploymentState.RUNNING)
    assert world.side(first) is Side.PREVIOUS
    told = world.server.served

    def crowded() -> dict[int, Served]:
        """As Ray says it while the previous version has the core that is wanted."""
        found = told()
        if first.id in found and second.id in found:
            found[second.id] = Served(Phase.STARTING, found[second.id].urls[:1], "no core is free")
        return found

    monkeypatch.setattr(world.server, "served", crowded)
    monkeypatch.setattr(world.reconciler, "_room_after", 0.3)
    world.store.deployments.want("drilling", "depth", 2, 2)
    world.until(first, None)
    world.step_until(lambda: len(world.replicas()) == 2)
    assert world.state(second) is DeploymentState.RUNNING


def test_a_newer_version_takes_over_and_one_that_fails_does_not(world: World) -> None:
    first = world.store.deployments.want("drilling", "depth", 1, 1)
    world.until(first, DeploymentState.RUNNING)

    broken = world.store.deployments.want("drilling", "depth", 3, 1)
    world.until(broken, DeploymentState.FAILED)
    failed = world.store.deployments.get(broken.id)
    assert failed is not None
    assert "Traceback" in failed.error
    assert "model.onnx" in failed.error
    assert world.ask() == 321.0

    missing = world.store.deployments.want("drilling", "depth", 9, 1)
    world.until(missing, DeploymentState.FAILED)
    assert "FileNotFoundError" in (world.store.deployments.get(missing.id) or missing).error
    assert world.ask() == 321.0

    second = world.store.deployments.want("drilling", "depth", 2, 1)
    world.until(second, DeploymentState.RUNNING)
    world.step_until(lambda: world.side(first) is Side.PREVIOUS)
    assert world.ask() == 321.0
    assert set(world.server.served()) == {first.id, second.id}


def test_the_last_wish_holds_while_a_newer_version_is_on_its_way(world: World) -> None:
    first = world.store.deployments.want("drilling", "depth", 1, 1)
    world.until(first, DeploymentState.RUNNING)
    second = world.store.deployments.want("drilling", "depth", 2, 1)
    world.reconciler.step()
    assert world.state(second) is DeploymentState.PACKAGING

    again = world.store.deployments.want("drilling", "depth", 1, 1)
    assert again.id == first.id
    world.until(second, None)
    assert world.packager.under_way == set()
    assert world.state(first) is DeploymentState.RUNNING
    assert world.ask() == 321.0


def test_a_wish_for_the_old_version_outruns_the_new_ones_take_over(world: World) -> None:
    first = world.store.deployments.want("drilling", "depth", 1, 1)
    world.until(first, DeploymentState.RUNNING)
    second = world.store.deployments.want("drilling", "depth", 2, 1)
    world.until(second, DeploymentState.STARTING)
    world.store.deployments.want("drilling", "depth", 1, 1)
    # What a step does that saw the second come up before the wish was there.
    world.store.deployments.advance(second.id, DeploymentState.RUNNING)
    assert not world.store.deployments.succeed(second.id)
    world.until(second, None)
    assert world.state(first) is DeploymentState.RUNNING


def test_what_a_failed_version_left_goes_with_the_next_wish(world: World) -> None:
    broken = world.store.deployments.want("drilling", "depth", 3, 1)
    world.until(broken, DeploymentState.FAILED)
    failed = world.store.deployments.get(broken.id)
    assert failed is not None
    assert folder(world.bentos, failed.bento).is_dir()

    wanted = world.store.deployments.want("drilling", "depth", 1, 1)
    world.until(broken, None)
    assert not folder(world.bentos, failed.bento).exists()
    world.until(wanted, DeploymentState.RUNNING)


def test_what_ran_comes_back_without_packaging(world: World) -> None:
    wanted = world.store.deployments.want("drilling", "depth", 1, 1)
    world.until(wanted, DeploymentState.RUNNING)
    before = world.replicas()

    world.restart()
    world.step_until(lambda: bool(world.server.served().get(wanted.id, None)))
    world.step_until(lambda: world.replicas() not in ((), before))
    assert world.ask() == 321.0
    assert world.state(wanted) is DeploymentState.RUNNING


def test_a_wish_that_an_earlier_worker_was_packaging_goes_on(world: World) -> None:
    wanted = world.store.deployments.want("drilling", "depth", 1, 1)
    world.reconciler.step()
    assert world.state(wanted) is DeploymentState.PACKAGING
    world.packager.close()
    world.packager = Packager(world.home, world.bentos, download=DOWNLOAD)
    world.reconciler = Reconciler(world.store, world.server, world.packager, world.bentos)
    world.until(wanted, DeploymentState.RUNNING)


def download_when_up(config: MLOpsConfig, project: str, model: str, version: int, folder: Path) -> Path:
    """A registry that does not answer before a file says so."""
    if not (config.home / "up").exists():
        raise ServiceUnavailable("mlflow", "it is starting")
    return download(config, project, model, version, folder)


@pytest.mark.parametrize("comes_up", [True, False])
def test_packaging_waits_for_a_service_that_starts_but_not_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch, comes_up: bool
) -> None:
    monkeypatch.setattr("mlops.worker.reconcile.PACKAGE_AGAIN_S", 0.1)
    monkeypatch.setattr("mlops.worker.reconcile.PACKAGE_FOR_S", 300.0 if comes_up else 0.0)
    world.packager = Packager(world.home, world.bentos, download=f"{__name__}:download_when_up")
    world.reconciler = Reconciler(world.store, world.server, world.packager, world.bentos)
    wanted = world.store.deployments.want("drilling", "depth", 1, 1)

    def error() -> str:
        return world.store.deployments.all("drilling")[0].error

    world.step_until(lambda: "it is starting" in error())
    if not comes_up:
        assert world.state(wanted) is DeploymentState.FAILED
        return
    assert world.state(wanted) is DeploymentState.PACKAGING
    (world.home / "up").touch()
    world.until(wanted, DeploymentState.RUNNING)
    assert error() == ""


def download_and_hang(config: MLOpsConfig, project: str, model: str, version: int, folder: Path) -> Path:
    """A download that never ends, with a file half written."""
    (folder / "half").write_text("of it")
    time.sleep(600)
    return folder


def test_a_child_that_is_ended_leaves_no_scratch_behind(world: World) -> None:
    scratch = world.home / "run" / "packaging"
    world.packager = Packager(world.home, world.bentos, download=f"{__name__}:download_and_hang")
    world.reconciler = Reconciler(world.store, world.server, world.packager, world.bentos)
    wanted = world.store.deployments.want("drilling", "depth", 1, 1)
    world.step_until(lambda: bool(list(scratch.rglob("half"))))
    world.store.deployments.want_removal("drilling", "depth")
    world.until(wanted, None)
    assert list(scratch.iterdir()) == []


def test_a_worker_clears_what_an_earlier_one_left(tmp_path: Path) -> None:
    left = tmp_path / "run" / "packaging" / "7" / "model-abc"
    left.mkdir(parents=True)
    Packager(tmp_path, tmp_path / "bentos").clear()
    assert not left.exists()
    assert (tmp_path / "run").is_dir()


def test_removal_while_packaging_ends_the_child(world: World) -> None:
    wanted = world.store.deployments.want("drilling", "depth", 1, 1)
    world.reconciler.step()
    assert world.packager.under_way == {wanted.id}
    world.store.deployments.want_removal("drilling", "depth")
    world.until(wanted, None)
    assert world.packager.under_way == set()


def test_packaging_that_takes_too_long_is_ended(world: World) -> None:
    world.packager = Packager(world.home, world.bentos, download=DOWNLOAD, timeout_s=0.01)
    world.reconciler = Reconciler(world.store, world.server, world.packager, world.bentos)
    wanted = world.store.deployments.want("drilling", "depth", 1, 1)
    world.until(wanted, DeploymentState.FAILED)
    assert "took too long" in (world.store.deployments.get(wanted.id) or wanted).error
