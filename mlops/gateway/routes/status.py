"""Whether the gateway lives, who calls, and how the services are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel

from mlops.entities import ServiceStatus
from mlops.errors import Forbidden
from mlops.gateway.auth import Caller
from mlops.gateway.sources import Source
from mlops.platform import Platform

_PATIENCE_S = 0.25
"""How long the services' states are waited for: the supervisor asks whether this process lives."""


class LastRestart(BaseModel):
    """A process that was replaced."""

    at: datetime
    cause: str


class ServiceHealth(BaseModel):
    """What everybody may know of a service."""

    name: str
    state: str
    restarts_day: int | None = None
    """Within the last 24 hours; None where nothing is recorded."""
    last_restarts: list[LastRestart] = []
    """The last few of the last month, newest first."""
    availability: dict[str, float | None] = {}
    """Share of the time in which it answered, of the last `day`, `week` and `month`; None where nobody
    looked."""
    observed: dict[str, float] = {}
    """Share of these windows in which somebody looked."""
    recorded_at: datetime | None = None
    """As of when these three are known: the worker brings them up to date every few seconds."""


class Health(BaseModel):
    """That this process answers, whatever its upstreams do, and what was last seen of the services."""

    status: str
    pid: int
    """Which process: a supervisor knows its own by it."""
    services: list[ServiceHealth]
    as_of: datetime | None
    """When they were seen; None where they were not yet."""


class RestartAsked(BaseModel):
    """A service that comes back by itself."""

    service: str


class Me(BaseModel):
    """Who a token belongs to."""

    name: str
    role: str
    project: str | None


def status_routes(platform: Platform) -> APIRouter:
    """GET /health, /api/me, /api/services; POST /api/services/{name}/restart."""
    routes = APIRouter(tags=["status"])
    source = Source("services", platform.services, patience_s=_PATIENCE_S)
    last: tuple[list[ServiceHealth], datetime | None] = ([], None)

    @routes.get("/health")
    async def health() -> Health:
        """Answer as long as the process does; the only API route open to everyone."""
        nonlocal last
        if (found := await source.read()) is not None:
            last = _healths(found), datetime.now(UTC)
        return Health(status="ok", pid=os.getpid(), services=last[0], as_of=last[1])

    @routes.get("/api/me")
    async def me(caller: Caller) -> Me:
        """Say whose token this is."""
        return Me(name=caller.name, role=caller.role.value, project=caller.project)

    @routes.get("/api/services")
    def services() -> list[ServiceStatus]:
        """List the services as the supervisor last saw them, with what was recorded of each."""
        return platform.services()

    @routes.post("/api/services/{name}/restart", status_code=202)
    def restart(name: str, caller: Caller) -> RestartAsked:
        """Have the supervisor replace one service's process; for an admin alone. Returns at once."""
        if caller.project is not None:
            raise Forbidden("restart services")
        platform.restart_service(name, caller.name)
        return RestartAsked(service=name)

    return routes


def _healths(services: Sequence[ServiceStatus]) -> list[ServiceHealth]:
    """Without what helps a stranger: processes, addresses and the words of errors."""
    found = []
    for each in services:
        health = ServiceHealth(name=each.name, state=each.state.value)
        if (record := each.record) is not None:
            health.restarts_day = record.restarts_day
            health.last_restarts = [LastRestart(at=one.at, cause=one.cause.value) for one in record.restarts]
            windows = {"day": record.day, "week": record.week, "month": record.month}
            health.availability = {name: each.share for name, each in windows.items()}
            health.observed = {name: each.observed for name, each in windows.items()}
            health.recorded_at = record.as_of
        found.append(health)
    return found
