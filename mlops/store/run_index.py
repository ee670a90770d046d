"""What the worker writes of the index of runs, and how far it has read."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.dialects.postgresql import insert

from mlops.entities import RunStatus
from mlops.store.data_versions import put_data
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.run_sparks import put_sparks, read_sparks
from mlops.store.sparks import Spark
from mlops.store.tables import indexed_projects, projects, run_index, run_metrics, runs

METRIC, PARAM, TAG = "metric", "param", "tag"
_ONLY = 1

# What a crash of the machine takes with it is read again: horizon and rows are lost together.
_UNFORCED = text("SET LOCAL synchronous_commit = off")

# Sent as columns: a statement for each row takes ten times as long.
_PUT_RUNS = text("""
INSERT INTO runs (id, project, name, experiment, status, started_at, ended_at, "user", params, tags, words)
SELECT id, project, name, experiment, status, started_at, ended_at, author, params::jsonb, tags::jsonb,
       array_to_tsvector(string_to_array(nullif(words, ''), ' '))
  FROM unnest(CAST(:id AS text[]), CAST(:project AS text[]), CAST(:name AS text[]),
              CAST(:experiment AS text[]), CAST(:status AS text[]), CAST(:started_at AS timestamptz[]),
              CAST(:ended_at AS timestamptz[]), CAST(:user AS text[]), CAST(:params AS text[]),
              CAST(:tags AS text[]), CAST(:words AS text[]))
    AS new(id, project, name, experiment, status, started_at, ended_at, author, params, tags, words)
 WHERE project IN (SELECT name FROM projects)
    ON CONFLICT (id) DO UPDATE
   SET project = excluded.project, name = excluded.name, experiment = excluded.experiment,
       status = excluded.status, started_at = excluded.started_at, ended_at = excluded.ended_at,
       "user" = excluded."user", params = excluded.params, tags = excluded.tags, words = excluded.words
 WHERE (runs.project, runs.name, runs.experiment, runs.status, runs.started_at, runs.ended_at, runs."user",
        runs.params, runs.tags, runs.words)
       IS DISTINCT FROM
       (excluded.project, excluded.name, excluded.experiment, excluded.status, excluded.started_at,
        excluded.ended_at, excluded."user", excluded.params, excluded.tags, excluded.words)
""")

_PUT_METRICS = text("""
INSERT INTO run_metrics (run_id, project, key, last, min, max, step, time_ms, points)
SELECT new.*
  FROM unnest(CAST(:run_id AS text[]), CAST(:project AS text[]), CAST(:key AS text[]),
              CAST(:last AS float8[]), CAST(:min AS float8[]), CAST(:max AS float8[]),
              CAST(:step AS bigint[]), CAST(:time_ms AS bigint[]), CAST(:points AS bigint[]))
    AS new(run_id, project, key, last, min, max, step, time_ms, points)
  JOIN runs ON runs.id = new.run_id
    ON CONFLICT (run_id, key) DO UPDATE
   SET project = excluded.project, last = excluded.last, min = excluded.min, max = excluded.max,
       step = excluded.step, time_ms = excluded.time_ms, points = excluded.points
 WHERE (run_metrics.*) IS DISTINCT FROM (excluded.*)
""")

_DROP_METRICS = text("""
DELETE FROM run_metrics AS old
 WHERE run_id = ANY(CAST(:runs AS text[]))
   AND NOT EXISTS (SELECT FROM unnest(CAST(:run_id AS text[]), CAST(:key AS text[])) AS new(run_id, key)
                    WHERE new.run_id = old.run_id AND new.key = old.key)
""")

_PUT_NAMES = text("""
INSERT INTO run_names (project, kind, name)
SELECT new.*
  FROM unnest(CAST(:project AS text[]), CAST(:kind AS text[]), CAST(:name AS text[]))
    AS new(project, kind, name)
  JOIN projects ON projects.name = new.project
    ON CONFLICT DO NOTHING
