"""What the home page shows, each part gathered by itself so that one dead upstream greys only its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from mlops.entities import (
    Deployment,
    DeploymentState,
    ProjectWorkspace,
    Run,
    RunStatus,
    ServiceState,
    ServiceStatus,
)
from mlops.errors import MLOpsError
from mlops.platform import Platform
from mlops.store.tokens import Principal

Row = TypeVar("Row")

_MOST_METRICS = 3


@dataclass(frozen=True, slots=True)
class Part(Generic[Row]):
    """Rows of one source; the last known ones when it does not answer."""

    rows: tuple[Row, ...]
    read_at: datetime | None
    """When the rows were read; None when they never were."""
    problem: str = ""
    """Why they are not of now; empty when they are."""
    remedy: str = ""

    @property
    def version(self) -> str:
        """Changes with what is shown, not with the time."""
        shown = (self.rows, self.problem, self.read_at if self.problem else None)
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ProjectCard:
    """A project with its last run."""

    workspace: ProjectWorkspace
    description: str
    run: Run | None
    metrics: tuple[tuple[str, float], ...]
    """Of the last run, the primary one first."""
    deployments: tuple[Deployment, ...] = ()

    @property
    def urgency(self) -> tuple[int, str]:
        """Sorts failures first, then what is under way, then by name."""
        failed = any(found.state is DeploymentState.FAILED for found in self.deployments)
        status = self.run.status if self.run else None
        rank = 0 if failed or status is RunStatus.FAILED else 1 if status is RunStatus.RUNNING else 2
        return rank, self.workspace.project_name


@dataclass(frozen=True, slots=True)
class Overview:
    """The home page's content for one caller."""

    projects: Part[ProjectCard]
    deployments: Part[Deployment]
    services: Part[ServiceStatus]

    @property
    def is_well(self) -> bool:
        """Whether every part is of now and every service healthy."""
        return not (self.projects.problem or self.deployments.problem or self.services.problem) and all(
            service.state in (ServiceState.HEALTHY, ServiceState.EXTERNAL) for service in self.services.rows
        )


class Overviews:
    """Gathers overviews, and keeps each part's last rows for when its source is away."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._projects: Part[ProjectCard] = Part((), None)
        self._deployments: Part[Deployment] = Part((), None)
        self._services: Part[ServiceStatus] = Part((), None)

    def gather(self, principal: Principal, project: str | None = None) -> Overview:
        """What `principal` may see, of one project if asked; raises nothing for a dead upstream."""
        self._projects = _read(self._cards, self._projects)
        self._deployments = _read(self._platform.deployments, self._deployments)
        self._services = _read(self._platform.services, self._services)

        def visible(name: str) -> bool:
            return principal.may_use(name) and project in (None, name)

        deployments = tuple(found for found in self._deployments.rows if visible(found.project))
        cards = (
            replace(card, deployments=_of(card, deployments))
            for card in self._projects.rows
            if visible(card.workspace.project_name)
        )
        return Overview(
            projects=replace(self._projects, rows=tuple(sorted(cards, key=lambda card: card.urgency))),
            deployments=replace(self._deployments, rows=deployments),
            services=self._services,
        )

    def project_names(self, principal: Principal) -> list[str]:
        """The projects of the switcher, as last gathered."""
        names = (card.workspace.project_name for card in self._projects.rows)
        return [name for name in names if principal.may_use(name)]

    def _cards(self) -> list[ProjectCard]:
        return [self._card(workspace) for workspace in self._platform.projects()]

    def _card(self, workspace: ProjectWorkspace) -> ProjectCard:
        name = workspace.project_name
        settings = self._platform.project_settings(name)
        run = next(iter(self._platform.latest_runs(name, 1)), None)
        return ProjectCard(
            workspace,
            str(settings.get("description", "")),
            run,
            _chosen(run, str(settings.get("primary_metric", ""))) if run else (),
        )


def _read(source: Callable[[], list[Row]], last: Part[Row]) -> Part[Row]:
    try:
        return Part(tuple(source()), datetime.now(UTC))
    except MLOpsError as error:
        return replace(last, problem=error.message, remedy=error.remedy)
    except (OSError, ValueError) as error:  # a status file that is missing or half written
        return replace(
            last, problem=str(error) or type(error).__name__, remedy="Run `efficientai-toolkit mlops:status`."
        )


def _of(card: ProjectCard, deployments: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
    return tuple(found for found in deployments if found.project == card.workspace.project_name)


def _chosen(run: Run, primary: str) -> tuple[tuple[str, float], ...]:
    """The primary metric, then a few others by name; hardware readings stay out."""
    names = [name for name in sorted(run.metrics) if not name.startswith("system/")]
    names.sort(key=lambda name: name != primary)
    return tuple((name, run.metrics[name]) for name in names[: 1 + _MOST_METRICS])
