"""Metric histories thinned out where they are kept: one query to MLflow's own Postgres.

MLflow's API has no aggregate that keeps extremes, and takes 40 s to page a million values.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
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

# Read as MLflow 3.17 lays it out; a test runs this against a database that MLflow made.
_RUN = """
    SELECT runs.run_uuid FROM runs JOIN experiments USING (experiment_id)
     WHERE experiments.workspace = %(namespace)s AND runs.lifecycle_stage = 'active'
       AND runs.run_uuid IN (
           SELECT %(run)s::text UNION ALL
           SELECT t.run_uuid FROM tags t WHERE t.key = %(run_key)s AND t.value = %(run)s::text)
     ORDER BY runs.run_uuid = %(run)s::text DESC, runs.start_time DESC
     LIMIT 1
"""

# `place` numbers the values in MLflow's order, in which NaN counts as the 0 it is stored as. The smallest and
# the largest of a stretch are found as the least and the greatest pair (value, place): no second sort.
_HISTORY = """
WITH run AS ({run}),
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


# Stretches are equally wide in steps or in time, as a chart shows them, so that nothing is sorted, and one
# pass finds their extremes. Where a series begins and ends is told by its first and last step; what is beside
# that, as times may be, is in the outermost stretches. A stretch of nothing but NaN is told as one.
_SERIES = """
WITH spans AS MATERIALIZED (
    SELECT keys.key, counted.total, greatest(least(head.x, tail.x), %(begin)s) AS first,
           least(greatest(head.x, tail.x), %(end)s) AS last
      FROM unnest(%(keys)s::text[]) AS keys(key)
     CROSS JOIN LATERAL (
           SELECT {x} AS x FROM metrics m WHERE m.run_uuid = %(run)s AND m.key = keys.key
            ORDER BY m.step LIMIT 1) AS head
     CROSS JOIN LATERAL (
           SELECT {x} AS x FROM metrics m WHERE m.run_uuid = %(run)s AND m.key = keys.key
            ORDER BY m.step DESC LIMIT 1) AS tail
     CROSS JOIN LATERAL (
           SELECT count(*) AS total
             FROM (SELECT FROM metrics m WHERE m.run_uuid = %(run)s AND m.key = keys.key
                      AND {x} BETWEEN %(begin)s AND %(end)s LIMIT %(most)s + 1) AS few) AS counted),
extremes AS (
    SELECT spans.key, found.*
      FROM spans CROSS JOIN LATERAL (
           SELECT count(*) AS points, min(step) AS step, min(timestamp) AS timestamp,
                  min(ARRAY[value, step, timestamp]) FILTER (WHERE NOT is_nan) AS low,
                  max(ARRAY[value, step, timestamp]) FILTER (WHERE NOT is_nan) AS high
             FROM metrics m
            WHERE m.run_uuid = %(run)s AND m.key = spans.key AND {x} BETWEEN %(begin)s AND %(end)s
            GROUP BY least(%(stretches)s - 1, greatest(0, floor(
                  ({x}::float8 - first) * %(stretches)s / (greatest(0, last::float8 - first) + 1))))
           ) AS found
     WHERE spans.total > %(most)s),
chosen AS (
    SELECT spans.key, total, few.*
      FROM spans CROSS JOIN LATERAL (
           SELECT step, timestamp, value, is_nan FROM metrics m
            WHERE m.run_uuid = %(run)s AND m.key = spans.key AND {x} BETWEEN %(begin)s AND %(end)s
            LIMIT %(most)s) AS few
     WHERE total <= %(most)s
     UNION
    SELECT key, (sum(points) OVER (PARTITION BY key) / 2)::bigint, coalesce(place[2], step)::bigint,
           coalesce(place[3], timestamp)::bigint, coalesce(place[1], 0), place IS NULL
      FROM extremes CROSS JOIN LATERAL (VALUES (low), (high)) AS places(place))
SELECT key, total, step, timestamp, value, is_nan FROM chosen ORDER BY key, {x}, step, timestamp, value
"""


