"""Deployments: of each model its champion, canary, shadow and previous champion as lanes, with how each
answers; and one model in detail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from mlops.dashboard.frame import Page, Region, Scope
from mlops.entities import Deployment, DeploymentState, Side
from mlops.errors import DeploymentNotFound
from mlops.monitoring.board import LONGEST_S, Lane
from mlops.platform import Platform
from mlops.store.audit import AuditEntry

_ORDER = (Side.CHAMPION, Side.CANARY, Side.SHADOW, Side.PREVIOUS)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers for a model, and what is on its way."""

    project: str
    model: str
    lanes: tuple[Lane, ...]
    """The champion first."""

    def share(self, deployment: Deployment) -> int | None:
        """Percent of the callers that it answers; None of one that answers nobody."""
        if deployment.state is not DeploymentState.RUNNING:
            return None
        if deployment.side is Side.CHAMPION:
            canary = self._running(Side.CANARY)
            return 100 - (canary.weight if canary else 0)
        return deployment.weight if deployment.side is Side.CANARY else None

    @property
    def previous(self) -> Deployment | None:
        """What may be rolled back to."""
        return self._running(Side.PREVIOUS)

    def _running(self, side: Side) -> Deployment | None:
        found = (lane.state.deployment for lane in self.lanes if lane.state.deployment.side is side)
        return next((each for each in found if each.state is DeploymentState.RUNNING), None)


@dataclass(frozen=True, slots=True)
class Charted:
    """What is drawn of a model over time."""

    project: str
    model: str
    lanes: tuple[Deployment, ...]
    span_s: int


def deployments_page(platform: Platform) -> Page:
    """`/deployments`."""

    def deployments(scope: Scope) -> tuple[Endpoint, ...]:
        return endpoints_of(platform.board.lanes(scope.project))

    return Page(
        path="/deployments",
        title="Deployments",
        template="deployments.html",
        icon="deployments",
        regions={"deployments": Region(deployments, ("deployments",), every_s=10)},
    )


def deployment_page(platform: Platform, project: str, model: str) -> Page:
    """`/deployments/{project}/{model}`."""

    def endpoint(scope: Scope) -> Endpoint:
        found = endpoints_of(platform.board.lanes(project, model))
        if not found and not platform.models.actions(project, model):
            raise DeploymentNotFound(project, model)
        return found[0] if found else Endpoint(project, model, ())  # it served once

    def traffic(scope: Scope) -> Charted:
        rows = [row for row in platform.deployments(project) if row.model == model]
        served = tuple(row for row in sorted(rows, key=_place) if row.state is DeploymentState.RUNNING)
        return Charted(project, model, served, int(min(scope.range_s, LONGEST_S)))

    def actions(scope: Scope) -> tuple[AuditEntry, ...]:
        return tuple(platform.models.actions(project, model))

    return Page(
        path=f"/deployments/{project}/{quote(model)}",
        project=project,
        title=model,
        template="deployment.html",
        within="/deployments",
        ranged=True,
        charts=True,
        regions={
            "endpoint": Region(endpoint, ("deployments",), every_s=10),
            "traffic": Region(traffic, ("deployments",)),
            "actions": Region(actions, ("deployments",)),
        },
    )


def endpoints_of(lanes: Iterable[Lane]) -> tuple[Endpoint, ...]:
    """Lanes by model, in the order in which they are shown."""
    found: dict[tuple[str, str], list[Lane]] = defaultdict(list)
    for lane in lanes:
        found[lane.state.deployment.project, lane.state.deployment.model].append(lane)
    return tuple(
        Endpoint(*key, tuple(sorted(found[key], key=lambda lane: _place(lane.state.deployment))))
        for key in sorted(found)
    )


def _place(deployment: Deployment) -> int:
    return _ORDER.index(deployment.side)
