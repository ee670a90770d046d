"""A run: what it is, what it was made of, its curves, figures, artifacts, parameters, data and logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from mlops.dashboard.frame import Frame, Page, Region, Scope
from mlops.dashboard.traces import Trace, traces
from mlops.errors import Forbidden, InvalidInput
from mlops.metric_order import by_kinship
from mlops.platform import Platform
from mlops.store.indexed_runs import IndexedRun
from mlops.store.run_query import RunQuery
from mlops.store.tokens import Principal
from mlops.tracking.run_files import RunFile
from mlops.tracking.run_lineage import RunLineage
from mlops.tracking.run_log import RunLog
from mlops.tracking.side_by_side import read_runs

TABS = {
    "charts": "Charts",
    "figures": "Figures",
    "artifacts": "Artifacts",
    "params": "Parameters and data",
    "log": "Logs",
}
MOST_CURVES = 300
"""Charts on a page; they are drawn as they come into sight."""
_OTHERS = 20
"""Newest runs of a project that may be added to those that are shown."""
_HARDWARE = "system/"
_UNITS = {"watts": "W", "percentage": "%", "megabytes": "MB", "joules": "J"}
_FIRST = ("gpu", "power", "thermal", "cpu", "memory")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run is."""

    run: IndexedRun
    url: str
    """Its page in MLflow's own UI."""


@dataclass(frozen=True, slots=True)
class Story:
    """A run with its lineage."""

    run: IndexedRun
    lineage: RunLineage
    namespace: str
    """Its workspace in MLflow."""


@dataclass(frozen=True, slots=True)
class Other:
    """A run that may be added: what stays as it is while the run goes on."""

    reference: str
    """As URLs name it."""
    name: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Single:
    """A metric that is no curve."""

    name: str
    values: tuple[float | None, ...]
    """Of each run; None where it has none."""


@dataclass(frozen=True, slots=True)
class Curves:
    """What is drawn of which runs."""

    traces: tuple[Trace, ...]
    """The run itself first."""
    metrics: tuple[tuple[str, str], ...]
    """Names with what people read; the primary one first."""
    hardware: tuple[tuple[str, str], ...]
    others: tuple[Other, ...]
    """That may be laid over it."""
    single: tuple[Single, ...] = ()
    """What no run has more than one value of."""


@dataclass(frozen=True, slots=True)
class Files:
    """A folder of artifacts."""

    folder: str
    parents: tuple[tuple[str, str], ...]
    """Name and path of each folder on the way to it, itself last."""
    files: tuple[RunFile, ...]


def run_page(platform: Platform, project: str, run_id: str, tab: str = "charts") -> Page:
    """`/runs/{project}/{run_id}`."""
    facts = platform.run_facts

    def summary(scope: Scope) -> Summary:
        return Summary(*platform.runs.get(project, run_id))

    def lineage(scope: Scope) -> Story:
        run, _ = platform.runs.get(project, run_id)
        return Story(run, facts.lineage(project, run.id), platform.project(project).namespace)

    def curves(scope: Scope) -> Curves:
        wanted = read_runs([f"{project}/{run_id}", *scope.several("with")])
        runs = [run for run, _ in platform.runs.several(wanted)]
        primary = str(platform.project_settings(project).get("primary_metric", ""))
        single = _single(runs, primary)
        own, hardware = names_of(runs, primary, leave_out={each.name for each in single})
        return Curves(traces(runs), own, hardware, others_than(platform, runs, [project]), single)

    def figures(scope: Scope) -> tuple[RunFile, ...]:
        return tuple(facts.figures(project, run_id))

    def artifacts(scope: Scope) -> Files:
        folder = scope.option("path")
        return Files(folder, _parents(folder), tuple(facts.files(project, run_id, folder)))

    def log(scope: Scope) -> RunLog:
        return facts.log(project, run_id, scope.option("log"))

    found: Mapping[str, Callable[[Scope], Any]] = {
        "charts": curves, "figures": figures, "artifacts": artifacts, "params": lineage, "log": log,
    }  # fmt: skip
    # Runs change with every value that is logged: only what shows their state is read as often.
    every_s = {"charts": 5, "figures": 60, "artifacts": 60, "params": 30, "log": 5}
    return Page(
        path=f"/runs/{project}/{quote(run_id, safe='')}",
        title="Run",
        template="run.html",
        within="/runs",
        options=("tab", "with", "path", "log"),
        project=project,
        regions={
            "summary": Region(summary, ("runs",), indexed=True),
            "lineage": Region(lineage, ("deployments", "drift"), every_s=30),
            tab: Region(found[tab], every_s=every_s[tab]),
        },
    )


