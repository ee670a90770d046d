"""What each project ran last, and the energy that its runs took, for pages that show all projects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, bindparam, func, select, text

from mlops.entities import RUN_KEY, Run, RunStatus
from mlops.metric_order import by_kinship
from mlops.store.tables import run_metrics

MOST_METRICS = 4
"""Of a project's newest run that are told."""
_LOOKED_THROUGH = 200
"""Metrics of it, by name, that those are chosen from."""
LOOKED_AT = 50
"""Newest runs of each project of which is told how many go on, and failed."""


@dataclass(frozen=True, slots=True)
class LastRuns:
    """What a project ran last."""

    newest: Run
    """With the project's primary metric, and three others at most: those that share most words of its name,
    else by name."""
    running: int
    failed: int


def last_runs(engine: Engine, since: datetime) -> dict[str, LastRuns]:
    """By project, the newest run, and of the newest 50 how many go on, or failed since then."""
    with engine.connect() as connection:
        counted = connection.execute(_COUNTED, {"since": since, "most": LOOKED_AT}).all()
        rows = connection.execute(_NEWEST, {"ids": [row.id for row in counted]}).all()
    newest = {row.id: _run(row) for row in rows}
    return {
        row.project: LastRuns(newest[row.id], row.running, row.failed) for row in counted if row.id in newest
    }


def _run(row: Row[Any]) -> Run:
    lasts = dict(zip(row.names, row.lasts, strict=True))
    return Run(
        key=row.key,
        mlflow_id=row.id,
        project=row.project,
        name=row.name,
        status=RunStatus(row.status),
        started_at=row.started_at,
        ended_at=row.ended_at,
        metrics={name: lasts[name] for name in by_kinship(lasts, row.primary_metric)[:MOST_METRICS]},
    )


def energy_j(engine: Engine, metric: str, since: datetime | None = None) -> dict[str, float]:
    """By project, what the last values of that metric of all its runs add up to, or of those that logged it
    since then; projects without it are left out."""
    # In the statement itself: an index has this metric alone, and the planner must see that it is asked for.
    named = run_metrics.c.key == bindparam("metric", metric, literal_execute=True)
    statement = (
        select(run_metrics.c.project, func.sum(run_metrics.c.last).label("joules"))
        .where(named, run_metrics.c.last > 0, run_metrics.c.last < 1e300)
        .group_by(run_metrics.c.project)
    )
    if since is not None:
        statement = statement.where(run_metrics.c.time_ms >= int(since.timestamp() * 1000))
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

# Fewer rows than all metrics of all runs: fifty projects of many metrics are shown every few seconds.
_NEWEST = text(f"""
SELECT runs.id, runs.project, runs.name, runs.status, runs.started_at, runs.ended_at,
       coalesce(runs.tags->>'{RUN_KEY}', runs.id) AS key, told.names, told.lasts,
       coalesce(projects.settings->>'primary_metric', '') AS primary_metric
  FROM runs JOIN projects ON projects.name = runs.project
 CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(key), '{{}}') AS names, coalesce(array_agg(last), '{{}}') AS lasts
         FROM (SELECT key, last FROM run_metrics
                WHERE run_id = runs.id AND key NOT LIKE 'system/%' AND abs(last) < 'Infinity'
                ORDER BY key IS DISTINCT FROM projects.settings->>'primary_metric', key
                LIMIT {_LOOKED_THROUGH}) AS few) AS told
 WHERE runs.id = ANY(CAST(:ids AS text[]))
""")  # noqa: S608 - the texts are ours
