"""What serves, and asking for it to change."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from mlops.entities import Deployment
from mlops.gateway.auth import Caller
from mlops.platform import MAX_REPLICAS, Platform


class Wanted(BaseModel):
    """What shall serve."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Annotated[int, Field(ge=1, lt=2**31)]
    """Of the registered model."""
    replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = 1
    """How many processes serve it."""


def deployment_routes(platform: Platform) -> APIRouter:
    """GET /api/deployments; GET, PUT, DELETE /api/projects/{project}/deployments/{model}."""
    routes = APIRouter(prefix="/api", tags=["deployments"])
    one = "/projects/{project}/deployments/{model}"

    @routes.get("/deployments")
    def deployments(caller: Caller) -> list[Deployment]:
        """List the deployments of the caller's projects."""
        return [found for found in platform.deployments(caller.project) if caller.may_use(found.project)]

    @routes.get(one)
    def deployment(project: str, model: str) -> Deployment:
        """Read the deployment that serves the model, else its newest."""
        return platform.deployment(project, model)

    @routes.put(one, status_code=202)
    def deploy(project: str, model: str, wanted: Wanted, caller: Caller) -> Deployment:
        """Ask for a version to serve; poll the deployment for what becomes of it."""
        return platform.deploy(project, model, wanted.version, wanted.replicas, caller.name)

    @routes.delete(one, status_code=202)
    def undeploy(project: str, model: str, caller: Caller) -> list[Deployment]:
        """Ask for the model to serve no more."""
        return platform.undeploy(project, model, caller.name)

    return routes
