"""All projects, services and the store as one object: what the gateway and the dashboard see."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy.exc import SQLAlchemyError

from mlops.config import MLOpsConfig
from mlops.data.catalog import DataCatalog
from mlops.entities import (
    MAX_REPLICAS,
    Deployment,
    DeploymentState,
    Inference,
    LogLine,
    ProjectWorkspace,
    Run,
    ServiceState,
    ServiceStatus,
    Side,
)
from mlops.errors import DeploymentNotFound, InvalidInput, MLOpsError, ServiceUnavailable, Unauthorized
from mlops.hardware.fleet import Fleet
from mlops.hardware.meter import Disk, MachineReading, Meter
from mlops.installation import Installation
from mlops.logs.query import LogQuery
from mlops.logs.reading import LogFolder
from mlops.model_desk import ModelDesk
from mlops.model_files import ModelFiles
from mlops.monitoring.board import Board
from mlops.monitoring.desk import AlertDesk
from mlops.monitoring.drift_desk import DriftDesk
from mlops.monitoring.evidently_client import EvidentlyClient
from mlops.monitoring.performance_desk import PerformanceDesk
from mlops.project import check_model_name, check_project_name
from mlops.services.control import ask_restart
from mlops.services.names import EVIDENTLY, LOGS
from mlops.services.record import read_records, with_records
from mlops.services.status import read_status
from mlops.serving.connections import Answer
from mlops.serving.inference_log import LogCounts
from mlops.serving.load import Load
from mlops.serving.routing import Router
from mlops.store.changes import Marks
from mlops.store.figures import Figures
from mlops.store.search import Found
from mlops.store.store import Store
from mlops.store.tokens import Principal, Role, token_hash
from mlops.traces import Traces
from mlops.tracking.accounts import rest_of
from mlops.tracking.curves import MetricCurves
from mlops.tracking.results import MetricHistory
from mlops.tracking.run_changes import RunChanges
from mlops.tracking.run_desk import RunDesk
from mlops.tracking.run_facts import RunFacts
from mlops.tracking.run_files import RunFiles
from mlops.tracking.view_desk import ViewDesk

log = logging.getLogger(__name__)

MOST_INFERENCES = 10_000
"""That are read at a time."""
MOST_LOG_LINES = 10_000
"""That are read at a time."""
MOST_FOUND = 100
"""Of each kind, by a search."""
_MOST_LOG_BYTES = 20_000_000
_PREPARE_PAUSE_S = 0.5
_READY_S, _STOP_S = 5.0, 2.0
_ASK_S = 3.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where people and programs find the platform."""

    gateway: str
    """URL of the gateway, without a trailing slash."""
    mlflow: str = ""
    """URL of MLflow; empty where there is none."""
    evidently: str = ""
    """Where the gateway shows Evidently's UI, at an origin of its own; empty where it does not."""


