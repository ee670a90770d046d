"""A platform over a real Postgres, with replicas that are real servers on loopback ports."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import TYPE_CHECKING

import psycopg
import pytest
from aiohttp import web
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import URL, Engine

import mlops.store.store
from mlops.entities import (
    RUN_KEY,
    DeploymentState,
    ProjectWorkspace,
    RunStatus,
    ServiceState,
    ServiceStatus,
    Side,
)
from mlops.hardware.meter import Meter
from mlops.platform import Addresses, Platform
from mlops.serving.routing import Router
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.model_versions import IndexedVersion
from mlops.store.store import Store
from mlops.store.tokens import Role
from mlops.tracking.curves import MetricCurves

if TYPE_CHECKING:
    import mlflow

REPLICA_SECRET = "secret-of-the-replicas"
ADMIN = "token-of-the-admin"


class ReplicaServer:
    """Answers the replica contract: `y` is twice `x`; inputs named after a fault have that fault."""

    def __init__(self, port: int = 0, secret: str = REPLICA_SECRET) -> None:
        self._secret = secret
        self.requests: list[dict[str, str]] = []
        self.status = 200
        self.delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = self._call(self._start(port))

    def stop(self) -> None:
        if self._loop.is_closed():
            return
        self._call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self, port: int) -> str:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/predict", self._predict)
        app.router.add_post("/signature", self._signature)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _signature(self, _: web.Request) -> web.StreamResponse:
        x = {"name": "x", "dtype": "int64", "shape": [-1], "required": True}
        return web.json_response({"inputs": [x], "outputs": None, "takes_files": False})

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        self.requests.append({name.lower(): value for name, value in request.headers.items()})
        if request.headers.get("X-MLOps-Replica-Secret") != self._secret:
            return web.json_response({"error": {"type": "Unauthorized"}}, status=403)
        await asyncio.sleep(self.delay_s)
        if self.status != 200:
            return web.Response(status=self.status, text="draining")
        inputs = (await request.json())["inputs"]
        if "wrong" in inputs:
            error = {"type": "InvalidInput", "message": "x: 2 columns, not 3", "remedy": "", "fields": {}}
            return web.json_response({"error": error}, status=422)
        if "broken" in inputs:
            return web.Response(status=500, text="Internal Server Error")
        if "hang" in inputs:
            await asyncio.sleep(5)
        if "cut" in inputs:
            request.transport.close()
        told = {"rows": len(inputs["x"]), "model_s": 0.001, "inputs": {"x": inputs["x"]}, "outputs": {}}
        features = {"X-MLOps-Features": json.dumps(told)} if "X-MLOps-Log" in request.headers else {}
        features["X-MLOps-Work"] = "0.004 3"
        return web.json_response({"outputs": {"y": [2 * x for x in inputs["x"]]}}, headers=features)


@pytest.fixture(scope="session", autouse=True)
def _migrated_once() -> Iterator[None]:
    """Stores migrate a database once in a test process: no test takes its tables away."""
    upgrade = mlops.store.store.upgrade
    migrated: set[URL] = set()

    def once(engine: Engine) -> None:
        if engine.url not in migrated:
            upgrade(engine)
            migrated.add(engine.url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlops.store.store, "upgrade", once)
        yield


@pytest.fixture(scope="session")
def compiled_templates() -> Iterator[None]:
    """Each template is compiled once in a test process, not again for each app."""
    from mlops.dashboard import rendering

    environment = partial(rendering.Environment, bytecode_cache=_Compiled())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "Environment", environment)
        yield


class _Compiled(BytecodeCache):
    """By name and source, in this process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._known.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._known[bucket.key, bucket.checksum] = bucket.code


