"""The index of runs over all projects, as it is read. The worker keeps it (`mlops.store.run_index`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, and_, func, or_, select, text

from mlops.entities import RUN_KEY, Run, RunStatus
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.run_index import read_metrics
from mlops.store.run_query import RunQuery, RunStart
from mlops.store.run_select import select_runs
from mlops.store.run_sparks import read_sparks
from mlops.store.sparks import Spark
from mlops.store.tables import run_names, runs

_STREAMED = 500
"""Runs that an export has in memory."""
_PATIENCE = text("SET LOCAL statement_timeout = '20s'")


class Runs:
    """The tables `runs`, `run_metrics` and `run_names`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def latest(self, project: str, count: int = 1) -> list[Run]:
        """The newest runs of a project."""
        statement = (
            select(runs)
            .where(runs.c.project == project)
            .order_by(runs.c.started_at.desc(), runs.c.id.desc())
            .limit(count)
        )
        with self._engine.connect() as connection:
            return [run.as_run() for run in _read(connection, statement)]

    def indexed(self, ids: Sequence[str]) -> list[IndexedRun]:
        """The runs of these MLflow ids that there are, with their metrics' extremes."""
        with self._engine.connect() as connection:
            return _read(connection, select(runs).where(runs.c.id.in_(ids)))

    def sparks(self, ids: Sequence[str]) -> dict[str, Spark]:
        """MLflow's id -> the course of the run's primary metric, of those of these runs that have one."""
        with self._engine.connect() as connection:
            return read_sparks(connection, ids)

    def find(self, names: Sequence[str]) -> list[IndexedRun]:
        """The runs of these MLflow ids or keys that there are, in no order."""
        by_key = (runs.c.tags.contains({RUN_KEY: name}) for name in names)
        with self._engine.connect() as connection:
            return _read(connection, select(runs).where(or_(runs.c.id.in_(names), *by_key)))

    def going_on_or_failed(self, since: datetime) -> list[Run]:
        """Of all projects, the runs that go on, and those that failed since then; without their metrics."""
        failed = and_(
            runs.c.status == text("'FAILED'"), func.coalesce(runs.c.ended_at, runs.c.started_at) >= since
        )
        statement = select(runs).where(or_(runs.c.status == RunStatus.RUNNING.value, failed))
        with self._engine.connect() as connection:
            return [_run(row, {}).as_run() for row in connection.execute(statement)]

    def search(
        self, query: RunQuery, metrics: Collection[str] | None = None
    ) -> tuple[list[IndexedRun], RunStart | None]:
        """A page of the runs that are wanted, and where the next begins; None after the last. They come with
        all their metrics, or with those named and those that they are sorted by."""
        keys = None if metrics is None else {*metrics, *(sort.metric for sort in query.order)}
        # Runs and their metrics as of one moment: where the next page begins is told by the last run's.
        with self._engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            connection.execute(_PATIENCE)
            found = _read(connection, select_runs(query), keys)
        if len(found) < query.limit:
            return found, None
        return found, query.start_after(found[-1])

    def stream(self, query: RunQuery) -> Iterator[IndexedRun]:
        """All runs that are wanted, whatever the query's limit."""
        begin: RunStart | None = None
        while True:
            found, begin = self.search(query.page(_STREAMED, begin))
            yield from found
            if begin is None:
                return

    def names(self, projects: Sequence[str] | None = None) -> dict[str, list[str]]:
        """`metric`, `param` and `tag` -> the names there are in these projects, or in all, sorted."""
        statement = select(run_names.c.kind, run_names.c.name).distinct()
        if projects is not None:
            statement = statement.where(run_names.c.project.in_(projects))
        with self._engine.connect() as connection:
            found: dict[str, list[str]] = defaultdict(list)
            for kind, name in connection.execute(statement.order_by(run_names.c.kind, run_names.c.name)):
                found[kind].append(name)
        return dict(found)


def _read(
    connection: Connection, statement: Select[Any], keys: Collection[str] | None = None
) -> list[IndexedRun]:
    rows = connection.execute(statement).all()
    metrics: dict[str, dict[str, MetricSummary]] = defaultdict(dict)
    for (run, key), metric in read_metrics(connection, [row.id for row in rows], keys).items():
        metrics[run][key] = metric
    return [_run(row, metrics[row.id]) for row in rows]


def _run(row: Row[Any], metrics: Mapping[str, MetricSummary]) -> IndexedRun:
    return IndexedRun(
        id=row.id,
        project=row.project,
        name=row.name,
        experiment=row.experiment,
        status=RunStatus(row.status),
        started_at=row.started_at,
        ended_at=row.ended_at,
        user=row.user,
        params=row.params,
        tags=row.tags,
        metrics={key: metrics[key] for key in sorted(metrics)},
    )
