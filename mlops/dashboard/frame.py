"""What all pages share: the rail, the header, who looks at what, and regions that are renewed by themselves.

A page is a template with a block for each of its regions. A region is read by a function of a `Scope`, in a
thread and by itself; its block finds the `Part` under the region's name. `GET` of the page's own URL gives
the whole page, and with the header `HX-Target: <region>`, which htmx sends, that block alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool

from mlops.dashboard.index_age import of_index
from mlops.dashboard.parts import Part, Parts
from mlops.dashboard.rendering import Templates
from mlops.dashboard.single_flight import SingleFlight
from mlops.durations import read_duration
from mlops.errors import Forbidden, InvalidInput, ProjectNotFound
from mlops.platform import Platform
from mlops.project import check_project_name
from mlops.store.tokens import Principal

RANGES = {"1h": "last hour", "6h": "last 6 h", "24h": "last 24 h", "7d": "last 7 days", "30d": "last 30 days"}
USUAL_RANGE = "24h"
LONGEST, MOST_VALUES = 4000, 60
"""Characters of a field of the URL, and values of one name."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a region is read for; regions of one scope are the same for everybody who may see it."""

    project: str | None
    """None for all."""
    range: str = USUAL_RANGE
    options: tuple[tuple[str, str], ...] = ()
    """Further fields of the URL that the page knows, in its order; a name may come several times."""

    @property
    def range_s(self) -> float:
        """How far back is looked, in s."""
        return read_duration(self.range, "range")

    @property
    def since(self) -> datetime:
        """From when on."""
        return datetime.now(UTC) - timedelta(seconds=self.range_s)

    def option(self, name: str) -> str:
        """A field of the URL; "" where it is not given."""
        return dict(self.options).get(name, "")

    def several(self, name: str) -> tuple[str, ...]:
        """All values that the URL gives a field."""
        return tuple(value for each, value in self.options if each == name)

    def fields(self, **changed: str | Sequence[str] | None) -> dict[str, str | Sequence[str] | None]:
        """The URL's own fields, for a link to the same with some of them changed."""
        given = {"project": self.project, "range": self.range if self.range != USUAL_RANGE else None}
        return given | {name: self.several(name) for name, _ in self.options} | changed


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a page that is read and renewed by itself."""

    read: Callable[[Scope], Any]
    """Blocks, and may raise `MLOpsError`."""
    topics: tuple[str, ...] = ()
    """Topics of `GET /events` after which it is read again."""
    every_s: int | None = None
    """It is read again after so many s, too: for figures that no event announces."""
    for_admins: bool = False
    """Members do not get it."""
    indexed: bool = False
    """Whether it is from the index of what MLflow has, and says as of when."""

    @property
    def trigger(self) -> str:
        """htmx's words for when it is read again."""
        found = [f"live:{topic} from:body" for topic in self.topics]
        return ", ".join(
            [*found, "live:all from:body", "put-off", *([f"every {self.every_s}s"] if self.every_s else [])]
        )


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the dashboard."""

    path: str
    title: str
    template: str
    regions: Mapping[str, Region]
    icon: str = ""
    """In the rail; pages without one are not in it."""
    within: str = ""
    """Path of the page in the rail that it belongs to."""
    ranged: bool = False
    """Whether the time range of the header is for it."""
    charts: bool = False
    """Whether it draws charts."""
    options: tuple[str, ...] = ()
    """Further fields of its URL."""
    project: str = ""
    """Of a page about something of one project, which its path names."""


@dataclass(frozen=True, slots=True)
class View:
    """A page as one caller looks at it."""

    page: Page
    scope: Scope
    principal: Principal
    csrf: str
    names: tuple[str, ...] = ()
    """Projects of the switcher."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def may_change(self) -> bool:
        """Whether the actions of the page are shown: they need a session, and more than a viewer's role."""
        return bool(self.csrf) and self.principal.may_change


