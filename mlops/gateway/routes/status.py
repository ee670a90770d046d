"""Whether the gateway lives, who calls, and how the services are."""

from __future__ import annotations

import os

from fastapi import APIRouter
from pydantic import BaseModel

from mlops.entities import ServiceStatus
from mlops.gateway.auth import Caller
from mlops.platform import Platform


class Health(BaseModel):
    """That this process answers, whatever its upstreams do."""

    status: str
    pid: int
    """Which process: a supervisor knows its own by it."""


class Me(BaseModel):
    """Who a token belongs to."""

    name: str
    role: str
    project: str | None


def status_routes(platform: Platform) -> APIRouter:
    """GET /health, /api/me, /api/services."""
    routes = APIRouter(tags=["status"])

    @routes.get("/health")
    async def health() -> Health:
        """Answer as long as the process does; the only API route open to everyone."""
        return Health(status="ok", pid=os.getpid())

    @routes.get("/api/me")
    async def me(caller: Caller) -> Me:
        """Say whose token this is."""
        return Me(name=caller.name, role=caller.role.value, project=caller.project)

    @routes.get("/api/services")
    def services() -> list[ServiceStatus]:
        """List the services as the supervisor last saw them."""
        return platform.services()

    return routes
