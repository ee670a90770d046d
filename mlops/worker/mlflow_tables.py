"""Runs as they stand in MLflow's own database, which is only read."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from mlops.entities import DataVersion
from mlops.errors import ServiceUnavailable
from mlops.store.indexed_runs import IndexedRun, MetricSummary, greatest, least
from mlops.store.model_versions import IndexedVersion
from mlops.tracking.datasets import data_versions
from mlops.worker.mlflow_models import read_versions, registry_mark
from mlops.worker.mlflow_values import LARGEST, LONGEST, moment, number, status, stored

Known = Mapping[tuple[str, str], MetricSummary]
"""(run, key) -> a metric whose values up to this last one have been read."""

_SETTINGS = {"default_transaction_read_only": "on", "statement_timeout": "60s", "jit": "off"}

# All read as MLflow 3.17 lays it out; a test runs this against a database that MLflow made.
_POSITION = """
SELECT format('%s/%s', (SELECT system_identifier FROM pg_control_system()),
              (SELECT oid FROM pg_database WHERE datname = current_database())) AS source,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon, clock_timestamp() AS at,
       to_regclass('latest_metrics') IS NOT NULL AS is_made
"""

# A row's xmin is the transaction that wrote it, and its age how many began since then, also where the counter
# began anew. No index has it: whole tables are read, which takes some 75 ms at 50,000 runs of ten metrics.
# Asking the runs that go on alone would be cheaper, and would miss what is written to those that are over.
_CHANGED = """
SELECT run_uuid FROM runs WHERE age(xmin) <= %(age)s
 UNION SELECT run_uuid FROM latest_metrics WHERE age(xmin) <= %(age)s
 UNION SELECT run_uuid FROM tags WHERE age(xmin) <= %(age)s
 UNION SELECT run_uuid FROM params WHERE age(xmin) <= %(age)s
 UNION SELECT destination_id FROM inputs WHERE age(xmin) <= %(age)s AND destination_type = 'RUN'
 UNION SELECT run_uuid FROM runs JOIN experiments AS e USING (experiment_id) WHERE age(e.xmin) <= %(age)s
"""
_AGE = "SELECT age(%s::text::xid8::xid)"

_OF_WORKSPACES = """
SELECT run_uuid FROM runs JOIN experiments USING (experiment_id)
 WHERE workspace = ANY(%(namespaces)s::text[]) AND runs.lifecycle_stage = 'active'
 ORDER BY runs.start_time DESC NULLS LAST
"""

_TAG_COUNTS = """
SELECT run_uuid, (SELECT count(*) FROM tags t
                   WHERE t.run_uuid = runs.run_uuid AND length(t.value) <= %(longest)s)
  FROM runs JOIN experiments USING (experiment_id)
 WHERE workspace = ANY(%(namespaces)s::text[]) AND runs.lifecycle_stage = 'active'
"""

_RUNS = """
SELECT r.run_uuid, w.project, r.name, e.name AS experiment, r.status, r.start_time, r.end_time, r.user_id,
       (SELECT json_object_agg(t.key, t.value)
          FROM tags t WHERE t.run_uuid = r.run_uuid AND length(t.value) <= %(longest)s) AS tags,
       (SELECT json_object_agg(p.key, p.value)
          FROM params p WHERE p.run_uuid = r.run_uuid AND length(p.value) <= %(longest)s) AS params
  FROM runs r
  JOIN experiments e USING (experiment_id)
  JOIN unnest(%(projects)s::text[], %(namespaces)s::text[]) AS w(project, namespace)
    ON w.namespace = e.workspace
 WHERE r.run_uuid = ANY(%(ids)s::text[]) AND r.lifecycle_stage = 'active'
