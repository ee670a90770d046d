"""Runs: those that a question finds, over all projects, as a table with columns that are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from mlops.dashboard.columns import (
    TREND,
    Cell,
    Column,
    Kind,
    chosen_columns,
    offered_columns,
    usual_columns,
)
from mlops.dashboard.frame import Frame, Page, Region, Scope
from mlops.dashboard.run_changes import run_change_routes
from mlops.dashboard.views import query_of, view_routes, view_url
from mlops.errors import InvalidInput
from mlops.platform import Platform
from mlops.store.indexed_runs import IndexedRun
from mlops.store.run_query import MOST_SORTS, Of, RunQuery, RunSort
from mlops.store.run_views import RunView
from mlops.store.sparks import Spark
from mlops.tracking.run_desk import RunNames
from mlops.tracking.view_desk import FIELDS

PATH = "/runs"
LIMIT = 100
"""Runs on a page."""
STATES = ("running", "finished", "failed", "killed")


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a column."""

    words: str
    note: str = ""
    """Which of a metric's values it has, if not the last."""
    column: str = ""
    """As a URL names it; empty for those that are always there."""
    sort: str = ""
    """The order that a click asks for; empty where there is none."""
    then: tuple[str, ...] = ()
    """The order that a click with shift asks for."""
    order: str = ""
    """`ascending` or `descending` where the table is in its order."""
    place: int = 0
    """Of it among the keys of the table's order, from 1."""
    is_numeric: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A run as the table shows it."""

    id: str
    project: str
    name: str
    state: str
    started_at: datetime
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A page of the runs that are wanted."""

    started: Heading = field(default_factory=lambda: Heading("Started"))
    headings: tuple[Heading, ...] = ()
    """Of the chosen columns."""
    rows: tuple[Row, ...] = ()
    next: str | None = None
    """Cursor of the page that follows; None after the last."""
    sorted_by: str = ""
    """The metric that a run must have to be here; empty where the order is that of their starts."""
    keys: int = 1
    """Of the order."""
    problem: str = ""
    """What of the question cannot be read; then there are no rows."""
    remedy: str = ""


def runs_page(platform: Platform) -> Page:
    """`/runs`."""

    def runs(scope: Scope) -> Table:
        try:
            query = question(scope)
        except InvalidInput as error:
            return Table(problem=error.message, remedy=error.remedy)
        primary = platform.runs.primary_metrics()
        columns = _columns(platform, scope, primary)
        shown = {column.name for column in columns if column.kind is Kind.METRIC} | set(primary.values())
        found = platform.runs.search(query, metrics=shown)
        ids = [run.id for run, _ in found.runs] if TREND in columns else []
        sparks = platform.runs.sparks(ids)
        return Table(
            started=_sorting(Heading("Started"), RunSort(), query.order),
            headings=tuple(_heading(each, query.order) for each in columns),
            rows=tuple(_row(run, columns, primary, sparks.get(run.id)) for run, _ in found.runs),
            next=found.next,
            sorted_by=query.order[0].metric,
            keys=len(query.order),
        )

    def views(scope: Scope) -> tuple[RunView, ...]:
        return tuple(view for view in platform.views.all(scope.project) if view.project == scope.project)

    return Page(
        path=PATH,
        title="Runs",
        template="runs.html",
        icon="runs",
        options=(*FIELDS, "cursor"),
        regions={
            "views": Region(views, ("views",), every_s=60),
            "runs": Region(runs, ("runs",), every_s=30, indexed=True),
        },
    )


def runs_routes(platform: Platform, frame: Frame) -> APIRouter:
    """GET /runs and /runs/columns, and what is done about saved views."""
    routes = APIRouter()
    page = frame.add(runs_page(platform))

    @routes.get(PATH)
    async def show_runs(request: Request) -> Response:
        """Show the runs that are wanted."""
        return await frame.show(request, page, states=STATES, query_of=query_of, view_url=view_url)

    @routes.get(f"{PATH}/columns")
    async def choose_columns(request: Request) -> Response:
        """Ask which columns shall be shown."""
        view = await frame.view(request, page)
        offered = await run_in_threadpool(_offered, platform, view.scope)
        return frame.sheet(request, "columns", "runs_sheets.html", scope=view.scope, offered=offered)

    routes.include_router(view_routes(platform, frame, page))
    routes.include_router(run_change_routes(platform, frame, page))
    return routes


def question(scope: Scope) -> RunQuery:
    """What the URL asks for; raises `InvalidInput` with the field that cannot be read."""
    return RunQuery.of(
        project=[scope.project] if scope.project else [],
        state=scope.several("state"),
        since=scope.option("since"),
        until=scope.option("until"),
        tag=scope.several("tag"),
        param=scope.several("param"),
        metric=scope.several("metric"),
        text=scope.option("text"),
        sort=scope.several("sort"),
        limit=LIMIT,
        cursor=scope.option("cursor"),
    )


def _columns(platform: Platform, scope: Scope, primary: Mapping[str, str]) -> tuple[Column, ...]:
    first = primary.get(scope.project, "") if scope.project else None
    return chosen_columns(scope.several("column"), usual_columns(_names(platform, scope), first))


def _offered(platform: Platform, scope: Scope) -> dict[str, list[Column]]:
    chosen = _columns(platform, scope, platform.runs.primary_metrics())
    return offered_columns(_names(platform, scope), chosen)


def _names(platform: Platform, scope: Scope) -> RunNames:
    return platform.runs.names(RunQuery(projects=(scope.project,) if scope.project else None))


def _heading(column: Column, order: tuple[RunSort, ...]) -> Heading:
    note = column.of.value if column.of is not Of.LAST else ""
    heading = Heading(column.heading, note, str(column), is_numeric=column.is_numeric)
    return heading if column.first_sort is None else _sorting(heading, column.first_sort, order)


def _sorting(heading: Heading, first: RunSort, order: tuple[RunSort, ...]) -> Heading:
    """A click asks for the order `first` alone, and with shift for it as the last key. Of a key of `order` it
    asks for the other way; with shift, once it has been both ways, for the others without it."""
    places = [(key.metric, key.of) for key in order]
    if (first.metric, first.of) not in places:
        return replace(heading, sort=str(first), then=_texts((*order[: MOST_SORTS - 1], first)))
    place = places.index((first.metric, first.of))
    now, before, after = order[place], order[:place], order[place + 1 :]
    turned = replace(now, descending=not now.descending)
    is_through = now.descending != first.descending and len(order) > 1
    return replace(
        heading,
        sort=str(turned),
        then=_texts((*before, *after) if is_through else (*before, turned, *after)),
        order="descending" if now.descending else "ascending",
        place=place + 1,
    )


def _texts(order: tuple[RunSort, ...]) -> tuple[str, ...]:
    return tuple(str(key) for key in order)


def _row(run: IndexedRun, columns: Sequence[Column], primary: Mapping[str, str], spark: Spark | None) -> Row:
    return Row(
        id=run.id,
        project=run.project,
        name=run.name or run.id[:8],
        state=run.status.value.lower(),
        started_at=run.started_at,
        cells=tuple(column.cell(run, primary, spark) for column in columns),
    )