def one_run_pages(platform: Platform, frame: Frame) -> APIRouter:
    """GET /runs/{project}/{run_id}."""
    routes = APIRouter()

    @routes.get("/runs/{project}/{run_id}")
    async def show_run(
        request: Request,
        project: str,
        run_id: str,
        tab: str = "charts",
        others: Annotated[list[str], Query(alias="with")] = [],  # noqa: B006 - FastAPI's own way
    ) -> Response:
        """Show a run, or a tab of it."""
        if tab not in TABS:
            raise InvalidInput("tab", tab[:40], "is none", remedy=f"Use one of: {', '.join(TABS)}.")
        check_reach(request, others)
        return await frame.show(request, run_page(platform, project, run_id, tab), tabs=TABS, tab=tab)

    return routes


def check_reach(request: Request, runs: Iterable[str]) -> None:
    """Raises `Forbidden` for a run, as `project/run`, of a project that is not the caller's, `InvalidInput`
    for what names none, and for too many."""
    caller: Principal = request.state.principal
    for project, _ in read_runs([each for each in runs if each]):
        if not caller.may_use(project):
            raise Forbidden(f"use project {project!r}")


def others_than(platform: Platform, runs: Sequence[IndexedRun], projects: Iterable[str]) -> tuple[Other, ...]:
    """The newest runs of the projects that are not among these; none of no project."""
    names = tuple(projects)
    if not names:
        return ()
    known = {run.id for run in runs}
    newest = platform.runs.search(RunQuery(projects=names, limit=_OTHERS + len(runs)), metrics=())
    return tuple(
        Other(f"{run.project}/{run.id}", run.name or run.id[:8], run.started_at)
        for run, _ in newest.runs
        if run.id not in known
    )


def names_of(
    runs: Iterable[IndexedRun], primary: str = "", leave_out: Collection[str] = ()
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """The metrics of the runs with what people read, the primary one and its kin first, and what was
    measured of machines: GPU and power first."""
    names = {name for run in runs for name in run.metrics}.difference(leave_out)
    own = by_kinship((name for name in names if not name.startswith(_HARDWARE)), primary)
    hardware = sorted(names.difference(own), key=lambda name: (_place(name), name))
    return (
        tuple((name, name) for name in own[:MOST_CURVES]),
        tuple((name, hardware_label(name)) for name in hardware[:MOST_CURVES]),
    )


def _single(runs: Sequence[IndexedRun], primary: str) -> tuple[Single, ...]:
    """The metrics, not of machines, that every run that has them has one value of."""
    names = {name for run in runs for name in run.metrics if not name.startswith(_HARDWARE)}
    curves = {name for run in runs for name, metric in run.metrics.items() if metric.points != 1}
    return tuple(
        Single(name, tuple(run.metrics[name].last if name in run.metrics else None for run in runs))
        for name in by_kinship(names - curves, primary)
    )


def hardware_label(name: str) -> str:
    """`system/gpu_0_power_usage_watts` as `GPU 0 power usage, W`."""
    words = name.removeprefix(_HARDWARE).split("_")
    unit = _UNITS.get(words[-1], "")
    text = " ".join(words[:-1] if unit else words)
    text = re.sub(r"\b(gpu|cpu|ane|dram)\b", lambda found: found[0].upper(), text)
    return (text[:1].upper() + text[1:]) + (f", {unit}" if unit else "")


def _place(name: str) -> int:
    return next((place for place, word in enumerate(_FIRST) if word in name), len(_FIRST))


def _parents(folder: str) -> tuple[tuple[str, str], ...]:
    parts = folder.split("/") if folder else []
    return tuple((part, "/".join(parts[: place + 1])) for place, part in enumerate(parts))
