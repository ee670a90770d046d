"""Metric histories thinned out where they are kept: one query to MLflow's own Postgres.

MLflow's API has no aggregate that keeps extremes, and takes 40 s to page a million values.
"""

from __future__ import annotations

import math
import re
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from mlops.entities import RUN_KEY, ProjectWorkspace
from mlops.errors import InvalidInput, MetricNotFound, RunNotFound, ServiceUnavailable
from mlops.tracking.results import MetricHistory
from mlops.tracking.sampling import FEWEST, MOST_AT_SOURCE

_NAME = re.compile(r"[A-Za-z0-9][\w-]{0,255}")
_SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "20s",
    "work_mem": "64MB",  # a million values are sorted and kept in it
    "jit": "off",  # compiling takes longer than it saves
}

# Read as MLflow 3.17 lays them out; a test runs this against a database that MLflow made. `place` numbers
# the values in MLflow's order, in which NaN counts as the 0 it is stored as. The smallest and the largest
# of a stretch are found as the least and the greatest pair (value, place): no second sort.
_HISTORY = """
WITH run AS (
    SELECT runs.run_uuid FROM runs JOIN experiments USING (experiment_id)
     WHERE experiments.workspace = %(namespace)s AND runs.lifecycle_stage = 'active'
       AND runs.run_uuid IN (
           SELECT %(run)s::text UNION ALL
           SELECT t.run_uuid FROM tags t WHERE t.key = %(run_key)s AND t.value = %(run)s::text)
     ORDER BY runs.run_uuid = %(run)s::text DESC, runs.start_time DESC
     LIMIT 1),
points AS MATERIALIZED (
    SELECT step, timestamp, value, is_nan, row_number() OVER (ORDER BY step, timestamp, value) AS place
      FROM metrics
     WHERE run_uuid = (SELECT run_uuid FROM run) AND key = %(key)s),
counted AS (SELECT count(*) AS total FROM points),
extremes AS (
    SELECT min(ARRAY[value, place]) FILTER (WHERE NOT is_nan) AS low,
           max(ARRAY[value, -place]) FILTER (WHERE NOT is_nan) AS high,
           min(place) AS first
      FROM points, counted
     WHERE total > %(most)s
     GROUP BY (place - 1) * %(stretches)s / total),
kept AS (
    SELECT coalesce(low[2], first)::bigint AS place FROM extremes
     UNION SELECT coalesce(-high[2], first)::bigint FROM extremes
     UNION SELECT 1 UNION SELECT total FROM counted)
SELECT counted.total, chosen.step, chosen.timestamp, chosen.value, chosen.is_nan
  FROM run CROSS JOIN counted
  LEFT JOIN points AS chosen ON counted.total <= %(most)s OR chosen.place IN (SELECT place FROM kept)
 ORDER BY chosen.place
"""


class MetricCurves:
    """Reads MLflow's database at `mlflow_url`; changes nothing there."""

    def __init__(self, mlflow_url: str) -> None:
        self._url = mlflow_url

    def history(
        self, workspace: ProjectWorkspace, run_id: str, key: str, max_points: int = 1000
    ) -> MetricHistory:
        """At most `max_points` (4 to 10,000) values of a metric, of a run of this workspace alone, by its
        key or MLflow's id.

        Kept are the first, the last, and the smallest and the largest of equally long stretches between,
        so of all too. NaN stays at an end, and where a stretch holds nothing else. Raises `InvalidInput`,
        `RunNotFound` (for a deleted run too), `MetricNotFound`, `ServiceUnavailable`.
        """
        project = workspace.project_name
        if not FEWEST <= max_points <= MOST_AT_SOURCE:
            remedy = f"Use {FEWEST} to {MOST_AT_SOURCE}."
            raise InvalidInput("max_points", max_points, "is out of range", remedy=remedy)
        if not _NAME.fullmatch(run_id):
            raise RunNotFound(project, run_id)
        rows = self._read(
            {
                "namespace": workspace.namespace,
                "run": run_id,
                "run_key": RUN_KEY,
                "key": _storable(key),
                "most": max_points,
                "stretches": (max_points - 2) // 2,
            }
        )
        if not rows:
            raise RunNotFound(project, run_id)
        if rows[0].total == 0:
            raise MetricNotFound(project, key, run_id)
        return MetricHistory.from_columns(
            {
                "total": rows[0].total,
                "steps": [row.step for row in rows],
                "times": [row.timestamp for row in rows],
                "values": [math.nan if row.is_nan else row.value for row in rows],
            }
        )

    def _read(self, values: dict[str, Any]) -> list[Any]:
        try:
            with psycopg.connect(
                self._url,
                connect_timeout=5,
                application_name="mlops-curves",
                options=" ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
                row_factory=namedtuple_row,
            ) as connection:
                return connection.execute(_HISTORY, values).fetchall()
        except psycopg.errors.UndefinedTable:
            return []  # MLflow has not made its tables yet
        except psycopg.Error as error:
            raise ServiceUnavailable("postgres", str(error).strip()) from None


def _storable(key: str) -> str:
    # Postgres takes neither; and no metric has a question mark in its key, so it is not found either.
    return key.encode("utf-8", "replace").replace(b"\0", b"?").decode()
