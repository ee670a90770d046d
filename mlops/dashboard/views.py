"""Saved views of runs: their questions in the side sheet, and the forms that make, change and remove them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from mlops.dashboard.actions import ASKS, OUR_FORM, done
from mlops.dashboard.frame import Frame, Page, Scope
from mlops.dashboard.rendering import link
from mlops.platform import Platform
from mlops.store.run_views import RunView
from mlops.store.tokens import Principal
from mlops.tracking.view_desk import FIELDS, LONGEST_NAME, LONGEST_QUERY

_Number = Annotated[int, Path(ge=1, lt=2**63)]
_Name = Annotated[str, Form(max_length=LONGEST_NAME)]
_Query = Annotated[str, Form(max_length=LONGEST_QUERY)]
_SHEETS = "runs_sheets.html"


def view_url(view: RunView) -> str:
    """The page that shows what the view asks for."""
    path = link("/runs", project=view.project)
    return path + ("&" if "?" in path else "?") + view.query if view.query else path


def query_of(scope: Scope) -> str:
    """What a view of that page would keep."""
    return urlencode([(name, value) for name in FIELDS for value in scope.several(name)])


def view_routes(platform: Platform, frame: Frame, runs: Page) -> APIRouter:
    """GET and POST /views/new; GET /views/{number}, GET and POST /views/{number}/change, POST …/remove."""
    routes = APIRouter()
    desk = platform.views

    @routes.get("/views/new", dependencies=ASKS)
    async def ask_save(request: Request) -> Response:
        """Ask for the name of what the page shows."""
        scope = (await frame.view(request, runs)).scope
        return frame.sheet(request, "save", _SHEETS, project=scope.project, query=query_of(scope))

    @routes.post("/views/new", dependencies=OUR_FORM)
    def save(request: Request, name: _Name = "", query: _Query = "", project: _Name = "") -> Response:
        """Keep it."""
        caller: Principal = request.state.principal
        view = desk.save(project or None, name, query, caller.name, caller.project)
        return done(f"{view.name} is saved.", "views")

    @routes.get("/views/{number}")
    def show(request: Request, number: _Number) -> Response:
        """Lead to what a view shows now: a URL that stays when the view is changed."""
        return RedirectResponse(view_url(_view(platform, request, number)), 303)

    @routes.get("/views/{number}/change", dependencies=ASKS)
    async def ask_change(request: Request, number: _Number) -> Response:
        """Ask for another name, whether it shall ask for what the page shows, or whether it shall go."""
        query = query_of((await frame.view(request, runs)).scope)
        saved = await run_in_threadpool(_view, platform, request, number)
        address = f"{platform.addresses.gateway}/views/{number}"
        return frame.sheet(request, "change", _SHEETS, saved=saved, query=query, address=address)

    @routes.post("/views/{number}/change", dependencies=OUR_FORM)
    def change(
        request: Request,
        number: _Number,
        name: _Name = "",
        query: Annotated[str | None, Form(max_length=LONGEST_QUERY)] = None,
    ) -> Response:
        """Give it another name, or the question that the page shows."""
        caller: Principal = request.state.principal
        view = desk.change(number, caller.name, caller.project, name=name or None, query=query)
        return done(f"{view.name} is changed.", "views")

    @routes.post("/views/{number}/remove", dependencies=OUR_FORM)
    def remove(request: Request, number: _Number) -> Response:
        """Remove it."""
        caller: Principal = request.state.principal
        desk.remove(number, caller.name, caller.project)
        return done("The view is removed.", "views")

    return routes


def _view(platform: Platform, request: Request, number: int) -> RunView:
    caller: Principal = request.state.principal
    return platform.views.get(number, caller.project)
