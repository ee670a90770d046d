"""Copies the latest runs from MLflow's own database into the platform's index, by SQL.

MLflow's API takes a call for each project and page, which one query answers for all at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from mlops.entities import RUN_KEY, Run, RunStatus
from mlops.errors import ServiceUnavailable
from mlops.store.store import Store

LATEST = 50
"""Runs of each project that are kept up to date."""

# Read as MLflow 3.17 lays them out; a test runs this against a database that MLflow made.
_RUNS = """
SELECT w.project, r.run_uuid, r.name, r.status, r.start_time, r.end_time,
       (SELECT json_object_agg(m.key, CASE WHEN m.is_nan THEN 'NaN' ELSE m.value::text END)
          FROM latest_metrics m WHERE m.run_uuid = r.run_uuid) AS metrics,
       (SELECT json_object_agg(t.key, t.value)
          FROM tags t WHERE t.run_uuid = r.run_uuid AND length(t.value) <= 500) AS tags
  FROM unnest(%(projects)s::text[], %(namespaces)s::text[]) AS w(project, namespace)
 CROSS JOIN LATERAL (
       SELECT runs.* FROM runs JOIN experiments USING (experiment_id)
        WHERE experiments.workspace = w.namespace AND runs.lifecycle_stage = 'active'
        ORDER BY runs.start_time DESC NULLS LAST LIMIT %(latest)s) AS r
"""

# MLflow keeps infinities as the largest doubles.
_LARGEST = 1.7976931348623157e308


class RunIndex:
    """Keeps `store.runs` like MLflow's database at `mlflow_url`, which is only read."""

    def __init__(self, store: Store, mlflow_url: str, *, latest: int = LATEST) -> None:
        self._store = store
        self._url = mlflow_url
        self._latest = latest
        self._seen: dict[str, Run] = {}

    def update(self) -> int:
        """Copy what changed; returns the number of runs written. Raises `ServiceUnavailable` when
        Postgres does not answer."""
        projects = self._store.projects.all()
        if not projects:
            return 0
        names = [project.project_name for project in projects]
        found = self._read(names, [project.namespace for project in projects])
        changed = [run for run in found if self._seen.get(run.id) != run]
        self._store.runs.put(changed)
        self._seen = {run.id: run for run in found}
        return len(changed)

    def _read(self, projects: Sequence[str], namespaces: Sequence[str]) -> list[Run]:
        try:
            with psycopg.connect(
                self._url,
                connect_timeout=5,
                application_name="mlops-index",
                options="-c default_transaction_read_only=on -c statement_timeout=10000",
                row_factory=namedtuple_row,
            ) as connection:
                rows = connection.execute(
                    _RUNS,
                    {"projects": list(projects), "namespaces": list(namespaces), "latest": self._latest},
                ).fetchall()
        except psycopg.errors.UndefinedTable:
            return []  # MLflow has not made its tables yet
        except psycopg.Error as error:
            raise ServiceUnavailable("postgres", str(error).strip()) from None
        return [_run(row) for row in rows]


def _run(row: Any) -> Run:
    tags = {key: value or "" for key, value in (row.tags or {}).items()}
    return Run(
        key=tags.get(RUN_KEY, row.run_uuid),
        mlflow_id=row.run_uuid,
        project=row.project,
        name=row.name or "",
        status=RunStatus(row.status) if row.status in RunStatus.__members__ else RunStatus.RUNNING,
        started_at=_time(row.start_time or 0),
        ended_at=None if row.end_time is None else _time(row.end_time),
        metrics={
            key: value for key, text in (row.metrics or {}).items() if (value := _finite(text)) is not None
        },
        tags=tags,
    )


def _finite(text: str) -> float | None:
    # What is not finite is no JSON number, and says nothing in a table of results: left out.
    value = float(text)
    return value if math.isfinite(value) and abs(value) < _LARGEST else None


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