class Platform:
    """One installation. Verbs block on Postgres unless they are `async`; each raises
    `ServiceUnavailable` when it does not answer, and `InvalidName` for a name that is not safe."""

    def __init__(
        self,
        store: Store,
        router: Router,
        services: Callable[[], list[ServiceStatus]],
        addresses: Addresses,
        *,
        session_key: str,
        admin_token: str | None = None,
        traces: Traces | None = None,
        curves: MetricCurves | None = None,
        drift_dir: Path | None = None,
        meter: Meter | None = None,
        logs: LogFolder | None = None,
        evidently: EvidentlyClient | None = None,
        restart: Callable[[str], object] | None = None,
        run_files: RunFiles | None = None,
        journals: Path | None = None,
        files: ModelFiles | None = None,
    ) -> None:
        """`curves` reads the database of MLflow; None where MLflow is elsewhere. `drift_dir` is where the
        worker keeps pages of drift reports; None where there are none. `meter` reads this machine, and `logs`
        are the services'; without them nothing is told of either. `evidently` asks Evidently's UI. `restart`
        has the supervisor replace a service's process; None where there is none to ask. `run_files` reads
        artifacts of runs, and `journals` is where runs of this machine are kept until they are delivered.
        `files` are those of models; None where MLflow is elsewhere."""
        self.addresses = addresses
        self.session_key = session_key
        self.traces = traces or Traces()
        self.alerts = AlertDesk(store)
        self.drift = DriftDesk(store, drift_dir)
        self.board = Board(store, addresses.gateway)
        self.runs = RunDesk(store, self.run_url)
        self.data = DataCatalog(store)
        self.fleet = Fleet(store)
        self.views = ViewDesk(store)
        self.run_facts = RunFacts(store, self.runs, curves, run_files, journals)
        self.run_changes = RunChanges(store, self.runs, run_files.rest_of if run_files else None)
        self.evidently = evidently
        self.performance = PerformanceDesk(store)
        self.models = ModelDesk(store, addresses.gateway, files)
        self._store = store
        self._router = router
        self._services = services
        self._admin_token = admin_token
        self._curves = curves
        self._logs = logs
        self._meter = meter
        self._restart = restart
        self._callers = _Callers(store)
        self._prepared = True
        self._preparing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @classmethod
    def open(cls, config: MLOpsConfig) -> Platform:
        """The installation that `config` places; touches no server. Raises `ConfigError` before
        set-up, and before the first start has chosen ports."""
        installation = Installation(config)
        url = installation.database_url()
        store = Store(url)
        traces = Traces(config.otlp_endpoint, "mlops-gateway")
        router = Router(
            store, database_url=url, replica_secret=installation.secret("replica_secret"), traces=traces
        )
        return cls(
            store,
            router,
            lambda: with_records(read_status(installation), read_records(installation)),
            Addresses(installation.gateway_url, installation.mlflow_url, installation.evidently_url),
            session_key=installation.secret("session_key"),
            admin_token=installation.secret("admin_token"),
            traces=traces,
            curves=None if config.mlflow_uri else MetricCurves(installation.database_url("mlflow")),
            logs=LogFolder(installation.logs_dir),
            drift_dir=installation.drift_dir,
            meter=Meter(installation.root),
            restart=lambda name: ask_restart(installation, name),
            files=None if config.mlflow_uri else ModelFiles(installation.artifacts_dir),
            evidently=_evidently(installation),
            run_files=RunFiles(lambda workspace: rest_of(installation, workspace)),
            journals=installation.journal_dir,
        )

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin routing, and prepare the database as soon as it answers: before this returns, so that who
        connects then is answered, unless it does not answer now."""
        self._prepared = False
        self._stopping.clear()
        await self._router.start()
        tried = asyncio.Event()
        self._preparing = asyncio.create_task(self._prepare_until_done(tried), name="prepare")
        with contextlib.suppress(TimeoutError, ServiceUnavailable, SQLAlchemyError):
            async with asyncio.timeout(_READY_S):
                await tried.wait()
                await self._router.reload()

    async def stop(self) -> None:
        """End what `start` began and close the connections."""
        self._stopping.set()
        if self._preparing is not None:
            await asyncio.wait([self._preparing], timeout=_STOP_S)
        await self._router.stop()
        if self.evidently is not None:
            await self.evidently.close()
        await asyncio.to_thread(self.traces.close)
        self._store.close()

    @property
    def is_prepared(self) -> bool:
        """Whether the tables are migrated and the admin's token is known."""
        return self._prepared

    def prepare(self) -> None:
        """Migrate the tables and let the admin's token in; safe to repeat."""
        self._store.upgrade()
        if self._admin_token:
            self._store.tokens.put(self._admin_token, Role.ADMIN)
        self._prepared = True

    async def _prepare_until_done(self, tried: asyncio.Event) -> None:
        while not self._prepared and not self._stopping.is_set():
            try:
                await asyncio.to_thread(self.prepare)
            except (ServiceUnavailable, SQLAlchemyError) as error:
                log.warning("the database is not ready yet: %s", str(error).splitlines()[0])
            tried.set()
            if not self._prepared:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _PREPARE_PAUSE_S)

    # -- callers --------------------------------------------------------------------------------

    def remembered(self, token: str) -> Principal | None:
        """Who holds the token, if that was asked a moment ago; never blocks."""
        return self._callers.fresh(token_hash(token))

    def authenticate(self, token: str) -> Principal:
        """Who holds the token; raises `Unauthorized`. A known one stays good for some minutes while
        Postgres is away."""
        if not self._prepared:
            raise ServiceUnavailable("postgres", "its tables are being prepared")
        return self._callers.find(token_hash(token))

    def living_tokens(self) -> frozenset[str]:
        """Hashes of all tokens that are let in."""
        return self._store.tokens.hashes()

    # -- reading --------------------------------------------------------------------------------

    def services(self) -> list[ServiceStatus]:
        """The services as the supervisor last saw them, with what was recorded of each."""
        return self._services()

    def log_lines(self, count: int = 100, **wanted: str | None) -> list[LogLine]:
        """The newest lines of the services' logs, the newest last; `wanted` is what `LogQuery.of` takes. The
        newest 20 MB of each log are looked through. Raises `InvalidInput`, also for a count out of range."""
        _check_range("count", count, 1, MOST_LOG_LINES)
        query = LogQuery.of(LOGS, **wanted)
        return [] if self._logs is None else self._logs.newest(query, count, most_bytes=_MOST_LOG_BYTES)

    def projects(self) -> list[ProjectWorkspace]:
        """Every project, by name."""
        return self._store.projects.all()

    def project(self, name: str) -> ProjectWorkspace:
        """One project; raises `ProjectNotFound`."""
        return self._store.projects.get(check_project_name(name, "project"))

    def project_settings(self, name: str) -> dict[str, Any]:
        """What its project.toml said at registration; raises `ProjectNotFound`."""
        return self._store.projects.settings(check_project_name(name, "project"))

    def latest_runs(self, project: str, count: int = 1) -> list[Run]:
        """The newest runs with their pages in MLflow; raises `ProjectNotFound`."""
        workspace = self.project(project)
        return [
            replace(run, url=self.run_url(workspace, run.id))
            for run in self._store.runs.latest(project, max(1, min(count, 1000)))
        ]

    def metric_history(self, project: str, run_id: str, key: str, max_points: int = 1000) -> MetricHistory:
        """The values of a metric of a run, thinned out by MLflow's database; raises `ProjectNotFound`,
        `ServiceUnavailable` also where MLflow is elsewhere, and what `MetricCurves.history` does."""
        workspace = self.project(project)
        if self._curves is None:
            raise ServiceUnavailable(
                "mlflow",
                "MLOPS_MLFLOW_URI names one elsewhere, whose database is not read",
                remedy="Read it by `client.metric_history`, or through MLflow's own API.",
            )
        return self._curves.history(workspace, run_id, key, max_points)

    def deployments(self, project: str | None = None) -> list[Deployment]:
        """Every deployment, or a project's, with full URLs; by project and model, newest first."""
        if project is not None:
            check_project_name(project, "project")
        return [self._with_full_url(found) for found in self._store.deployments.all(project)]

    def deployment(self, project: str, model: str) -> Deployment:
        """The champion that serves the model, else its newest deployment; raises `DeploymentNotFound`."""
        check_model_name(model)
        found = [deployment for deployment in self.deployments(project) if deployment.model == model]
        if not found:
            raise DeploymentNotFound(project, model)
        champions = (
            deployment
            for deployment in found
            if deployment.state is DeploymentState.RUNNING and deployment.side is Side.CHAMPION
        )
        return next(champions, found[0])

    def find(self, text: str, within: str | None = None, most: int = 6) -> list[Found]:
        """What the words name, at most `most` of each kind; `within` is the one project that is looked at.
        Raises `InvalidInput` for too many words, or a count out of range."""
        _check_range("most", most, 1, MOST_FOUND)
        return self._store.search.find(text, within, most)

    def figures(self) -> Figures:
        """How many there are of what in all projects; `ServiceUnavailable` also where counting takes over
        two seconds."""
        try:
            return self._store.figures()
        except SQLAlchemyError as error:
            raise ServiceUnavailable("postgres", str(error).splitlines()[0]) from error

    def marks(self) -> Marks:
        """Marks by topic and project that differ from earlier ones where something changed. `status`, how the
        services are, is told also while Postgres does not answer: the others are then missing."""
        states = [(each.name, each.state, each.detail, each.restarts) for each in self.services()]
        found: Marks = {"status": {"": repr(states)}}
        with contextlib.suppress(ServiceUnavailable, SQLAlchemyError):
            found |= self._store.marks()
        return found

    def disk_of_projects(self) -> dict[str, int]:
        """What each project takes of the disk in bytes, as far as the worker measured it: artifacts, and data
        whose remote is a folder here."""
        return self._store.projects.disk()

    def disk(self) -> Disk | None:
        """The disk that holds the installation; None where nothing reads it."""
        return None if self._meter is None else self._meter.disk()

    def machine(self) -> MachineReading | None:
        """What this machine is and does, its disk as well; None where nothing reads it. It takes up to a
        second."""
        return None if self._meter is None else self._meter.read()

    def evidently_answers(self) -> bool:
        """Whether Evidently's UI runs, as somebody asked for it."""
        return any(each.name == EVIDENTLY and each.state is ServiceState.HEALTHY for each in self._services())

    # -- changing -------------------------------------------------------------------------------

    def deploy(
        self,
        project: str,
        model: str,
        version: int,
        replicas: int,
        who: str,
        *,
        most_replicas: int | None = None,
        side: Side = Side.CHAMPION,
        weight: int = 0,
        why: str = "",
    ) -> Deployment:
        """Ask for a version to serve, and write down who did. Returns at once: the worker does it.

        Raises `ProjectNotFound`, and `InvalidInput` for a version or weight out of range, more replicas than
        the project's quota leaves, or a canary or shadow without a champion beside it.
        """
        check_model_name(model)
        _check_range("version", version, 1, 2**31 - 1)
        _check_range("replicas", replicas, 1, MAX_REPLICAS)
        if most_replicas is not None:
            _check_range("most_replicas", most_replicas, replicas + 1, MAX_REPLICAS)
        _check_range("weight", weight, 0, 100)
        quota = self.project_settings(project).get("quotas", {}).get("max_replicas", MAX_REPLICAS)
        wanted = self._store.deployments.want(
            project, model, version, replicas, most=most_replicas, side=side, weight=weight, quota=quota
        )
        details = {"version": version, "replicas": wanted.scale, "side": side.value, "weight": weight}
        self._write_down(who, "deploy", project, model, why, **details)
        return self._with_full_url(wanted)

    def promote(self, project: str, model: str, version: int | None, who: str, why: str = "") -> Deployment:
        """Make a running version (the canary, if none is named) the champion at once; the champion stays up
        as the previous one, and the worker moves MLflow's alias. Raises `DeploymentNotFound`,
        `InvalidInput`."""
        _check_names(project, model)
        made = self._store.deployments.promote(project, model, version)
        self._store.aliases.command(project, model, made.version)
        self._write_down(who, "promote", project, model, why, version=made.version)
        return self._with_full_url(made)

    def rollback(self, project: str, model: str, who: str, why: str = "") -> Deployment:
        """Make the previous champion the champion again, at once. Raises `DeploymentNotFound`,
        `InvalidInput` where none is kept."""
        _check_names(project, model)
        made = self._store.deployments.rollback(project, model)
        self._store.aliases.command(project, model, made.version)
        self._write_down(who, "rollback", project, model, why, version=made.version)
        return self._with_full_url(made)

    def weigh(self, project: str, model: str, weight: int, who: str, why: str = "") -> Deployment:
        """Let the canary answer that many percent of the callers, from now on. Raises `DeploymentNotFound`,
        `InvalidInput`."""
        _check_names(project, model)
        _check_range("weight", weight, 0, 100)
        made = self._store.deployments.set_weight(project, model, weight)
        self._write_down(who, "weigh", project, model, why, version=made.version, weight=weight)
        return self._with_full_url(made)

    def end(self, project: str, model: str, side: Side, who: str, why: str = "") -> Deployment:
        """Stop the canary, the shadow or the previous champion alone. Raises `DeploymentNotFound`, and
        `InvalidInput` for the champion."""
        _check_names(project, model)
        if side is Side.CHAMPION:
            raise InvalidInput(
                "side",
                side.value,
                "cannot end alone",
                remedy="Undeploy the model, or promote another.",
            )
        ended = self._store.deployments.end(project, model, side)
        self._write_down(who, "end", project, model, why, version=ended.version, side=side.value)
        return self._with_full_url(ended)

    def undeploy(self, project: str, model: str, who: str) -> list[Deployment]:
        """Ask for every version of the model to stop, and write down who did; raises
        `DeploymentNotFound`."""
        _check_names(project, model)
        stopping = self._store.deployments.want_removal(project, model)
        self._write_down(who, "undeploy", project, model)
        return [self._with_full_url(deployment) for deployment in stopping]

    def restart_service(self, name: str, who: str) -> None:
        """Have one service's process replaced, and write down who asked; returns at once. Of Postgres' own
        restart the log alone tells. Raises `InvalidInput` for an unknown name, `ServiceUnavailable` where it
        does not run here."""
        if self._restart is None:
            raise ServiceUnavailable("the supervisor", "nothing supervises the services here")
        self._restart(name)
        log.warning("%s asked for a restart of %s", who, name, extra={"event": "service.restart", "of": name})
        if name != "postgres":
            self._store.audit.record(who, "restart", None, service=name)

    def _write_down(
        self, who: str, action: str, project: str, model: str, why: str = "", **details: Any
    ) -> None:
        self._store.audit.record(
            who, action, project, model=model, **details, **({"why": why} if why else {})
        )

    async def infer(
        self,
        project: str,
        model: str,
        body: bytes,
        *,
        request_id: str = "",
        caller: str = "",
        path: str = "/predict",
        headers: Mapping[str, str] | None = None,
        version: int | None = None,
        deadline_s: float | None = None,
        arrived: float | None = None,
    ) -> Answer:
        """Have the model answer, by the protocol of a replica's `path`; `caller` sticks to its side of a
        canary, a `version` answers alone, and `deadline_s` after it `arrived` an answer is of no more use.
        Raises what `Router.infer` does."""
        _check_names(project, model)
        return await self._router.infer(
            project, model, body, request_id=request_id, caller=caller,
            path=path, headers=headers, version=version, deadline_s=deadline_s, arrived=arrived,
        )  # fmt: skip

    async def signatures(self, project: str) -> list[tuple[Deployment, dict[str, Any]]]:
        """The project's champions with what a replica of each says it takes and gives; one that does not
        answer is left out. Raises `ProjectNotFound`."""
        await asyncio.to_thread(self.project, project)
        champions = [
            each
            for each in await asyncio.to_thread(self.deployments, project)
            if each.side is Side.CHAMPION and each.state is DeploymentState.RUNNING
        ]
        told = await asyncio.gather(*(self._signature(each) for each in champions))
        return [(each, signature) for each, signature in zip(champions, told, strict=True) if signature]

    async def signature(self, project: str, model: str) -> dict[str, Any]:
        """What a replica of the model's champion says it takes and gives. Raises `DeploymentNotFound`, and
        `ServiceUnavailable` where none tells."""
        _check_names(project, model)
        found = await asyncio.to_thread(self.deployment, project, model)
        told = await self._signature(found)
        if told is None:
            raise ServiceUnavailable(
                "model",
                f"no replica of {model!r} tells what it takes",
                remedy="Wait until its champion runs.",
            )
        return told

    async def _signature(self, deployment: Deployment) -> dict[str, Any] | None:
        try:
            answer = await self._router.infer(
                deployment.project, deployment.model, b"{}", path="/signature", deadline_s=_ASK_S
            )
        except MLOpsError as error:
            log.warning("signature of %s: %s", deployment.model, error.message)
            return None
        return dict(json.loads(answer.body)) if answer.status == 200 else None

    def inferences(
        self, project: str, model: str, count: int = 100, since: datetime | None = None
    ) -> list[Inference]:
        """The newest of the model's inferences in the log, newest first. Raises `ProjectNotFound`,
        `InvalidInput` for a count out of range."""
        self.project(project)
        check_model_name(model)
        _check_range("count", count, 1, MOST_INFERENCES)
        return self._store.inferences.latest(project, model, count, since=since)

    def logged(self) -> LogCounts:
        """What became of the inferences that this gateway was to log; never blocks."""
        return self._router.logged

    def loads(self) -> list[Load]:
        """What each routed deployment answered since this gateway began; never blocks."""
        return self._router.loads()

    # -- addresses ------------------------------------------------------------------------------

    def _with_full_url(self, deployment: Deployment) -> Deployment:
        return replace(deployment, url=self.addresses.gateway + deployment.url)

    def run_url(self, workspace: ProjectWorkspace, run_id: str) -> str:
        """The run's page in MLflow's own UI; empty where there is none."""
        if not self.addresses.mlflow:
            return ""
        page = f"{self.addresses.mlflow}/#/experiments/{workspace.mlflow_experiment_id}/runs/{run_id}"
        return f"{page}?workspace={quote(workspace.namespace, safe='')}"


