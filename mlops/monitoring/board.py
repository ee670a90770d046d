"""All projects at a glance, and the figures behind their pages."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mlops.entities import (
    Deployment,
    DeploymentState,
    DriftJob,
    ProjectWorkspace,
    Run,
    RunStatus,
    Side,
)
from mlops.errors import InvalidInput, ProjectNotFound
from mlops.project import check_model_name, check_project_name
from mlops.store.alerts import Standing
from mlops.store.last_runs import LastRuns
from mlops.store.store import Store
from mlops.store.traffic import Traffic, TrafficLog

RECENT_S = 300.0
"""Rates, errors and latencies of an endpoint are of the last so many s."""
LANE_S, _LANE_STEP_S = 1800.0, 120
"""How far back a lane shows what its deployment answered, in s."""
LONGEST_S = 86_400.0
"""How far back what endpoints answered is kept."""
MOST_REPORTS = 48
"""Drift reports of a heat map."""
_LAST_TIME = 1e11
_POINTS = 180


@dataclass(frozen=True, slots=True)
class EndpointState:
    """A deployment and how it answers."""

    deployment: Deployment
    requests_s: float
    """Requests a second, of the last five minutes."""
    error_share: float | None
    """0 to 1; None without requests."""
    p95_s: float | None
    """Upper end of the latency bucket that holds the 95th percentile; None without requests."""


@dataclass(frozen=True, slots=True)
class ProjectState:
    """A project at a glance."""

    workspace: ProjectWorkspace
    description: str
    primary_metric: str
    alerts: Standing
    run: Run | None
    """The newest one."""
    running: int
    failed: int
    """Runs that failed within the window that was asked for."""
    endpoints: tuple[EndpointState, ...]
    drift: DriftJob | None
    """Of the newest reports of what serves the one with the largest share; None without any."""

    @property
    def urgency(self) -> tuple[int, str]:
        """Sorts what needs somebody first: critical alerts, failures, warnings and drift, what is under way,
        then by name."""
        states = {each.deployment.state for each in self.endpoints}
        if self.alerts.critical:
            rank = 0
        elif DeploymentState.FAILED in states or (self.run and self.run.status is RunStatus.FAILED):
            rank = 1
        elif self.alerts.firing or (self.drift and self.drift.drifted):
            rank = 2
        else:
            rank = 3 if self.running or self.alerts.alerts or self.failed else 4
        return rank, self.workspace.project_name


@dataclass(frozen=True, slots=True)
class TrafficColumns:
    """What an endpoint answered over time, in columns of one length."""

    step_s: int
    times: list[float]
    """Beginning of each step, in s since 1970; a step without requests has no rates."""
    requests_s: list[float | None]
    error_share: list[float | None]
    p95_s: list[float | None]


@dataclass(frozen=True, slots=True)
class Lane:
    """A deployment, how it answers now, and how it answered."""

    state: EndpointState
    traffic: TrafficColumns


class Board:
    """Reads what pages show of projects. Every verb raises `ServiceUnavailable` without Postgres."""

    def __init__(self, store: Store, gateway: str) -> None:
        """`gateway` is its URL, without a trailing slash: endpoints are told with theirs."""
        self._store = store
        self._gateway = gateway

    def projects(self, since: datetime, project: str | None = None) -> list[ProjectState]:
        """Every project, or one, what is urgent first; failures count since then. Raises
        `ProjectNotFound`."""
        if project is not None:
            check_project_name(project, "project")
        store = self._store
        workspaces = store.projects.all() if project is None else [store.projects.get(project)]
        described, last = store.projects.described(), store.last_runs(since)
        alerts = store.alerts.standing()
        endpoints: dict[str, list[EndpointState]] = defaultdict(list)
        for each in self.endpoints(project):
            endpoints[each.deployment.project].append(each)
        drift = _worst(store.drift.newest())
        found = [
            _state(each, described.get(each.project_name, {}), last.get(each.project_name), alerts,
                   tuple(endpoints[each.project_name]), drift.get(each.project_name))
            for each in workspaces
        ]  # fmt: skip
        return sorted(found, key=lambda state: state.urgency)

    def endpoints(self, project: str | None = None) -> list[EndpointState]:
        """Every deployment, or a project's, with how it answered in the last five minutes."""
        answered = self._store.traffic.since(datetime.now(UTC) - timedelta(seconds=RECENT_S), project)
        return [
            _endpoint(replace(each, url=self._gateway + each.url), answered.get(each.id))
            for each in self._store.deployments.all(project)
        ]

    def lanes(self, project: str | None = None, model: str | None = None) -> list[Lane]:
        """Every deployment, or a project's, or a model's, with how it answered in steps of two minutes of the
        last half hour; by project and model, newest first."""
        begin = datetime.now(UTC).timestamp() - LANE_S
        since = datetime.fromtimestamp(begin - begin % _LANE_STEP_S, UTC)
        answered = self._store.traffic.all_series(since, _LANE_STEP_S, project)
        return [
            Lane(each, _columns(answered.get(each.deployment.id, {}), since, _LANE_STEP_S, datetime.now(UTC)))
            for each in self.endpoints(project)
            if model in (None, each.deployment.model)
        ]

    def models(self, project: str | None = None) -> list[tuple[str, str]]:
        """Project and name of each model with a champion that serves, or a drift report."""
        serving = {
            (each.project, each.model)
            for each in self._store.deployments.all(project)
            if each.side is Side.CHAMPION and each.state is DeploymentState.RUNNING
        }
        reported = {(each.project, each.model) for each in self._store.drift.latest(project, most=200)}
        return sorted(serving | reported)

    def drift(self, project: str, model: str, since: datetime) -> list[DriftJob]:
        """The reports of a model that were made since then, with all their rows, oldest first."""
        check_project_name(project, "project")
        check_model_name(model)
        return self._store.drift.columns_over(project, model, since, MOST_REPORTS)

    def traffic(
        self,
        project: str,
        model: str,
        span_s: float,
        version: int | None = None,
        until: float | None = None,
    ) -> TrafficColumns:
        """What the model's endpoint, or one version of it, answered over `span_s` s before `until` (s since
        1970; now by default), in at most 181 steps. Raises `ProjectNotFound`, and `InvalidInput` for a span
        or an end out of range."""
        check_project_name(project, "project")
        check_model_name(model)
        if not 60.0 <= span_s <= LONGEST_S:
            raise InvalidInput("span_s", span_s, "is out of range", remedy="Use 60 to 86400.")
        if until is not None and not 0.0 <= until <= _LAST_TIME:
            raise InvalidInput("until", until, "is no time", remedy="Give seconds since 1970.")
        if project not in self._store.projects.described():
            raise ProjectNotFound(project)
        step_s = 10 * math.ceil(span_s / _POINTS / 10)
        end = now = datetime.now(UTC).timestamp()
        if until is not None:
            end = min(now, step_s * math.ceil(until / step_s))  # no step is cut, but by now
        begin = end - span_s
        since = datetime.fromtimestamp(begin - begin % step_s, UTC)
        found = dict(self._store.traffic.series(project, model, since, step_s, version))
        return _columns(found, since, step_s, datetime.fromtimestamp(end, UTC))