class Frame:
    """Shows pages; one for each gateway."""

    def __init__(self, platform: Platform, templates: Templates) -> None:
        self.platform = platform
        self._templates = templates
        self._parts = Parts()
        self._rendering: SingleFlight[HTMLResponse] = SingleFlight()
        self._rail: list[Page] = []

    def add(self, page: Page) -> Page:
        """Have the page in the rail, if it has an icon."""
        if page.icon:
            self._rail.append(page)
        return page

    async def show(self, request: Request, page: Page, **values: Any) -> Response:
        """The page, or the one region that is asked for: 204 where it still is what the asker has. Raises
        `Forbidden` for a project out of reach, `ProjectNotFound`, and `InvalidInput` for a field of the URL
        that cannot be taken."""
        view = await self.view(request, page)
        asked = request.headers.get("hx-target", "")
        if asked in page.regions:
            if page.regions[asked].for_admins and view.principal.project is not None:
                raise Forbidden(f"see the region {asked!r}")
            return await self._region(request, view, asked, values)
        wanted = [
            name
            for name, region in page.regions.items()
            if not region.for_admins or view.principal.project is None
        ]
        # All are waited for: none goes on reading for nobody where another one cannot be shown.
        found = await asyncio.gather(*(self._read(view, name) for name in wanted), return_exceptions=True)
        for part in found:
            if isinstance(part, BaseException):
                raise part
        nothing: dict[str, Part | None] = dict.fromkeys(page.regions)
        return await self._render(
            request, view, "", {**nothing, **dict(zip(wanted, found, strict=True)), **values}
        )

    def sheet(
        self, request: Request, action: str, template: str = "sheets.html", **values: Any
    ) -> HTMLResponse:
        """What the side sheet shows: the block of that name of the template."""
        csrf: str = request.state.csrf
        return self._templates.render(template, block=action, csrf=csrf, **values)

    async def problem(self, request: Request, message: str, remedy: str, status: int) -> HTMLResponse:
        """A page that says what failed, for somebody who asked for another one."""
        page = Page(request.url.path, "Not shown", "problem.html", {})
        principal: Principal = request.state.principal
        view = View(page, Scope(principal.project), principal, request.state.csrf)
        return await self._render(request, view, "", {"message": message, "remedy": remedy}, status)

    async def view(self, request: Request, page: Page) -> View:
        """The page as the caller looks at it; raises as `show` does."""
        principal: Principal = request.state.principal
        query = request.query_params
        project = page.project or query.get("project") or principal.project
        if project is not None:
            check_project_name(project, "project")
            if not principal.may_use(project):
                raise Forbidden(f"use project {project!r}")
        chosen = query.get("range") or USUAL_RANGE
        if chosen not in RANGES:
            raise InvalidInput(
                "range", chosen[:40], "is no range", remedy=f"Use one of: {', '.join(RANGES)}."
            )
        options = tuple(
            (name, value[:LONGEST])
            for name in page.options
            for value in query.getlist(name)[:MOST_VALUES]
            if value
        )
        names = await self._names(principal)
        if project is not None and names and project not in names:
            raise ProjectNotFound(project)
        return View(page, Scope(project, chosen, options), principal, request.state.csrf, names)

    async def _names(self, principal: Principal) -> tuple[str, ...]:
        known = await self._parts.read(
            "names", lambda: [each.project_name for each in self.platform.projects()]
        )
        return tuple(name for name in known.value or () if principal.may_use(name))

    async def _region(self, request: Request, view: View, asked: str, values: Mapping[str, Any]) -> Response:
        part = await self._read(view, asked)
        if request.headers.get("x-region-version") == part.version:
            return Response(status_code=204)
        # One event has every open page ask for the same at once: it is rendered for the first of them.
        key = (str(request.url), request.headers.get("accept-encoding"), asked, part.version, view.principal)
        rendering = self._rendering.join(
            (*key, bool(view.csrf)), lambda: self._render(request, view, asked, {asked: part, **values})
        )
        await asyncio.wait([rendering])
        made = rendering.result()
        return Response(made.body, made.status_code, dict(made.headers))

    async def _read(self, view: View, name: str) -> Part:
        scope, region = view.scope, view.page.regions[name]
        return await self._parts.read(
            (view.page.path, name, scope),
            lambda: self._read_indexed(region, scope) if region.indexed else region.read(scope),
        )

    def _read_indexed(self, region: Region, scope: Scope) -> Part:
        freshness = self.platform.runs.freshness(scope.project)  # first: what is read then is at least as new
        return of_index(region.read(scope), freshness)

    async def _render(
        self, request: Request, view: View, block: str, values: Mapping[str, Any], status: int = 200
    ) -> HTMLResponse:
        compressed = "gzip" in request.headers.get("accept-encoding", "")
        return await run_in_threadpool(
            self._templates.render,
            view.page.template,
            status,
            block=block,
            compressed=compressed,
            view=view,
            rail=self._rail,
            ranges=RANGES,
            mlflow_url=self.platform.addresses.mlflow,
            **values,
        )
