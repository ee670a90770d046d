"""Runs and alerts of the projects, and whether alerts were told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from mlops.entities import AlertState, RunStatus, Severity
from mlops.gateway.metrics.families import gauge
from mlops.store.figures import DELIVERED, GIVEN_UP, WAITING, Figures

_GOING_ON = (AlertState.FIRING, AlertState.ACKNOWLEDGED)


def project_families(figures: Figures, seen: Sequence[str]) -> Iterator[Metric]:
    """Counts of the projects in `seen`, of which "" is the platform. What there is none of is 0, not
    missing: a query that waits for it to end would wait for ever."""
    yield gauge(
        "mlops_runs",
        "Runs in the index, by state.",
        ("project", "state"),
        [
            ((project, status.value.lower()), figures.runs.get((project, status), 0))
            for project in seen
            if project
            for status in RunStatus
        ],
    )
    yield gauge(
        "mlops_alerts",
        "Alerts that go on; those without a project are the platform's.",
        ("project", "severity", "state"),
        [
            ((project, severity.value, state.value), figures.alerts.get((project, severity, state), 0))
            for project in seen
            for severity in Severity
            for state in _GOING_ON
        ],
    )
    told = sorted({key[:2] for key in figures.deliveries if key[0] in seen})
    yield gauge(
        "mlops_alert_deliveries",
        "Alerts, and ends of alerts, to tell by a channel in the last 90 days.",
        ("project", "channel", "state"),
        [
            ((*key, state), figures.deliveries.get((*key, state), 0))
            for key in told
            for state in (WAITING, DELIVERED, GIVEN_UP)
        ],
    )
