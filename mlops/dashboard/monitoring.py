"""Monitoring: alerts and what people do about them, drift by column and time, traffic, availability."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlops.dashboard.frame import Page, Region, Scope
from mlops.dashboard.performance import evidently_region, performance_region
from mlops.entities import Alert, ColumnDrift, DriftJob, ServiceStatus
from mlops.monitoring.board import LONGEST_S
from mlops.platform import Platform
from mlops.store.alerts import Silence

MOST_ALERTS = 200
MOST_MODELS = 8
"""Whose heat maps or charts are on one page."""
MOST_COLUMNS = 40
"""Of a heat map, those that drifted most."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """Alerts that go on, and what was within the time that is looked at."""

    going_on: tuple[Alert, ...]
    over: tuple[Alert, ...]
    silences: tuple[Silence, ...]

    def is_silenced(self, alert: Alert) -> bool:
        """Whether a silence covers it."""
        return any(
            each.project == alert.project
            and each.rule in ("", alert.rule)
            and each.subject in ("", alert.subject)
            for each in self.silences
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """A column in one report."""

    heat: int
    """0 is far below the threshold, 3 just below, 4 drifted, 5 far above."""
    drifted: bool
    words: str
    """For people."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A model's reports, column by column."""

    project: str
    model: str
    jobs: tuple[DriftJob, ...]
    """Oldest first."""
    rows: tuple[tuple[str, str, tuple[Cell | None, ...]], ...]
    """Side, column, and a cell for each report; None where it could not be judged. What drifted last and most
    first."""
    left_out: int
    """Columns that are not shown."""


def monitoring_page(platform: Platform) -> Page:
    """`/monitoring`."""

    def alerts(scope: Scope) -> Alerts:
        since = scope.since
        found = platform.alerts.latest(scope.project, with_ended=True, count=MOST_ALERTS)
        silences = platform.alerts.silences()
        return Alerts(
            going_on=tuple(platform.alerts.latest(scope.project, count=MOST_ALERTS)),
            over=tuple(each for each in found if each.ended_at is not None and each.ended_at >= since),
            silences=tuple(each for each in silences if scope.project in (None, each.project)),
        )

    def models(scope: Scope) -> list[tuple[str, str]]:
        wanted = scope.option("model")
        return [each for each in platform.board.models(scope.project) if wanted in ("", each[1])]

    def drift(scope: Scope) -> tuple[HeatMap, ...]:
        return tuple(
            heat_map(project, model, platform.board.drift(project, model, scope.since))
            for project, model in models(scope)[:MOST_MODELS]
        )

    def traffic(scope: Scope) -> tuple[tuple[str, str, int], ...]:
        span_s = int(min(scope.range_s, LONGEST_S))
        served = {(each.deployment.project, each.deployment.model)
                  for each in platform.board.endpoints(scope.project)}  # fmt: skip
        found = [each for each in models(scope) if each in served]
        return tuple((project, model, span_s) for project, model in found[:MOST_MODELS])

    def availability(scope: Scope) -> tuple[ServiceStatus, ...]:
        return tuple(platform.services())

    return Page(
        path="/monitoring",
        title="Monitoring",
        template="monitoring.html",
        icon="monitoring",
        ranged=True,
        charts=True,
        options=("model",),
        regions={
            "alerts": Region(alerts, ("alerts", "silences")),
            "drift": Region(drift, ("drift", "deployments")),
            "performance": performance_region(platform),
            "traffic": Region(traffic, ("deployments",)),
            "evidently": evidently_region(platform),
            "availability": Region(availability, ("status",), every_s=60),
        },
    )


def report_page(platform: Platform, number: int) -> Page:
    """`/monitoring/reports/{number}` of the project that the URL names."""

    def report(scope: Scope) -> DriftJob:
        return platform.drift.get(number, scope.project)

    return Page(
        path=f"/monitoring/reports/{number}",
        title=f"Drift report {number}",
        template="report.html",
        within="/monitoring",
        regions={"report": Region(report, ("drift",))},
    )


def heat_map(project: str, model: str, jobs: Iterable[DriftJob]) -> HeatMap:
    """The reports of a model as a heat map."""
    jobs = tuple(jobs)
    places = [_worst(job.columns) for job in jobs]
    names = sorted({name for place in places for name in place})
    rows = [(*name, tuple(_cell(place.get(name)) for place in places)) for name in names]
    rows.sort(key=lambda row: _heat(row[2]), reverse=True)
    return HeatMap(project, model, jobs, tuple(rows[:MOST_COLUMNS]), max(0, len(rows) - MOST_COLUMNS))


def _worst(rows: Iterable[ColumnDrift]) -> dict[tuple[str, str], ColumnDrift]:
    """Of each column the check that is worst."""
    found: dict[tuple[str, str], ColumnDrift] = {}
    for row in rows:
        name = (row.side, row.column)
        if name not in found or _excess(row) > _excess(found[name]):
            found[name] = row
    return found


def _excess(row: ColumnDrift) -> float:
    """Its score by its threshold; -1 for what could not be judged."""
    if row.score is None or row.threshold is None:
        return -1.0
    if row.threshold <= 0:
        return 2.0 if row.drifted else 0.0
    # Rounding must not put a row on the other side of its own judgement.
    share = row.score / row.threshold
    return max(1.0, share) if row.drifted else min(0.999, share)


def _cell(row: ColumnDrift | None) -> Cell | None:
    if row is None or row.score is None:
        return None
    share = _excess(row)
    heat = (5 if share >= 2 else 4) if row.drifted else min(3, int(share * 4))
    threshold = "" if row.threshold is None else f" of {row.threshold:.3g}"
    words = f"{row.check.value.replace('_', ' ')} {row.score:.3g}{threshold}"
    return Cell(heat, row.drifted, words)


def _heat(cells: tuple[Cell | None, ...]) -> tuple[int, int]:
    heats = [cell.heat if cell else -1 for cell in cells]
    return (heats[-1], sum(heats)) if heats else (-1, 0)
