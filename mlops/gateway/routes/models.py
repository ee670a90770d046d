"""Registered models over all projects: their versions, and who did what to them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from mlops.entities import Deployment
from mlops.errors import Forbidden
from mlops.gateway.auth import Caller
from mlops.hardware.ane.report import AneReport
from mlops.model_desk import ModelState, VersionState
from mlops.platform import Platform
from mlops.store.audit import AuditEntry
from mlops.store.data_versions import UsedData

Number = Annotated[int, Path(ge=1, lt=2**31)]
Before = Annotated[int | None, Query(ge=1, lt=2**31)]


class Version(BaseModel):
    """A version with what made it and what it serves."""

    project: str
    model: str
    version: int
    created_at: datetime
    run_id: str
    """MLflow's; empty where none is told."""
    user: str
    description: str
    flavor: str
    aliases: list[str]
    tags: dict[str, str]
    metrics: dict[str, float]
    """The last values of its run that are finite."""
    deployments: list[Deployment]


class Model(BaseModel):
    """A registered model."""

    project: str
    model: str
    versions: int
    newest: int
    newest_at: datetime
    champion: Version | None
    """What has MLflow's alias of that name."""
    aliases: dict[str, int]
    deployments: list[Deployment]


class Tensor(BaseModel):
    """An array that a model takes or gives."""

    name: str
    dtype: str
    """NumPy's name; `str` for texts."""
    shape: list[int]
    """-1 where any length will do."""
    required: bool


class VersionWithFiles(Version):
    """A version with what its files tell."""

    flavors: list[str]
    """The forms that MLflow knows it in."""
    inputs: list[Tensor] | None
    outputs: list[Tensor] | None
    """null where its signature says nothing."""
    size_bytes: int
    reference_bytes: int | None
    """Of the sample of what it took and gave in training; null where there is none."""
    ane: AneReport | None
    """The report of `mlops:ane-report`; null where none was kept."""
    problem: str
    """Why its files tell nothing."""
    data: list[UsedData]
    """Versions of data that its run read, or that are declared."""


def model_routes(platform: Platform) -> APIRouter:
    """GET /api/models; GET /api/projects/{project}/models/{model}/versions, one of them, and actions."""
    routes = APIRouter(prefix="/api", tags=["models"])
    desk = platform.models
    one = "/projects/{project}/models/{model}"

    @routes.get("/models")
    def models(caller: Caller, project: str | None = None) -> list[Model]:
        """List the registered models within reach."""
        if project is not None and not caller.may_use(project):
            raise Forbidden(f"use project {project!r}")
        return [_model(each) for each in desk.models(caller.project or project)]

    @routes.get(one + "/versions")
    def versions(project: str, model: str, before: Before = None) -> list[Version]:
        """List the newest versions of a model, or the newest before one, at most 100."""
        return [Version(**_told(each)) for each in desk.versions(project, model, before)]

    @routes.get(one + "/versions/{version}")
    def version(project: str, model: str, version: Number) -> VersionWithFiles:
        """Read a version with what its files tell."""
        found = desk.detail(project, model, version)
        return VersionWithFiles(**_told(found.state), **asdict(found.files), data=list(found.data))

    @routes.get(one + "/actions")
    def actions(project: str, model: str) -> list[AuditEntry]:
        """List who did what to the model last, newest first."""
        return desk.actions(project, model)

    return routes


def _model(state: ModelState) -> Model:
    return Model(
        project=state.project,
        model=state.model,
        versions=state.versions,
        newest=state.newest.version,
        newest_at=state.newest.created_at,
        champion=None if state.champion is None else Version(**_told(state.champion)),
        aliases=dict(state.aliases),
        deployments=list(state.deployments),
    )


def _told(state: VersionState) -> dict[str, Any]:
    version = state.version
    return {
        "project": version.project,
        "model": version.model,
        "version": version.version,
        "created_at": version.created_at,
        "run_id": version.run_id,
        "user": version.user,
        "description": version.description,
        "flavor": version.flavor,
        "aliases": list(version.aliases),
        "tags": dict(version.tags),
        "metrics": dict(state.metrics),
        "deployments": list(state.deployments),
    }
