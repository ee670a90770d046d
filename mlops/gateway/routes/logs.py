"""What the services said."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mlops.entities import LogLine
from mlops.errors import Forbidden
from mlops.gateway.auth import Caller
from mlops.platform import Platform

Words = Annotated[str | None, Query(max_length=200)]


def log_routes(platform: Platform) -> APIRouter:
    """GET /api/logs."""
    routes = APIRouter(prefix="/api", tags=["logs"])

    @routes.get("/logs")
    def logs(
        caller: Caller,
        service: Words = None,
        project: Words = None,
        level: Words = None,
        since: Words = None,
        until: Words = None,
        text: Words = None,
        request_id: Words = None,
        count: int = 100,
    ) -> list[LogLine]:
        """List the newest lines of the services' logs, the newest last; for an admin alone, since one line
        may tell of several projects."""
        if caller.project is not None:
            raise Forbidden("read the services' logs")
        return platform.log_lines(
            count, service=service, project=project, level=level, since=since, until=until, text=text,
            request_id=request_id,
        )  # fmt: skip

    return routes