""")

_DROP_NAMES = text("""
DELETE FROM run_names AS old
 WHERE CASE kind
       WHEN 'metric' THEN NOT EXISTS (
            SELECT FROM run_metrics WHERE project = old.project AND key = old.name)
       WHEN 'param' THEN NOT EXISTS (
            SELECT FROM runs WHERE project = old.project AND params ? old.name)
       ELSE NOT EXISTS (SELECT FROM runs WHERE project = old.project AND tags ? old.name) END
""")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far MLflow's tables were read."""

    source: str = ""
    """Which database that was."""
    horizon: int | None = None
    """All that transactions before this one wrote is in the index; None where it must all be read."""
    projects: Mapping[str, str] = field(default_factory=dict)
    """Name -> MLflow workspace of those whose runs are all in the index."""
    indexed_at: datetime | None = None
    rebuild_asked_at: datetime | None = None


class RunIndexTables:
    """The tables of the index, for the one who writes them. A round writes in several transactions, and its
    progress last: one that is cut short is done again, and leaves every row right meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def progress(self) -> Progress:
        """As the last finished round left it."""
        with self._engine.connect() as connection:
            row = connection.execute(select(run_index)).one_or_none()
            known = connection.execute(select(indexed_projects)).all()
        if row is None:
            return Progress()
        names = {each.project: each.namespace for each in known}
        return Progress(row.source, row.horizon, names, row.indexed_at, row.rebuild_asked_at)

    def finish(self, done: Progress) -> None:
        """Write down how far a round came. A rebuild that was asked for meanwhile stays due."""
        put = insert(run_index).values(
            id=_ONLY, source=done.source, horizon=done.horizon, indexed_at=done.indexed_at
        )
        asked = func.nullif(run_index.c.rebuild_asked_at, done.rebuild_asked_at)
        names = insert(indexed_projects).from_select(
            ["project", "namespace"],
            select(projects.c.name, projects.c.namespace).where(projects.c.name.in_(list(done.projects))),
        )
        with self._engine.begin() as connection:
            connection.execute(_UNFORCED)
            connection.execute(
                put.on_conflict_do_update(
                    index_elements=["id"],
                    set_={
                        "source": put.excluded.source,
                        "horizon": put.excluded.horizon,
                        "indexed_at": put.excluded.indexed_at,
                        "rebuild_asked_at": asked,
                    },
                )
            )
            if done.projects:
                connection.execute(
                    names.on_conflict_do_update(
                        index_elements=["project"],
                        set_={"namespace": names.excluded.namespace, "read_at": None, "problem": ""},
                    )
                )

    def ask_for_rebuild(self) -> datetime:
        """Have all be read again; returns when that was asked."""
        now = datetime.now(UTC)
        put = insert(run_index).values(id=_ONLY, rebuild_asked_at=now)
        with self._engine.begin() as connection:
            connection.execute(
                put.on_conflict_do_update(index_elements=["id"], set_={"rebuild_asked_at": now})
            )
        return now

    def metrics(self, ids: Sequence[str]) -> dict[tuple[str, str], MetricSummary]:
        """(run, key) -> what the index has of it."""
        with self._engine.connect() as connection:
            return read_metrics(connection, ids)

    def sparks(self, ids: Sequence[str]) -> dict[str, Spark]:
        """Run -> the course of its primary metric, as far as the index has it."""
        with self._engine.connect() as connection:
            return read_sparks(connection, ids)

    def put(self, found: Sequence[IndexedRun]) -> int:
        """Insert or update runs with all their metrics, data and spark; returns how many rows changed. A run
        whose project there is not is left out."""
        if not found:
            return 0
        metrics = _metric_columns(found)
        kept = {"runs": [run.id for run in found], **{name: metrics[name] for name in ("run_id", "key")}}
        with self._engine.begin() as connection:
            connection.execute(_UNFORCED)
            changed = connection.execute(_PUT_RUNS, _run_columns(found)).rowcount
            changed += connection.execute(_DROP_METRICS, kept).rowcount
            changed += connection.execute(_PUT_METRICS, metrics).rowcount
            changed += put_data(connection, found)
            changed += put_sparks(connection, found)
            connection.execute(_PUT_NAMES, _name_columns(found))
        return changed

    def ids_of(self, project: str, *, going_on: bool = False, after: datetime | None = None) -> set[str]:
        """The runs of a project that are in the index; those alone that go on, or began after a moment."""
        statement = select(runs.c.id).where(runs.c.project == project)
        if going_on:
            statement = statement.where(runs.c.status == RunStatus.RUNNING.value)
        if after is not None:
            statement = statement.where(runs.c.started_at > after)
        with self._engine.connect() as connection:
            return set(connection.scalars(statement))

    def ids(self) -> dict[str, int]:
        """Every run in the index, with how many tags it has."""
        statement = text("SELECT id, (SELECT count(*) FROM jsonb_object_keys(tags)) AS tags FROM runs")
        with self._engine.connect() as connection:
            return {row.id: row.tags for row in connection.execute(statement)}

    def forget(self, ids: Sequence[str]) -> int:
        """Remove runs; returns how many there were."""
        if not ids:
            return 0
        with self._engine.begin() as connection:
            connection.execute(_UNFORCED)
            gone = text("DELETE FROM runs WHERE id = ANY(CAST(:ids AS text[]))")
            return connection.execute(gone, {"ids": list(ids)}).rowcount

    def forget_names(self) -> int:
        """Remove the names that no run has any more; returns how many there were."""
        with self._engine.begin() as connection:
            return connection.execute(_DROP_NAMES).rowcount

    def tidy(self) -> None:
        """Let Postgres learn at once what is in the tables: its own housekeeping comes later, and until
        then questions are answered by poor plans."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE) runs, run_metrics, run_sparks, run_data"))


