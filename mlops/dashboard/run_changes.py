"""What is done about selected runs: their questions in the side sheet, and the forms that do it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from mlops.dashboard.actions import ASKS, OUR_FORM, done
from mlops.dashboard.frame import Frame, Page
from mlops.errors import InvalidInput
from mlops.platform import Platform
from mlops.store.tokens import Principal
from mlops.tracking.run_changes import MOST_ARCHIVED, Outcome
from mlops.tracking.side_by_side import read_run, read_runs

_Run = Annotated[str, Query(max_length=1000)]
_Asked = Annotated[list[_Run], Query()]
_Given = Annotated[list[Annotated[str, Form(max_length=1000)]], Form()]
_Tag = Annotated[str, Form(max_length=500)]
_SHEETS = "run_changes.html"


def run_change_routes(platform: Platform, frame: Frame, runs: Page) -> APIRouter:
    """GET and POST of /runs/tag and /runs/archive; GET /runs/archived, POST /runs/restore."""
    routes = APIRouter()
    desk = platform.run_changes

    def ask(request: Request, verb: str, run: Sequence[str]) -> Response:
        if not run:
            raise InvalidInput("run", "", "is none", remedy="Select some runs first.")
        caller: Principal = request.state.principal
        found = [each for each, _ in platform.runs.several(read_runs(run), caller.project)]
        return frame.sheet(request, "ask", _SHEETS, verb=verb, runs=found)

    def told(request: Request, outcome: Outcome, verb: str) -> Response:
        """What became of each run, and how it is undone; the runs that are shown are read again."""
        shown = frame.sheet(request, "outcome", _SHEETS, outcome=outcome, verb=verb)
        shown.headers["HX-Trigger"] = json.dumps({"live:runs": "", "unpick": ""})
        return shown

    @routes.get("/runs/tag", dependencies=ASKS)
    def ask_tag(request: Request, run: _Asked = []) -> Response:  # noqa: B006
        """Ask which tag the selected runs shall have."""
        return ask(request, "tag", run)

    @routes.post("/runs/tag", dependencies=OUR_FORM)
    def tag(request: Request, run: _Given = [], key: _Tag = "", value: _Tag = "") -> Response:  # noqa: B006
        """Tag them."""
        caller: Principal = request.state.principal
        outcome = desk.tag(
            [read_run(each) for each in run], {key.strip(): value}, caller.name, caller.project
        )
        if outcome.failed:
            return told(request, outcome, "tagged")
        return done(f"{_runs(outcome)} tagged.", "runs")

    @routes.get("/runs/archive", dependencies=ASKS)
    def ask_archive(request: Request, run: _Asked = []) -> Response:  # noqa: B006
        """Ask whether the selected runs shall leave the tables."""
        return ask(request, "archive", run)

    @routes.post("/runs/archive", dependencies=OUR_FORM)
    def archive(request: Request, run: _Given = []) -> Response:  # noqa: B006
        """Archive them."""
        caller: Principal = request.state.principal
        outcome = desk.archive([read_run(each) for each in run], caller.name, caller.project)
        return told(request, outcome, "archived")

    @routes.get("/runs/archived", dependencies=ASKS)
    async def show_archived(request: Request) -> Response:
        """Show a project's archived runs, and ask which shall come back."""
        view = await frame.view(request, runs)
        project, within = view.scope.project, view.principal.project
        found = await run_in_threadpool(desk.archived, project, within) if project else []
        return frame.sheet(
            request, "archived", _SHEETS, project=project, runs=found, is_cut=len(found) >= MOST_ARCHIVED
        )

    @routes.post("/runs/restore", dependencies=OUR_FORM)
    def restore(request: Request, run: _Given = []) -> Response:  # noqa: B006
        """Bring archived runs back."""
        caller: Principal = request.state.principal
        outcome = desk.restore([read_run(each) for each in run], caller.name, caller.project)
        if outcome.failed:
            return told(request, outcome, "restored")
        return done(f"{_runs(outcome)} restored, and shown again within seconds.", "runs")

    return routes


def _runs(outcome: Outcome) -> str:
    count = len(outcome.changed)
    return "1 run is" if count == 1 else f"{count} runs are"
