"""The dashboard's pages and fragments. Callers are known by then: the gateway puts `principal` and
`csrf` into each request's state."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.staticfiles import StaticFiles

from mlops.dashboard import formats
from mlops.dashboard.overview import Overviews
from mlops.platform import Platform
from mlops.store.tokens import Principal

_FOLDER = Path(__file__).parent

_ProjectFilter = Annotated[str | None, Query(max_length=100)]


class Pages:
    """The templates; everything they print is escaped."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            number=formats.number,
            exact=formats.exact,
            duration=formats.duration,
            ago=formats.ago,
            commands=formats.commands,
        )

    def login(self, problem: str, csrf: str, next: str, status: int = 200) -> HTMLResponse:
        """The form that takes a token."""
        return self.render("login.html", status, problem=problem, csrf=csrf, next=next)

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """One page or fragment; `now` is known to all of them."""
        page = self._templates.get_template(template).render(now=datetime.now(UTC), **values)
        return HTMLResponse(page, status)


class _Static(StaticFiles):
    """Files that browsers keep, and ask about before each use."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def static_files() -> StaticFiles:
    """The dashboard's style sheets, scripts and icon."""
    return _Static(directory=os.fspath(_FOLDER / "static"))


def dashboard_routes(platform: Platform, pages: Pages) -> APIRouter:
    """GET / and the fragments it renews itself from."""
    routes = APIRouter(include_in_schema=False)
    overviews = Overviews(platform)

    @routes.get("/")
    def home(request: Request, project: _ProjectFilter = None) -> Response:
        """Show projects, deployments and services."""
        return _overview("home.html", request, project)

    @routes.get("/fragments/overview")
    def overview(request: Request, project: _ProjectFilter = None) -> Response:
        """Render the parts of the home page that change."""
        return _overview("fragment.html", request, project)

    def _overview(template: str, request: Request, project: str | None) -> Response:
        principal: Principal = request.state.principal
        chosen = project or principal.project
        gathered = overviews.gather(principal, chosen)
        return pages.render(
            template,
            overview=gathered,
            principal=principal,
            csrf=request.state.csrf,
            project=chosen,
            project_names=overviews.project_names(principal),
            mlflow_url=platform.addresses.mlflow,
        )

    return routes
