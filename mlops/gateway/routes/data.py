"""The versions of projects' data, and who uses them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from mlops.data.catalog import DataUse
from mlops.errors import Forbidden
from mlops.gateway.auth import Caller
from mlops.platform import Platform
from mlops.store.data_versions import KnownData

Count = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, Query(max_length=1000)]


class AddedData(BaseModel):
    """A version that was added."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str
    """Relative to the project's folder."""
    hash: str
    """DVC's content hash."""
    size_bytes: Count
    files: Count
    git_revision: str | None = None
    remote: str = ""
    checks: list[dict[str, Any]] = []
    """Each with `name`, `passed` and `detail`."""


def data_routes(platform: Platform) -> APIRouter:
    """GET /api/data; GET and POST /api/projects/{project}/data; GET /api/projects/{project}/data/version."""
    routes = APIRouter(prefix="/api", tags=["data"])
    catalog = platform.data

    @routes.get("/data")
    def newest(caller: Caller, project: str | None = None) -> list[KnownData]:
        """List the newest version of each path of all projects within reach, or all of one project's; the
        newest first, at most 500."""
        if project is not None and not caller.may_use(project):
            raise Forbidden(f"use project {project!r}")
        return catalog.versions(caller.project or project)

    @routes.get("/projects/{project}/data")
    def versions(project: str) -> list[KnownData]:
        """List the project's versions, the newest first, at most 500."""
        platform.project(project)
        return catalog.versions(project)

    @routes.get("/projects/{project}/data/version")
    def version(project: str, path: Text, hash: Text) -> DataUse:
        """Read a version with the runs that used it, the newest 200."""
        platform.project(project)
        return catalog.version(project, path, hash)

    @routes.post("/projects/{project}/data", status_code=201)
    def add(project: str, added: AddedData) -> KnownData:
        """Tell of a version that was added, as `mlops:dvc-add` does."""
        return catalog.put(project, added.model_dump())

    return routes
