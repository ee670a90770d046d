"""Compare: runs side by side, what differs first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from mlops.dashboard import plots
from mlops.dashboard.frame import Frame, Page, Region, Scope
from mlops.dashboard.run import Other, check_reach, names_of, others_than
from mlops.dashboard.traces import Trace, traces
from mlops.metric_order import by_kinship
from mlops.platform import Platform
from mlops.store.indexed_runs import IndexedRun
from mlops.tracking.side_by_side import (
    MetricRow,
    ParamRow,
    SideBySide,
    place_of,
    read_runs,
    side_by_side,
)

PATH = "/compare"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs with what differs, and how parameters and a metric hang together."""

    runs: tuple[IndexedRun, ...] = ()
    traces: tuple[Trace, ...] = ()
    found: SideBySide | None = None
    """None of no run."""
    params: tuple[ParamRow, ...] = ()
    """Those that are shown."""
    alike: int = 0
    """Parameters that all runs have the same."""
    own: tuple[MetricRow, ...] = ()
    hardware: tuple[MetricRow, ...] = ()
    metric: str = ""
    """Of the drawings."""
    drawing: plots.Drawing | None = None
    scatter: plots.Scatter | None = None
    offered: tuple[Other, ...] = ()
    """Runs that may be added."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Curves of one metric."""

    traces: tuple[Trace, ...]
    metric: str
    metrics: tuple[str, ...]
    """That may be drawn."""


def compare_page(platform: Platform) -> Page:
    """`/compare`."""

    def runs_of(scope: Scope) -> list[IndexedRun]:
        return [run for run, _ in platform.runs.several(read_runs(scope.several("run")))]

    def comparison(scope: Scope) -> Comparison:
        runs = runs_of(scope)
        projects = list(dict.fromkeys(run.project for run in runs)) or [scope.project or ""]
        offered = others_than(platform, runs, filter(None, projects))
        if not runs:
            return Comparison(offered=offered)
        held = place_of(scope.option("baseline"), read_runs(scope.several("run")))
        ways = {
            **dict.fromkeys(scope.several("higher"), True),
            **dict.fromkeys(scope.several("lower"), False),
        }
        found = side_by_side(runs, held, by_best=scope.option("of") == "best", ways=ways)
        place = {name: at for at, name in enumerate(by_kinship(_names(runs), _primary(platform, runs)))}
        rows = sorted(found.metrics, key=lambda row: place[row.name])
        differing = tuple(row for row in found.params if row.differs)
        metric = _metric(platform, scope, runs)
        drawing, scatter = _drawings(runs, found, differing, metric, scope.option("param"))
        return Comparison(
            tuple(runs), traces(runs), found,
            params=found.params if scope.option("params") == "all" else differing,
            alike=len(found.params) - len(differing),
            own=tuple(row for row in rows if not row.name.startswith("system/")),
            hardware=tuple(row for row in rows if row.name.startswith("system/")),
            metric=metric, drawing=drawing, scatter=scatter, offered=offered,
        )  # fmt: skip

    def curves(scope: Scope) -> Drawn:
        runs = runs_of(scope)
        own, hardware = names_of(runs)
        names = tuple(name for name, _ in (*own, *hardware))
        return Drawn(traces(runs), _metric(platform, scope, runs), names)

    return Page(
        path=PATH,
        title="Compare",
        template="compare.html",
        icon="compare",
        options=("run", "baseline", "params", "of", "higher", "lower", "metric", "param"),
        # Runs change with every value that is logged: they are not read again as often.
        regions={
            "comparison": Region(comparison, every_s=10, indexed=True),
            "curves": Region(curves, every_s=10),
        },
    )


def compare_pages(platform: Platform, frame: Frame) -> APIRouter:
    """GET /compare."""
    routes = APIRouter()
    page = frame.add(compare_page(platform))

    @routes.get(PATH)
    async def show_comparison(
        request: Request,
        run: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI's own way to have none
    ) -> Response:
        """Show runs side by side."""
        check_reach(request, run)
        return await frame.show(request, page)

    return routes


def _drawings(
    runs: Sequence[IndexedRun], found: SideBySide, differing: Sequence[ParamRow], metric: str, param: str
) -> tuple[plots.Drawing | None, plots.Scatter | None]:
    """The drawings of two runs or more; without any where nothing differs, or there is no such metric."""
    values = [run.metrics[metric].last if metric in run.metrics else None for run in runs]
    up = plots.scale(metric, [None if value is None or math.isnan(value) else value for value in values])
    if len(runs) < 2 or not differing or not up.ticks:
        return None, None
    scales = [plots.scale(row.name, row.values) for row in differing[: plots.MOST_AXES - 1]]
    chosen = next((row for row in found.params if row.name == param), differing[0])
    return plots.parallel([*scales, up]), plots.scatter(plots.scale(chosen.name, chosen.values), up)


def _metric(platform: Platform, scope: Scope, runs: Sequence[IndexedRun]) -> str:
    """The one that is asked for, else the primary one of the runs' project, else the first."""
    asked = scope.option("metric")
    if asked in _names(runs):
        return asked
    own = sorted(name for name in _names(runs) if not name.startswith("system/"))
    return _primary(platform, runs) or (own[0] if own else "")


def _primary(platform: Platform, runs: Sequence[IndexedRun]) -> str:
    """The first of the projects' primary metrics that a run has; "" where none has."""
    stated = platform.runs.primary_metrics()
    return min({stated.get(run.project, "") for run in runs} & _names(runs), default="")


def _names(runs: Sequence[IndexedRun]) -> set[str]:
    return {name for run in runs for name in run.metrics}
