"""What Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from mlops.gateway.auth import Caller
from mlops.gateway.metrics.page import page
from mlops.gateway.metrics.survey import Survey
from mlops.platform import Platform


def metrics_routes(platform: Platform) -> APIRouter:
    """GET /metrics."""
    routes = APIRouter(tags=["metrics"])
    survey = Survey(platform)

    @routes.get("/metrics")
    async def metrics(caller: Caller, request: Request) -> Response:
        """Figures of what the caller may see, as OpenMetrics text, or Prometheus' older one if asked for."""
        families = await survey.families(caller)
        text, media_type = page(
            families, request.headers.get("accept", ""), with_process=caller.project is None
        )
        return Response(text, media_type=media_type)

    return routes
