"""Drift reports of what is deployed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from mlops.entities import DriftJob
from mlops.gateway.auth import Caller
from mlops.monitoring.evidently_files import page_in_ui
from mlops.platform import Platform

Number = Annotated[int, Path(ge=1, lt=2**63)]

SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data: blob:; font-src data:"
)
"""Of Evidently's page, which is scripts of its own and holds what callers of an endpoint chose: its origin is
nobody's, so that it reads and changes nothing here, and it reaches no server."""


class Asked(BaseModel):
    """A report that is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(max_length=100)]
    """Its name."""
    window_s: float | None = None
    """How much of the time just gone, in s; as project.toml says, if not given."""
    version: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    """The champion, if not given."""


def drift_routes(platform: Platform) -> APIRouter:
    """POST and GET /api/projects/{project}/drift; GET of one, and of its page."""
    routes = APIRouter(prefix="/api/projects/{project}/drift", tags=["drift"])
    desk = platform.drift

    @routes.post("", status_code=202)
    def ask(project: str, asked: Asked, caller: Caller) -> DriftJob:
        """Have a report made; the answer says its number, and what it found is there once it is done."""
        return desk.ask(project, asked.model, caller.name, window_s=asked.window_s, version=asked.version)

    @routes.get("")
    def latest(project: str, model: str | None = None, count: int = 100) -> list[DriftJob]:
        """List the project's reports, or a model's, newest first, without their rows."""
        platform.project(project)
        return desk.latest(project, model, count=count)

    @routes.get("/{number}")
    def one(project: str, number: Number) -> DriftJob:
        """One with all its rows, and where Evidently's UI shows it while that runs."""
        job = desk.get(number, project)
        if not (platform.evidently_answers() and desk.is_in_evidently(job)):
            return job
        return replace(job, evidently=f"{platform.addresses.gateway}/evidently{page_in_ui(project, number)}")

    @routes.get("/{number}/page", response_class=FileResponse)
    def page(project: str, number: Number) -> Any:
        """Evidently's page of it."""
        return _sandboxed(desk.page(number, project))

    @routes.get("/{number}/performance", response_class=FileResponse)
    def performance(project: str, number: Number) -> Any:
        """Evidently's page of how right the version was in its window, where ground truths had come."""
        return _sandboxed(desk.performance_page(number, project))

    return routes


def _sandboxed(page: FilePath) -> FileResponse:
    return FileResponse(page, media_type="text/html", headers={"Content-Security-Policy": SANDBOX})
