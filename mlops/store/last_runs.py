"""What each project ran last, and the energy that its runs took, for pages that show all projects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select, text

from mlops.entities import Run
from mlops.store.runs import Runs
from mlops.store.tables import run_metrics

LOOKED_AT = 50
"""Newest runs of each project of which is told how many go on, and failed."""


@dataclass(frozen=True, slots=True)
class LastRuns:
    """What a project ran last."""

    newest: Run
    running: int
    failed: int


def last_runs(engine: Engine, since: datetime) -> dict[str, LastRuns]:
    """By project, the newest run, and of the newest 50 how many go on, or failed since then."""
    with engine.connect() as connection:
        counted = connection.execute(_COUNTED, {"since": since, "most": LOOKED_AT}).all()
    newest = {run.id: run for run in Runs(engine).of_ids([row.id for row in counted])}
    return {
        row.project: LastRuns(newest[row.id], row.running, row.failed) for row in counted if row.id in newest
    }


def energy_j(engine: Engine, metric: str) -> dict[str, float]:
    """By project, what the last values of that metric of all its runs add up to; projects without it are left
    out."""
    statement = (
        select(run_metrics.c.project, func.sum(run_metrics.c.last).label("joules"))
        .where(run_metrics.c.key == metric, run_metrics.c.last > 0, run_metrics.c.last < 1e300)
        .group_by(run_metrics.c.project)
    )
    with engine.connect() as connection:
        return {row.project: row.joules for row in connection.execute(statement)}


_COUNTED = text("""
SELECT projects.name AS project,
       (array_agg(latest.id ORDER BY latest.started_at DESC, latest.id DESC))[1] AS id,
       count(*) FILTER (WHERE status = 'RUNNING') AS running,
       count(*) FILTER (WHERE status = 'FAILED' AND coalesce(ended_at, started_at) >= :since) AS failed
  FROM projects CROSS JOIN LATERAL (
       SELECT id, status, started_at, ended_at FROM runs WHERE project = projects.name
        ORDER BY started_at DESC, id DESC LIMIT :most) AS latest
 GROUP BY projects.name
""")
