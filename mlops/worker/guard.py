"""Canaries that do worse than the champion beside them are withdrawn, with the evidence."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from mlops.entities import Deployment, DeploymentState, Side
from mlops.serving.canary import CanaryRule, verdict
from mlops.store.store import Store
from mlops.store.traffic import Traffic, TrafficLog

log = logging.getLogger(__name__)


class CanaryGuard:
    """Judges each canary by what it and its champion answered since its share was last set."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def look(self) -> int:
        """Judge every canary; returns how many were withdrawn. Raises `ServiceUnavailable`."""
        rows = self._store.deployments.all()
        running = [row for row in rows if row.state is DeploymentState.RUNNING]
        canaries = [row for row in running if row.side is Side.CANARY]
        return sum(self._judge(canary, running) for canary in canaries)

    def _judge(self, canary: Deployment, running: list[Deployment]) -> bool:
        champion = next(
            (
                row
                for row in running
                if (row.project, row.model, row.side) == (canary.project, canary.model, Side.CHAMPION)
            ),
            None,
        )
        if champion is None:
            return False
        # The window that the change fell into counts as a whole.
        traffic = self._store.traffic.since(canary.updated_at - timedelta(seconds=TrafficLog.WINDOW_S))
        ours, theirs = (traffic.get(row.id, Traffic()) for row in (canary, champion))
        why = verdict(ours, theirs, self._rule(canary.project))
        if why is None or not self._store.deployments.withdraw(canary.id, f"withdrawn: {why}"):
            return False
        extra = {"event": "canary.withdrawn", "project": canary.project, "model": canary.model}
        log.warning("canary %s of %s is withdrawn: %s", canary.version, canary.model, why, extra=extra)
        self._store.audit.record(
            "worker", "withdraw", canary.project, model=canary.model, version=canary.version, why=why,
            weight=canary.weight, canary=_figures(ours), champion=_figures(theirs),
        )  # fmt: skip
        return True

    def _rule(self, project: str) -> CanaryRule:
        serving = self._store.projects.serving(project)
        return CanaryRule(
            min_requests=serving.canary_min_requests,
            more_errors=serving.canary_more_errors,
            slower=serving.canary_slower,
        )


def _figures(traffic: Traffic) -> dict[str, Any]:
    return {
        "requests": traffic.requests,
        "errors": traffic.errors,
        "p50_s": traffic.quantile(0.5),
        "p95_s": traffic.quantile(0.95),
    }