def read_metrics(
    connection: Connection, ids: Sequence[str], keys: Collection[str] | None = None
) -> dict[tuple[str, str], MetricSummary]:
    """(run, key) -> the metric, of these runs; of these keys alone, unless None is given."""
    statement = select(run_metrics).where(run_metrics.c.run_id.in_(list(ids)))
    if keys is not None:
        statement = statement.where(run_metrics.c.key.in_(list(keys)))
    return {
        (row.run_id, row.key): MetricSummary(
            last=_or_nan(row.last),
            min=_or_nan(row.min),
            max=_or_nan(row.max),
            step=row.step,
            time_ms=row.time_ms,
            points=row.points,
        )
        for row in connection.execute(statement)
    }


def _run_columns(found: Sequence[IndexedRun]) -> dict[str, list[Any]]:
    plain = ("id", "project", "name", "experiment", "started_at", "ended_at", "user")
    return {name: [getattr(run, name) for run in found] for name in plain} | {
        "status": [run.status.value for run in found],
        "params": [json.dumps(dict(run.params)) for run in found],
        "tags": [json.dumps(dict(run.tags)) for run in found],
        "words": [" ".join(sorted(run.words())) for run in found],
    }


def _metric_columns(found: Sequence[IndexedRun]) -> dict[str, list[Any]]:
    rows = [(run, key, metric) for run in found for key, metric in run.metrics.items()]
    numbers, plain = ("last", "min", "max"), ("step", "time_ms", "points")
    return {
        "run_id": [run.id for run, _, _ in rows],
        "project": [run.project for run, _, _ in rows],
        "key": [key for _, key, _ in rows],
        **{name: [_number(getattr(metric, name)) for _, _, metric in rows] for name in numbers},
        **{name: [getattr(metric, name) for _, _, metric in rows] for name in plain},
    }


def _name_columns(found: Sequence[IndexedRun]) -> dict[str, list[str]]:
    names = {
        (run.project, kind, name)
        for run in found
        for kind, known in ((METRIC, run.metrics), (PARAM, run.params), (TAG, run.tags))
        for name in known
    }
    rows = sorted(names)
    return {column: [row[place] for row in rows] for place, column in enumerate(("project", "kind", "name"))}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
