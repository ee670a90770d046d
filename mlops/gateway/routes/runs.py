"""What runs logged."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from mlops.platform import Platform


class MetricColumns(BaseModel):
    """Values of a metric by step and time, in columns of one length."""

    total: int
    """How many were logged, of which these were kept."""
    steps: list[int]
    times: list[int]
    """Milliseconds since 1970."""
    values: list[float | str]
    """Numbers, and "NaN"."""


def run_routes(platform: Platform) -> APIRouter:
    """GET /api/projects/{project}/runs/{run_id}/metric-history."""
    routes = APIRouter(prefix="/api/projects/{project}/runs/{run_id}", tags=["runs"])

    @routes.get("/metric-history", response_model=MetricColumns)
    def metric_history(project: str, run_id: str, key: str, max_points: int = 1000) -> dict[str, Any]:
        """Read a metric; of a long run the first, last, smallest and largest values are kept."""
        return platform.metric_history(project, run_id, key, max_points).columns()

    return routes