"""

# Of a metric that is known only the values after its last one, in MLflow's order: by step, time and value.
_METRICS = """
SELECT m.run_uuid, m.key, m.value, m.is_nan, m.step, m.timestamp, new.points, new.least, new.greatest
  FROM latest_metrics m
  LEFT JOIN unnest(%(runs)s::text[], %(keys)s::text[], %(steps)s::bigint[], %(times)s::bigint[],
                   %(values)s::float8[]) AS k(run, key, step, time, value)
    ON k.run = m.run_uuid AND k.key = m.key
 CROSS JOIN LATERAL (
       SELECT count(*) AS points, min(h.value) FILTER (WHERE NOT h.is_nan) AS least,
              max(h.value) FILTER (WHERE NOT h.is_nan) AS greatest
         FROM metrics h
        WHERE h.run_uuid = m.run_uuid AND h.key = m.key
          AND h.step >= coalesce(k.step, -9223372036854775808)
          AND (k.run IS NULL OR (h.step, h.timestamp, h.value) > (k.step, k.time, k.value))) AS new
 WHERE m.run_uuid = ANY(%(ids)s::text[])
"""

# Of runs' primary metrics what is new, least and greatest by buckets of steps.
_SPARKS = """
SELECT k.run AS run_uuid, new.place, new.least, new.greatest
  FROM unnest(%(runs)s::text[], %(keys)s::text[], %(widths)s::bigint[], %(steps)s::bigint[],
              %(times)s::bigint[], %(values)s::float8[]) AS k(run, key, width, step, time, value)
 CROSS JOIN LATERAL (
       SELECT greatest(h.step, 0) / k.width AS place, min(h.value) AS least, max(h.value) AS greatest
         FROM metrics h
        WHERE h.run_uuid = k.run AND h.key = k.key AND NOT h.is_nan AND abs(h.value) < %(largest)s
          AND h.step >= coalesce(k.step, -9223372036854775808)
          AND (k.step IS NULL OR (h.step, h.timestamp, h.value) > (k.step, k.time, k.value))
        GROUP BY 1) AS new
"""

_DATA = """
SELECT i.destination_id AS run_uuid, d.name, d.digest, d.dataset_source_type AS source_type,
       d.dataset_source AS source, d.dataset_profile AS profile,
       (SELECT json_object_agg(t.name, t.value) FROM input_tags t WHERE t.input_uuid = i.input_uuid) AS tags
  FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
 WHERE i.destination_type = 'RUN' AND i.source_type = 'DATASET' AND d.dataset_source_type = 'dvc'
   AND i.destination_id = ANY(%(ids)s::text[])
"""


@dataclass(frozen=True, slots=True)
class Position:
    """A moment of MLflow's database."""

    source: str
    """Which database of which server it is."""
    horizon: int
    """Of all transactions before this one it is seen what they wrote."""
    at: datetime


