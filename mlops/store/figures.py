"""Counts over all tables at one moment, for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, case, func, select, text

from mlops.entities import AlertState, JobState, RunStatus, Severity
from mlops.store.tables import alerts, deliveries, drift_jobs, projects, replicas, runs

_PATIENCE = text("SET LOCAL statement_timeout = '2s'")
"""Who scrapes gives up after seconds, and a count that nobody waits for must not go on."""

WAITING, DELIVERED, GIVEN_UP = "waiting", "delivered", "failed"
"""What became of telling an alert by a channel."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How many there are of what. A project of "" is the platform."""

    projects: tuple[str, ...] = ()
    """Their names."""
    runs: Mapping[tuple[str, RunStatus], int] = field(default_factory=dict)
    """By project and state."""
    alerts: Mapping[tuple[str, Severity, AlertState], int] = field(default_factory=dict)
    """That go on, by project, severity and state."""
    deliveries: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """By project, channel, and `WAITING`, `DELIVERED` or `GIVEN_UP`; as far back as alerts are kept."""
    replicas: Mapping[int, int] = field(default_factory=dict)
    """That listen, by the deployment's id."""
    drift_reports: Mapping[tuple[str, str, JobState], int] = field(default_factory=dict)
    """By project, model and state; as far back as they are kept."""


def read_figures(engine: Engine) -> Figures:
    """All of them, as of one moment. A query that takes over two seconds is given up, and raises what
    SQLAlchemy raises, as `ServiceUnavailable` where the engine's owner says so."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(_PATIENCE)
        return Figures(
            projects=tuple(connection.scalars(select(projects.c.name).order_by(projects.c.name))),
            runs=_runs(connection),
            alerts=_alerts(connection),
            deliveries=_deliveries(connection),
            replicas=_replicas(connection),
            drift_reports=_drift_reports(connection),
        )


def _runs(connection: Connection) -> dict[tuple[str, RunStatus], int]:
    statement = select(runs.c.project, runs.c.status, func.count().label("found")).group_by(
        runs.c.project, runs.c.status
    )
    return {(row.project, RunStatus(row.status)): row.found for row in connection.execute(statement)}


def _alerts(connection: Connection) -> dict[tuple[str, Severity, AlertState], int]:
    going_on = (AlertState.FIRING.value, AlertState.ACKNOWLEDGED.value)
    by = (func.coalesce(alerts.c.project, "").label("project"), alerts.c.severity, alerts.c.state)
    statement = select(*by, func.count().label("found")).where(alerts.c.state.in_(going_on)).group_by(*by)
    return {
        (row.project, Severity(row.severity), AlertState(row.state)): row.found
        for row in connection.execute(statement)
    }


def _deliveries(connection: Connection) -> dict[tuple[str, str, str], int]:
    state = case(
        (deliveries.c.ended_at.is_(None), WAITING), (deliveries.c.delivered, DELIVERED), else_=GIVEN_UP
    )
    found = (
        select(
            func.coalesce(alerts.c.project, "").label("project"), deliveries.c.channel, state.label("state")
        )
        .join(alerts, alerts.c.id == deliveries.c.alert_id)
        .subquery()
    )
    statement = select(found, func.count().label("found")).group_by(*found.c)
    return {(row.project, row.channel, row.state): row.found for row in connection.execute(statement)}


def _replicas(connection: Connection) -> dict[int, int]:
    statement = select(replicas.c.deployment_id, func.count().label("found")).group_by(
        replicas.c.deployment_id
    )
    return {row.deployment_id: row.found for row in connection.execute(statement)}


def _drift_reports(connection: Connection) -> dict[tuple[str, str, JobState], int]:
    by = (drift_jobs.c.project, drift_jobs.c.model, drift_jobs.c.state)
    statement = select(*by, func.count().label("found")).group_by(*by)
    return {(row.project, row.model, JobState(row.state)): row.found for row in connection.execute(statement)}
