"""Registered models, the versions of one, and one version with what it came from and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mlops.dashboard.frame import Page, Region, Scope
from mlops.metric_order import by_kinship
from mlops.model_desk import MOST_VERSIONS, ModelState, VersionDetail, VersionState
from mlops.platform import Platform
from mlops.store.audit import AuditEntry

MOST_METRICS = 3
"""Columns of the table of versions."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Some of the versions of a model."""

    states: tuple[VersionState, ...]
    """The newest first."""
    metrics: tuple[str, ...]
    """Names of those that are shown, the primary one first."""
    older: int | None
    """Before which version those are that are not shown; None where these are the last."""

    def history(self, metric: str) -> tuple[float | None, ...]:
        """A metric over the versions, the oldest first."""
        return tuple(state.metrics.get(metric) for state in reversed(self.states))


def models_page(platform: Platform) -> Page:
    """`/models`."""

    def models(scope: Scope) -> tuple[ModelState, ...]:
        return tuple(platform.models.models(scope.project))

    return Page(
        path="/models",
        title="Models",
        template="models.html",
        icon="models",
        regions={"models": Region(models, ("models", "deployments"), indexed=True)},
    )


def model_page(platform: Platform, project: str, model: str) -> Page:
    """`/models/{project}/{model}`."""

    def versions(scope: Scope) -> Versions:
        before = scope.option("before")
        found = platform.models.versions(project, model, _number(before))
        older = found[-1].version.version if len(found) == MOST_VERSIONS else None
        return Versions(tuple(found), _names(found), older)

    def actions(scope: Scope) -> tuple[AuditEntry, ...]:
        return tuple(platform.models.actions(project, model))

    return Page(
        path=f"/models/{project}/{quote(model)}",
        project=project,
        title=model,
        template="model.html",
        within="/models",
        options=("before",),
        regions={
            "versions": Region(versions, ("models", "deployments"), indexed=True),
            "actions": Region(actions, ("deployments",)),
        },
    )


def version_page(platform: Platform, project: str, model: str, version: int) -> Page:
    """`/models/{project}/{model}/{version}`."""

    def detail(scope: Scope) -> VersionDetail:
        return platform.models.detail(project, model, version)

    return Page(
        path=f"/models/{project}/{quote(model)}/{version}",
        project=project,
        title=f"{model} v{version}",
        template="version.html",
        within="/models",
        regions={"detail": Region(detail, ("models", "deployments"), indexed=True)},
    )


def _number(stated: str) -> int | None:
    return int(stated) if stated.isdecimal() and len(stated) < 10 else None


def _names(states: Sequence[VersionState]) -> tuple[str, ...]:
    """The metrics that most versions have. Each version has the primary one first, if it has it at all."""
    counts = Counter(name for state in states for name in state.metrics)
    firsts = Counter(next(iter(state.metrics)) for state in states if state.metrics)
    primary = max(firsts, key=lambda name: firsts[name], default="")
    names = sorted(by_kinship(counts, primary), key=lambda name: (name != primary, -counts[name]))
    return tuple(names[:MOST_METRICS])