@pytest.fixture
def replica_server() -> Iterator[Callable[..., ReplicaServer]]:
    """Starts replicas; they end with the test."""
    started: list[ReplicaServer] = []

    def start(port: int = 0) -> ReplicaServer:
        started.append(ReplicaServer(port))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The migrated, empty database."""
    made = Store(database_url)
    made.upgrade()
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "TRUNCATE projects, tokens, deployments, replicas, runs, run_index, run_views, audit,"
            " followed_aliases, traffic, inferences CASCADE"
        )
    yield made
    made.close()


@pytest.fixture
def add_project(store: Store, tmp_path: Path) -> Callable[..., str]:
    """Registers a project by rows alone, with the token `token-of-<name>`."""

    def add(name: str, **settings: object) -> str:
        workspace = ProjectWorkspace(
            project_name=name,
            namespace=name,
            mlflow_experiment_id="7",
            dvc_remote_path=f"/remotes/{name}",
            airflow_dag_prefix=f"{name}__",
            serving_endpoint=f"/projects/{name}",
            root=tmp_path / name,
        )
        store.projects.put(workspace, settings)
        store.tokens.put(f"token-of-{name}", Role.MEMBER, name)
        return name

    return add


@pytest.fixture
def add_run(store: Store) -> Callable[..., IndexedRun]:
    """Indexes a run."""

    def add(
        project: str,
        id: str = "0123456789abcdef",
        metrics: Mapping[str, float] = MappingProxyType({}),
        **fields: object,
    ) -> IndexedRun:
        usual = {"name": "first", "experiment": "all", "status": RunStatus.FINISHED}
        run = IndexedRun(
            id,
            project,
            **usual | {"started_at": datetime.now(UTC)} | fields,
            metrics={key: MetricSummary(value, value, value, points=2) for key, value in metrics.items()},
        )
        store.run_index.put([run])
        return run

    return add


@pytest.fixture
def add_version(store: Store) -> Callable[..., IndexedVersion]:
    """Indexes a version of a model, beside those that there are."""
    known: dict[tuple[str, str, int], IndexedVersion] = {}

    def add(project: str, model: str, version: int = 1, **fields: object) -> IndexedVersion:
        made = IndexedVersion(project, model, version, **{"created_at": datetime.now(UTC)} | fields)
        known[project, model, version] = made
        store.model_versions.put(list(known.values()))
        return made

    return add


@pytest.fixture
def serve(store: Store) -> Callable[..., int]:
    """Deploys a model to replicas as the worker does."""

    def deploy(
        project: str, model: str, *urls: str, version: int = 1, side: Side = Side.CHAMPION, weight: int = 0
    ) -> int:
        deployment = store.deployments.want(
            project, model, version, max(1, len(urls)), side=side, weight=weight
        )
        store.deployments.set_replicas(deployment.id, urls)
        store.deployments.advance(deployment.id, DeploymentState.RUNNING)
        store.deployments.succeed(deployment.id)
        return deployment.id

    return deploy


@pytest.fixture
def services() -> list[ServiceStatus]:
    """What the supervisor is said to have seen; tests may change it."""
    return [
        ServiceStatus("postgres", ServiceState.HEALTHY, since=datetime.now(UTC), address="127.0.0.1:5432")
    ]


@pytest.fixture
def log_curve(mlflow_database: mlflow.MlflowClient, mlflow_database_url: str) -> Callable[..., str]:
    """Makes a run in MLflow's database with `rows` (step, time in ms, value) of a metric; gives its id."""

    def log(
        rows: Iterable[tuple[int, int, float]] = (),
        *,
        metric: str = "loss",
        key: str | None = None,
        workspace: str = "default",
    ) -> str:
        experiment = mlflow_database.create_experiment(uuid.uuid4().hex, artifact_location="file:///nowhere")
        tags = {} if key is None else {RUN_KEY: key}
        run = str(mlflow_database.create_run(experiment, tags=tags).info.run_id)
        copy = "COPY metrics (run_uuid, key, step, timestamp, value, is_nan) FROM STDIN"
        with psycopg.connect(mlflow_database_url) as connection:
            with connection.cursor().copy(copy) as into:
                for step, time, value in rows:
                    nan = value != value
                    into.write_row((run, metric, step, time, 0.0 if nan else value, nan))
            connection.execute(
                "UPDATE experiments SET workspace = %s WHERE experiment_id = %s", (workspace, int(experiment))
            )
        return run

    return log


@pytest.fixture
def platform(
    store: Store,
    database_url: str,
    mlflow_database_url: str,
    services: list[ServiceStatus],
    free_port: int,
    tmp_path: Path,
) -> Platform:
    """A platform that is not started yet."""
    return Platform(
        store,
        Router(store, database_url=database_url, replica_secret=REPLICA_SECRET, deadline_s=2.0),
        lambda: list(services),
        Addresses(f"http://127.0.0.1:{free_port}", "http://127.0.0.1:5000"),
        session_key="key-of-the-sessions",
        admin_token=ADMIN,
        curves=MetricCurves(mlflow_database_url),
        meter=Meter(tmp_path),
    )
