"""How right models were: by version over time, champion against canary and shadow; and Evidently's own UI."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.dashboard.frame import Page, Region, Scope
from mlops.entities import PerformanceReport
from mlops.errors import InvalidInput
from mlops.monitoring.evidently_client import START
from mlops.monitoring.evidently_files import project_id
from mlops.platform import Platform

MOST_MODELS = 8
"""Whose charts are on one page."""


@dataclass(frozen=True, slots=True)
class Charted:
    """A model whose performance is drawn."""

    project: str
    model: str


@dataclass(frozen=True, slots=True)
class Evidently:
    """Evidently's own UI."""

    runs: bool
    path: str
    """Of the gateway, by which it is reached: the project's page there where one is looked at."""
    start: str = START


def performance_region(platform: Platform) -> Region:
    """Of Monitoring: models of projects that any ground truth was logged of."""

    def performance(scope: Scope) -> tuple[Charted, ...]:
        labelled, wanted = platform.performance.labelled(), scope.option("model")
        found = [
            Charted(project, model)
            for project, model in platform.board.models(scope.project)
            if project in labelled and wanted in ("", model)
        ]
        return tuple(found[:MOST_MODELS])

    return Region(performance, ("deployments",), every_s=60)


def evidently_region(platform: Platform) -> Region:
    """Of Monitoring: whether Evidently's UI runs, and where."""

    def evidently(scope: Scope) -> Evidently:
        page = f"projects/{project_id(scope.project)}" if scope.project else ""
        return Evidently(platform.evidently_answers(), f"/evidently/{page}")

    return Region(evidently, ("status",), every_s=60)


def performance_page(platform: Platform) -> Page:
    """`/monitoring/performance` of the project and model that the URL names."""

    def performance(scope: Scope) -> PerformanceReport:
        if scope.project is None or not scope.option("model"):
            raise InvalidInput("model", "", "is not named", remedy="Name a model and its project.")
        platform.project(scope.project)
        return platform.performance.report(scope.project, scope.option("model"), window_s=scope.range_s)

    return Page(
        path="/monitoring/performance",
        title="Performance",
        template="performance.html",
        within="/monitoring",
        ranged=True,
        charts=True,
        options=("model",),
        regions={"performance": Region(performance, ("deployments",), every_s=60)},
    )