class MLflowTables:
    """The database at `url`. Every verb raises `ServiceUnavailable` where Postgres does not answer."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot | None]:
        """The database as of one moment; None where MLflow has not made its tables yet."""
        try:
            with psycopg.connect(
                self._url,
                connect_timeout=5,
                application_name="mlops-index",
                options=" ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
                row_factory=namedtuple_row,
            ) as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                row: Any = connection.execute(_POSITION).fetchone()
                position = Position(row.source, row.horizon, row.at)
                yield Snapshot(connection, position) if row.is_made else None
        except psycopg.Error as error:
            raise ServiceUnavailable("postgres", str(error).strip()) from None


class Snapshot:
    """MLflow's tables as of one moment."""

    def __init__(self, connection: psycopg.Connection[Any], position: Position) -> None:
        self._connection = connection
        self.position = position

    def changed_since(self, horizon: int) -> list[str]:
        """Ids of runs of which anything was written by that transaction or a later one; also of runs that
        are deleted, or of no project."""
        age = self._connection.execute(_AGE, [str(horizon)]).fetchone()
        assert age is not None  # noqa: S101
        return self._ids(_CHANGED, {"age": age[0]})

    def all_of(self, namespaces: Sequence[str]) -> list[str]:
        """Ids of the runs of these workspaces, the newest first."""
        return self._ids(_OF_WORKSPACES, {"namespaces": list(namespaces)})

    def tag_counts(self, namespaces: Sequence[str]) -> dict[str, int]:
        """Every run of these workspaces, with how many tags it has that the index takes."""
        rows = self._connection.execute(_TAG_COUNTS, {"namespaces": list(namespaces), "longest": LONGEST})
        return dict(rows.fetchall())

    def read(self, projects: Mapping[str, str], ids: Sequence[str]) -> list[IndexedRun]:
        """Those of the runs that belong to a project (name -> workspace) and are not deleted; without their
        metrics."""
        values = {
            "ids": list(ids), "projects": list(projects), "namespaces": list(projects.values()),
            "longest": LONGEST,
        }  # fmt: skip
        return [_run(row) for row in self._connection.execute(_RUNS, values)]

    def metrics(self, ids: Sequence[str], known: Known) -> dict[str, dict[str, MetricSummary]]:
        """Run -> its metrics. What came with a step before that of a `known` metric's last value is not
        seen; all is read of a metric that is not known."""
        rows = self._connection.execute(_METRICS, {"ids": list(ids), **_columns(known)})
        found: dict[str, dict[str, MetricSummary]] = defaultdict(dict)
        for row in rows:
            found[row.run_uuid][row.key] = _summary(row, known.get((row.run_uuid, row.key)))
        return found

    def buckets(
        self, wanted: Mapping[tuple[str, str], int], known: Known
    ) -> dict[str, list[tuple[int, float, float]]]:
        """Run -> the least and greatest values in each of the buckets that have any, for each wanted run and
        key with the width of its buckets in steps; of what is `known` as `metrics` does."""
        last = [known.get(each) for each in wanted]
        values = {
            "runs": [run for run, _ in wanted],
            "keys": [key for _, key in wanted],
            "widths": list(wanted.values()),
            "steps": [each and each.step for each in last],
            "times": [each and each.time_ms for each in last],
            "values": [each and stored(each.last) for each in last],
            "largest": LARGEST,
        }
        found: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
        for row in self._connection.execute(_SPARKS, values) if wanted else ():
            found[row.run_uuid].append((row.place, row.least, row.greatest))
        return found

    def registry_mark(self) -> str:
        """Another one than before where anything of a registered model changed."""
        return registry_mark(self._connection)

    def versions(self, projects: Mapping[str, str]) -> list[IndexedVersion]:
        """Every version of these projects' models (name -> workspace) that is not deleted."""
        return read_versions(self._connection, projects)

    def data(self, runs: Sequence[IndexedRun]) -> dict[str, tuple[DataVersion, ...]]:
        """Run -> the versions of its project's data that it used, or that are declared."""
        inputs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self._connection.execute(_DATA, {"ids": [run.id for run in runs]}):
            inputs[row.run_uuid].append({"dataset": row._asdict(), "tags": _listed(row.tags or {})})
        return {
            run.id: data_versions(
                run.project,
                {"inputs": {"dataset_inputs": inputs[run.id]}, "data": {"tags": _listed(run.tags)}},
            )
            for run in runs
            if run.id in inputs
        }

    def _ids(self, statement: str, values: dict[str, Any]) -> list[str]:
        return [id for (id,) in self._connection.execute(statement, values).fetchall()]


def _run(row: Any) -> IndexedRun:
    tags = {key: value or "" for key, value in (row.tags or {}).items()}
    return IndexedRun(
        id=row.run_uuid,
        project=row.project,
        name=row.name or "",
        experiment=row.experiment or "",
        status=status(row.status),
        started_at=moment(row.start_time or 0),
        ended_at=None if row.end_time is None else moment(row.end_time),
        user=row.user_id or tags.get("mlflow.user", ""),
        params=row.params or {},
        tags=tags,
    )


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """As MLflow's API has them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def _summary(row: Any, known: MetricSummary | None) -> MetricSummary:
    low, high, points = number(row.least), number(row.greatest), row.points
    if known is not None:
        low, high = least(low, known.min), greatest(high, known.max)
        points += known.points
    last = math.nan if row.is_nan else number(row.value)
    return MetricSummary(last, low, high, row.step, row.timestamp, points)


def _columns(known: Known) -> dict[str, list[Any]]:
    return {
        "runs": [run for run, _ in known],
        "keys": [key for _, key in known],
        "steps": [each.step for each in known.values()],
        "times": [each.time_ms for each in known.values()],
        "values": [stored(each.last) for each in known.values()],
    }