class _Callers:
    """Who holds which token, asked of Postgres at most every few seconds a token."""

    FRESH_S = 5.0
    STALE_S = 300.0
    RETRY_S = 1.0
    MOST = 1024

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[Principal, float, float]] = {}
        """Hash of the token, which itself is not kept -> (who, when Postgres said so, until when not to ask
        again)."""

    def fresh(self, hashed: str) -> Principal | None:
        known = self._known.get(hashed)
        return known[0] if known is not None and time.monotonic() < known[2] else None

    def find(self, hashed: str) -> Principal:
        now = time.monotonic()
        try:
            principal = self._store.tokens.find(hashed)
        except ServiceUnavailable:
            known = self._known.get(hashed)
            if known is None or now - known[1] > self.STALE_S:
                raise
            self._known[hashed] = (known[0], known[1], now + self.RETRY_S)
            return known[0]
        if principal is None:
            self._known.pop(hashed, None)
            raise Unauthorized
        if len(self._known) >= self.MOST:
            self._known.clear()
        self._known[hashed] = (principal, now, now + self.FRESH_S)
        return principal


def _evidently(installation: Installation) -> EvidentlyClient | None:
    url = installation.evidently_ui_url
    return EvidentlyClient(url, installation.secret("evidently_secret")) if url else None


def _check_names(project: str, model: str) -> None:
    check_project_name(project, "project")
    check_model_name(model)


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(field, value, "is out of range", remedy=f"Use {least} to {most}.")
