"""Runs that measured the machine they ran on, with what they read there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from mlops.entities import RunStatus
from mlops.store.indexed_runs import MetricSummary
from mlops.store.run_index import read_metrics


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run with its readings."""

    id: str
    """MLflow's."""
    project: str
    name: str
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None
    machine: Mapping[str, str]
    """What the tags `hardware.…` say, without that beginning."""
    readings: Mapping[str, MetricSummary]
    """Of the metrics that were asked for."""


def measured_runs(
    engine: Engine, since: datetime, project: str | None, metrics: Sequence[str], most: int
) -> list[MeasuredRun]:
    """Those that started since then or still go on, the newest first, at most so many of each kind."""
    values = {"since": since, "project": project, "most": most}
    with engine.connect() as connection:
        rows = connection.execute(_RUNS, values).all()
        found = read_metrics(connection, [row.id for row in rows], metrics)
    readings: dict[str, dict[str, MetricSummary]] = defaultdict(dict)
    for (run, key), summary in found.items():
        readings[run][key] = summary
    return [
        MeasuredRun(
            row.id, row.project, row.name, RunStatus(row.status), row.started_at, row.ended_at,
            {key.removeprefix(_BEGIN): value for key, value in row.tags.items() if key.startswith(_BEGIN)},
            readings[row.id],
        )
        for row in rows
    ]  # fmt: skip


_BEGIN = "hardware."
_RUNS = text("""
WITH found AS (
  (SELECT * FROM runs
    WHERE tags ? 'hardware.os' AND started_at >= :since AND CAST(:project AS text) IS NULL
    ORDER BY started_at DESC, id DESC LIMIT :most)
  UNION ALL
  (SELECT * FROM runs
    WHERE tags ? 'hardware.os' AND started_at >= :since AND project = :project
    ORDER BY started_at DESC, id DESC LIMIT :most)
  UNION ALL
  (SELECT * FROM runs
    WHERE status = 'RUNNING' AND tags ? 'hardware.os' AND started_at < :since
      AND (CAST(:project AS text) IS NULL OR project = :project)
    ORDER BY started_at DESC, id DESC LIMIT :most))
SELECT id, project, name, status, started_at, ended_at, tags FROM found ORDER BY started_at DESC, id DESC
""")
