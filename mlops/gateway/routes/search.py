"""What a few words name, over all projects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from mlops.dashboard.search import url_of
from mlops.gateway.auth import Caller
from mlops.platform import Platform
from mlops.store.search import What

Words = Annotated[str, Query(max_length=200)]


class Hit(BaseModel):
    """One thing that has the words."""

    what: What
    project: str
    name: str
    """Of a version of data its path."""
    id: str
    """MLflow's of a run, the version of a deployment, the hash of data; else empty."""
    state: str
    """Of a run or a deployment; else empty."""
    url: str
    """Its page, below the gateway."""


def search_routes(platform: Platform) -> APIRouter:
    """GET /api/search."""
    routes = APIRouter(prefix="/api", tags=["search"])

    @routes.get("/search")
    def search(q: Words, caller: Caller, most: int = 6) -> list[Hit]:
        """Find projects, runs, models, deployments and versions of data within reach by words, at most `most`
        of each kind; newest runs and data first."""
        return [
            Hit(what=each.what, project=each.project, name=each.name, id=each.id, state=each.state,
                url=url_of(each))
            for each in platform.find(q, caller.project, most)
        ]  # fmt: skip

    return routes
