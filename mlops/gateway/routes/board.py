"""What the dashboard's pages show, for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from mlops.durations import read_duration
from mlops.entities import DriftJob
from mlops.errors import Forbidden
from mlops.gateway.auth import Caller
from mlops.hardware.fleet import Machine
from mlops.hardware.meter import MachineReading
from mlops.monitoring.board import EndpointState, Lane, ProjectState, TrafficColumns
from mlops.pipelines.dag import Pipeline, read_pipeline
from mlops.platform import Platform
from mlops.store.alerts import Silence

Model = Annotated[str, Query(max_length=100)]
Span = Annotated[str, Query(max_length=20)]
Version = Annotated[int, Query(ge=1, lt=2**31)]
_LONGEST_S = 90 * 86_400.0


class Hardware(BaseModel):
    """This machine now, and what runs took."""

    machine: MachineReading | None
    energy_j: dict[str, float]
    """Joules of the indexed runs, by project."""


def board_routes(platform: Platform) -> APIRouter:
    """GET /api/overview, /api/endpoints, /api/lanes, /api/silences, /api/hardware, /api/machines, and of a
    project drift/history, traffic and pipeline."""
    routes = APIRouter(prefix="/api", tags=["board"])
    board = platform.board

    def within(caller: Caller, project: str | None) -> str | None:
        if project is not None and not caller.may_use(project):
            raise Forbidden(f"use project {project!r}")
        return caller.project or project

    @routes.get("/overview")
    def overview(caller: Caller, project: str | None = None, window: Span = "24h") -> list[ProjectState]:
        """Every project within reach with its alerts, newest run, drift and endpoints, what is urgent first.
        Failed runs are those of the `window`."""
        return board.projects(_since(window), within(caller, project))

    @routes.get("/endpoints")
    def endpoints(caller: Caller, project: str | None = None) -> list[EndpointState]:
        """List the deployments within reach, and how each answered in the last five minutes."""
        return board.endpoints(within(caller, project))

    @routes.get("/lanes")
    def lanes(caller: Caller, project: str | None = None) -> list[Lane]:
        """List the deployments within reach, and how each answered in the last half hour."""
        return board.lanes(within(caller, project))

    @routes.get("/silences")
    def silences(caller: Caller, project: str | None = None) -> list[Silence]:
        """List the silences of alerts that hold now."""
        wanted = within(caller, project)
        return [each for each in platform.alerts.silences() if wanted in (None, each.project)]

    @routes.get("/hardware")
    def hardware(caller: Caller) -> Hardware:
        """Read this machine, and what the runs of the caller's projects took."""
        energy = {name: value for name, value in platform.fleet.energy_j().items() if caller.may_use(name)}
        return Hardware(machine=platform.machine(), energy_j=energy)

    @routes.get("/machines")
    def machines(caller: Caller, project: str | None = None, window: Span = "24h") -> list[Machine]:
        """List the machines that runs within reach were logged from within the `window`, each with the runs
        and what they read of it; at most 300 runs, the newest."""
        return platform.fleet.machines(_since(window), within(caller, project))

    @routes.get("/projects/{project}/drift-history")
    def drift_history(project: str, model: Model, window: Span = "24h") -> list[DriftJob]:
        """The newest reports of a model within the `window` with all their rows, oldest first."""
        platform.project(project)
        return board.drift(project, model, _since(window))

    @routes.get("/projects/{project}/traffic")
    def traffic(
        project: str,
        model: Model,
        span_s: float = 3600.0,
        version: Version | None = None,
        until: float | None = None,
    ) -> TrafficColumns:
        """What a model's endpoint, or one version of it, answered over the `span_s` seconds before `until` (s
        since 1970; now by default), in columns; at most 181 points."""
        return board.traffic(project, model, span_s, version, until)

    @routes.get("/projects/{project}/pipeline")
    def pipeline(project: str) -> Pipeline | None:
        """Read the stages of the project's dvc.yaml, and how they stand; null where its folder is not on this
        machine, or has none."""
        return read_pipeline(platform.project(project).root)

    return routes


def _since(window: str) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=min(_LONGEST_S, read_duration(window, "window")))
