"""Home: every project by what needs somebody first, the alerts that go on, and how the platform is."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.dashboard.frame import Page, Region, Scope
from mlops.entities import Alert, Run, ServiceState, ServiceStatus
from mlops.hardware.meter import Disk
from mlops.monitoring.board import EndpointState, ProjectState
from mlops.platform import Platform

MOST_METRICS = 3
"""Beside the primary one, on a card."""
MOST_ALERTS = 200


@dataclass(frozen=True, slots=True)
class Card:
    """A project with what is shown of it."""

    state: ProjectState
    run_url: str
    metrics: tuple[tuple[str, float], ...]
    """Of the newest run, the primary one first."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the platform is."""

    services: tuple[ServiceStatus, ...]
    disk: Disk | None

    @property
    def is_well(self) -> bool:
        """Whether every service answers."""
        return all(each.state in (ServiceState.HEALTHY, ServiceState.EXTERNAL) for each in self.services)


def home_page(platform: Platform) -> Page:
    """`/`."""

    def alerts(scope: Scope) -> tuple[Alert, ...]:
        return tuple(platform.alerts.latest(scope.project, count=MOST_ALERTS))

    def health(scope: Scope) -> Health:
        return Health(tuple(platform.services()), platform.disk())

    def projects(scope: Scope) -> tuple[Card, ...]:
        return tuple(_card(platform, each) for each in platform.board.projects(scope.since, scope.project))

    def deployments(scope: Scope) -> tuple[EndpointState, ...]:
        return tuple(platform.board.endpoints(scope.project))

    return Page(
        path="/",
        title="Home",
        template="home.html",
        icon="home",
        ranged=True,
        regions={
            "alerts": Region(alerts, ("alerts",)),
            "health": Region(health, ("status",), every_s=60),
            "projects": Region(projects, ("alerts", "runs", "deployments", "drift"), every_s=10),
            "deployments": Region(deployments, ("deployments",), every_s=10),
        },
    )


def _card(platform: Platform, state: ProjectState) -> Card:
    run = state.run
    if run is None:
        return Card(state, "", ())
    return Card(state, platform.run_url(state.workspace, run.id), chosen(run, state.primary_metric))


def chosen(run: Run, primary: str) -> tuple[tuple[str, float], ...]:
    """The primary metric, then a few others by name; hardware readings stay out."""
    names = [name for name in sorted(run.metrics) if not name.startswith("system/")]
    names.sort(key=lambda name: name != primary)
    return tuple((name, run.metrics[name]) for name in names[: 1 + MOST_METRICS])
