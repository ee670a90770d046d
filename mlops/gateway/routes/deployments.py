"""What serves, and asking for it to change."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from mlops.entities import MAX_REPLICAS, Deployment, Side
from mlops.gateway.auth import Caller
from mlops.platform import Platform

Weight = Annotated[int, Field(ge=0, le=100)]
Version = Annotated[int, Field(ge=1, lt=2**31)]


class Change(BaseModel):
    """A change of what serves."""

    model_config = ConfigDict(extra="forbid", strict=True)

    why: Annotated[str, Field(max_length=1000)] = ""
    """For the audit."""


class Promotion(Change):
    """Which version becomes the champion."""

    version: Version | None = None
    """One that runs; the canary, if not given."""


class Weighing(Change):
    """How much a canary answers."""

    weight: Weight
    """Percent of the callers."""


class Wanted(Change):
    """What shall serve."""

    version: Version
    """Of the registered model."""
    replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = 1
    """How many processes serve it."""
    most_replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] | None = None
    """How many it grows to with its load."""
    side: Literal["champion", "canary", "shadow"] = "champion"
    """Whether it answers, answers a share of the callers, or is asked without being heard."""
    weight: Weight = 0
    """Percent of the callers that a canary answers."""


def deployment_routes(platform: Platform) -> APIRouter:
    """GET /api/deployments; GET, PUT, DELETE /api/projects/{project}/deployments/{model}, and its promote,
    rollback, weight and sides."""
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
        return platform.deploy(
            project, model, wanted.version, wanted.replicas, caller.name,
            most_replicas=wanted.most_replicas, side=Side(wanted.side), weight=wanted.weight, why=wanted.why,
        )  # fmt: skip

    @routes.post(one + "/promote")
    def promote(project: str, model: str, change: Promotion, caller: Caller) -> Deployment:
        """Make a running version the champion at once; the champion stays up as the previous one."""
        return platform.promote(project, model, change.version, caller.name, change.why)

    @routes.post(one + "/rollback")
    def rollback(project: str, model: str, change: Change, caller: Caller) -> Deployment:
        """Make the previous champion the champion again, at once."""
        return platform.rollback(project, model, caller.name, change.why)

    @routes.post(one + "/weight")
    def weigh(project: str, model: str, change: Weighing, caller: Caller) -> Deployment:
        """Let the canary answer another share of the callers, from now on."""
        return platform.weigh(project, model, change.weight, caller.name, change.why)

    @routes.delete(one + "/{side}", status_code=202)
    def end(project: str, model: str, side: Side, caller: Caller) -> Deployment:
        """Stop the canary, the shadow or the previous champion alone."""
        return platform.end(project, model, side, caller.name)

    @routes.delete(one, status_code=202)
    def undeploy(project: str, model: str, caller: Caller) -> list[Deployment]:
        """Ask for the model to serve no more."""
        return platform.undeploy(project, model, caller.name)

    return routes
