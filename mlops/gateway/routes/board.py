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
from mlops.hardware.meter import MachineReading
from mlops.monitoring.board import EndpointState, Lane, ProjectState, TrafficColumns
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
    """GET /api/overview, /api/endpoints, /api/lanes, /api/silences, /api/hardware, and of a project
    drift/history and traffic."""
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
        energy = {name: value for name, value in platform.energy().items() if caller.may_use(name)}
        return Hardware(machine=platform.machine(), energy_j=energy)

    @routes.get("/projects/{project}/drift-history")
    def drift_history(project: str, model: Model, window: Span = "24h") -> list[DriftJob]:
        """The newest reports of a model within the `window` with all their rows, oldest first."""
        platform.project(project)
        return board.drift(project, model, _since(window))

    @routes.get("/projects/{project}/traffic")
    def traffic(
        project: str, model: Model, span_s: float = 3600.0, version: Version | None = None
    ) -> TrafficColumns:
        """What a model's endpoint, or one version of it, answered over the last `span_s` seconds, in columns;
        at most 181 points."""
        return board.traffic(project, model, span_s, version)

    return routes


def _since(window: str) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=min(_LONGEST_S, read_duration(window, "window")))
