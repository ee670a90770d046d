"""The projects within the caller's reach."""

from __future__ import annotations

from fastapi import APIRouter

from mlops.entities import ProjectWorkspace
from mlops.gateway.auth import Caller
from mlops.platform import Platform


def project_routes(platform: Platform) -> APIRouter:
    """GET /api/projects, /api/projects/{project}."""
    routes = APIRouter(prefix="/api/projects", tags=["projects"])

    @routes.get("")
    def projects(caller: Caller) -> list[ProjectWorkspace]:
        """List the caller's projects, by name."""
        return [found for found in platform.projects() if caller.may_use(found.project_name)]

    @routes.get("/{project}")
    def project(project: str) -> ProjectWorkspace:
        """Read one project."""
        return platform.project(project)

    return routes
