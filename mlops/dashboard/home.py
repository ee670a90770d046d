"""Home: every project by what needs somebody first, the alerts that go on, and how the platform is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlops.dashboard.frame import Page, Region, Scope
from mlops.entities import Alert, DeploymentState, ServiceState, ServiceStatus
from mlops.hardware.meter import Disk
from mlops.monitoring.board import EndpointState, ProjectState
from mlops.platform import Platform
from mlops.store.data_versions import NewestData

MOST_ALERTS = 6
MOST_DEPLOYMENTS = 20
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Card:
    """A project with what is shown of it."""

    state: ProjectState
    data: NewestData | None
    energy_j: float | None
    """Of the week; None where no run measured it."""
    disk: int | None
    """Bytes; None where they were not counted yet."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """The newest that go on, and how many there are in all."""

    newest: tuple[Alert, ...]
    all: int


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is deployed: what needs somebody, and what is asked most, and how much there is in all."""

    first: tuple[EndpointState, ...]
    all: int


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

    def alerts(scope: Scope) -> Alerts:
        newest = tuple(platform.alerts.latest(scope.project, count=MOST_ALERTS))
        return Alerts(newest, platform.alerts.count(scope.project))

    def health(scope: Scope) -> Health:
        return Health(tuple(platform.services()), platform.disk())

    def projects(scope: Scope) -> tuple[Card, ...]:
        energy = platform.fleet.energy_j(datetime.now(UTC) - WEEK)
        data, disk = platform.data.of_projects(), platform.disk_of_projects()
        return tuple(
            Card(each, data.get(name), energy.get(name), disk.get(name))
            for each in platform.board.projects(scope.since, scope.project)
            for name in [each.workspace.project_name]
        )

    def deployments(scope: Scope) -> Deployed:
        found = platform.board.endpoints(scope.project)
        return Deployed(tuple(sorted(found, key=_need)[:MOST_DEPLOYMENTS]), len(found))

    return Page(
        path="/",
        title="Home",
        template="home.html",
        icon="home",
        ranged=True,
        regions={
            "alerts": Region(alerts, ("alerts",)),
            "health": Region(health, ("status",), every_s=60),
            "projects": Region(
                projects, ("alerts", "runs", "deployments", "drift"), every_s=10, indexed=True
            ),
            "deployments": Region(deployments, ("deployments",), every_s=10),
        },
    )


def _need(each: EndpointState) -> tuple[bool, bool, float]:
    """Sorts what has failed first, then what is under way, then by how much it is asked."""
    state = each.deployment.state
    return state is not DeploymentState.FAILED, state is DeploymentState.RUNNING, -each.requests_s
