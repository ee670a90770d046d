"""Runs over all projects, and what they logged."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from mlops.errors import Forbidden
from mlops.gateway.auth import Caller
from mlops.platform import Platform
from mlops.store.freshness import PolledProject
from mlops.store.run_query import RunQuery
from mlops.tracking.run_desk import RunNames
from mlops.tracking.run_export import run_to_json

Words = Annotated[str | None, Query(max_length=1000)]
Several = Annotated[list[Annotated[str, Query(max_length=1000)]], Query()]

_MEDIA = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class Metric(BaseModel):
    """Numbers, and "NaN", "Infinity" and "-Infinity"."""

    last: float | str
    min: float | str
    max: float | str
    step: int
    """Of the last value."""
    time_ms: int
    """When the last value was logged, in ms since 1970."""
    points: int
    """How many values were logged."""


class FoundRun(BaseModel):
    """A run with what it logged."""

    id: str
    key: str
    project: str
    name: str
    experiment: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    user: str
    url: str
    """Its page in MLflow."""
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, Metric]


class FoundRuns(BaseModel):
    """A page of runs."""

    runs: list[FoundRun]
    next: str | None
    """The `cursor` of the page that follows; null after the last."""
    indexed_at: datetime | None
    """All that MLflow had then is in it; null where nothing has been indexed yet."""
    polled: list[PolledProject]
    """Where MLflow is elsewhere, when each project was read, and why it was not since."""


class Rebuild(BaseModel):
    """That all is to be read again."""

    asked_at: datetime
    """It is done once `indexed_at` is later."""


class MetricColumns(BaseModel):
    """Values of a metric by step and time, in columns of one length."""

    total: int
    """How many were logged, of which these were kept."""
    steps: list[int]
    times: list[int]
    """Milliseconds since 1970."""
    values: list[float | str]
    """Numbers, and "NaN"."""


def _query(
    project: Several = [],  # noqa: B006 - FastAPI's own way to have none
    state: Several = [],  # noqa: B006
    since: Words = None,
    until: Words = None,
    tag: Several = [],  # noqa: B006
    param: Several = [],  # noqa: B006
    metric: Several = [],  # noqa: B006
    text: Words = None,
    sort: Several = [],  # noqa: B006
    limit: int = 100,
    cursor: Annotated[str | None, Query(max_length=4000)] = None,
) -> RunQuery:
    return RunQuery.of(
        project=project, state=state, since=since, until=until, tag=tag, param=param, metric=metric,
        text=text, sort=sort, limit=limit, cursor=cursor,
    )  # fmt: skip


Wanted = Annotated[RunQuery, Depends(_query)]


def run_routes(platform: Platform) -> APIRouter:
    """GET /api/runs, /api/runs/metrics and /api/runs/export; POST /api/runs/rebuild; GET
    /api/projects/{project}/runs/{run_id}/metric-history."""
    routes = APIRouter(prefix="/api", tags=["runs"])
    desk = platform.runs

    @routes.get("/runs", response_model=FoundRuns)
    def runs(query: Wanted, caller: Caller) -> Response:
        """List runs of all projects within reach that meet every condition, a page of them."""
        page = desk.search(query, caller.project)
        content = {
            "runs": [run_to_json(run, url) for run, url in page.runs],
            "next": page.next,
            "indexed_at": page.freshness.indexed_at,
            "polled": page.freshness.polled,
        }
        return Response(orjson.dumps(content), media_type="application/json")

    @routes.get("/runs/metrics")
    def names(caller: Caller, project: Several = []) -> RunNames:  # noqa: B006
        """List the names of the metrics, params and tags that runs have."""
        return desk.names(RunQuery.of(project=project), caller.project)

    @routes.get("/runs/export", response_class=StreamingResponse)
    def export(query: Wanted, caller: Caller, format: str = "csv") -> Any:
        """Stream all runs that meet every condition: as a CSV with columns of its own for each metric and
        param, or as a JSON array."""
        pieces = desk.export(query, format, caller.project)
        headers = {"Content-Disposition": f'attachment; filename="runs.{format}"'}
        return StreamingResponse(pieces, media_type=_MEDIA[format], headers=headers)

    @routes.post("/runs/rebuild", status_code=202)
    def rebuild(caller: Caller) -> Rebuild:
        """Have all runs read from MLflow again, as an admin; the old rows are there until each is right."""
        if caller.project is not None:
            raise Forbidden("have the index of runs rebuilt")
        return Rebuild(asked_at=desk.rebuild(caller.name))

    @routes.get("/projects/{project}/runs/{run_id}/metric-history", response_model=MetricColumns)
    def metric_history(project: str, run_id: str, key: str, max_points: int = 1000) -> dict[str, Any]:
        """Read a metric; of a long run the first, last, smallest and largest values are kept."""
        return platform.metric_history(project, run_id, key, max_points).columns()

    return routes