class Axis(StrEnum):
    """What a curve is drawn over."""

    STEP = "step"
    TIME = "time"


_COLUMNS = {Axis.STEP: "step", Axis.TIME: "timestamp"}
_ALL = 2**63 - 1


class MetricCurves:
    """Reads MLflow's database at `mlflow_url`; changes nothing there."""

    def __init__(self, mlflow_url: str) -> None:
        self.mlflow_url = mlflow_url

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
        _check_points(max_points)
        if not _NAME.fullmatch(run_id):
            raise RunNotFound(project, run_id)
        values = {
            "namespace": workspace.namespace,
            "run": run_id,
            "run_key": RUN_KEY,
            "key": _storable(key),
            "most": max_points,
            "stretches": (max_points - 2) // 2,
        }
        with self._connected(project, run_id) as connection:
            rows = connection.execute(_HISTORY.format(run=_RUN), values).fetchall()
        if not rows:
            raise RunNotFound(project, run_id)
        if rows[0].total == 0:
            raise MetricNotFound(project, key, run_id)
        return MetricHistory.from_columns(_columns(rows))

    def series(
        self,
        workspace: ProjectWorkspace,
        run_id: str,
        keys: Sequence[str],
        *,
        axis: Axis = Axis.STEP,
        begin: int | None = None,
        end: int | None = None,
        max_points: int = 1000,
    ) -> dict[str, dict[str, Any]]:
        """Of each metric that has values from `begin` to `end` (steps, or ms since 1970) at most `max_points`
        (4 to 10,000) of them as `MetricHistory.columns` has them, in the order of the axis: of equally wide
        stretches the smallest and the largest. Raises `InvalidInput`, `RunNotFound`, `ServiceUnavailable`.
        """
        _check_points(max_points)
        if not _NAME.fullmatch(run_id):
            raise RunNotFound(workspace.project_name, run_id)
        named = {"namespace": workspace.namespace, "run": run_id, "run_key": RUN_KEY}
        with self._connected(workspace.project_name, run_id) as connection:
            run = connection.execute(_RUN, named).fetchone()
            if run is None:
                raise RunNotFound(workspace.project_name, run_id)
            values = {
                "run": run.run_uuid,
                "keys": list(dict.fromkeys(map(_storable, keys))),
                "begin": -_ALL if begin is None else max(-_ALL, min(begin, _ALL)),
                "end": _ALL if end is None else max(-_ALL, min(end, _ALL)),
                "most": max_points,
                "stretches": max_points // 2,
            }
            rows = connection.execute(_SERIES.format(x=_COLUMNS[axis]), values).fetchall()
        by_key = defaultdict(list)
        for row in rows:
            by_key[row.key].append(row)
        return {key: _columns(found) for key, found in by_key.items()}

    @contextmanager
    def _connected(self, project: str, run_id: str) -> Iterator[psycopg.Connection[Any]]:
        """For a question about a run; there is none where MLflow has not made its tables yet."""
        try:
            with psycopg.connect(
                self.mlflow_url,
                connect_timeout=5,
                application_name="mlops-curves",
                options=" ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
                row_factory=namedtuple_row,
            ) as connection:
                yield connection
        except psycopg.errors.UndefinedTable:
            raise RunNotFound(project, run_id) from None
        except psycopg.Error as error:
            raise ServiceUnavailable("postgres", str(error).strip()) from None


def _check_points(max_points: int) -> None:
    if not FEWEST <= max_points <= MOST_AT_SOURCE:
        remedy = f"Use {FEWEST} to {MOST_AT_SOURCE}."
        raise InvalidInput("max_points", max_points, "is out of range", remedy=remedy)


def _columns(rows: Sequence[Any]) -> dict[str, Any]:
    return {
        "total": rows[0].total,
        "steps": [row.step for row in rows],
        "times": [row.timestamp for row in rows],
        "values": ["NaN" if row.is_nan else row.value for row in rows],
    }


def _storable(key: str) -> str:
    # Postgres takes neither; and no metric has a question mark in its key, so it is not found either.
    return key.encode("utf-8", "replace").replace(b"\0", b"?").decode()