def _state(
    workspace: ProjectWorkspace,
    described: Mapping[str, str],
    last: LastRuns | None,
    alerts: Mapping[str, Standing],
    endpoints: tuple[EndpointState, ...],
    drift: DriftJob | None,
) -> ProjectState:
    return ProjectState(
        workspace=workspace,
        description=described.get("description", ""),
        primary_metric=described.get("primary_metric", ""),
        alerts=alerts.get(workspace.project_name, Standing()),
        run=last.newest if last else None,
        running=last.running if last else 0,
        failed=last.failed if last else 0,
        endpoints=endpoints,
        drift=drift,
    )


def _worst(jobs: Iterable[DriftJob]) -> dict[str, DriftJob]:
    found: dict[str, DriftJob] = {}
    for job in jobs:
        if job.project not in found or job.share > found[job.project].share:
            found[job.project] = job
    return found


def _endpoint(deployment: Deployment, answered: Traffic | None) -> EndpointState:
    if answered is None or not answered.requests:
        return EndpointState(deployment, 0.0, None, None)
    p95 = answered.quantile(0.95)
    return EndpointState(deployment, answered.requests / RECENT_S, answered.error_rate, _finite(p95))


def _columns(
    found: Mapping[datetime, Traffic], since: datetime, step_s: int, now: datetime
) -> TrafficColumns:
    whole, under_way_s = divmod((now - since).total_seconds(), step_s)
    lengths_s = [float(step_s)] * int(whole)
    if under_way_s >= TrafficLog.WINDOW_S:  # before that its rate is not known
        lengths_s.append(under_way_s)
    times = [since + timedelta(seconds=step_s * place) for place in range(len(lengths_s))]
    rows = [found.get(time) for time in times]
    return TrafficColumns(
        step_s=step_s,
        times=[time.timestamp() for time in times],
        requests_s=[
            row.requests / length if row else None for row, length in zip(rows, lengths_s, strict=True)
        ],
        error_share=[row.error_rate if row else None for row in rows],
        p95_s=[_finite(row.quantile(0.95)) if row else None for row in rows],
    )


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
