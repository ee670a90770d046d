"""The index of runs over all projects, kept by the worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Select, and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from mlops.entities import RUN_KEY, Run, RunStatus
from mlops.store.tables import runs

_UPDATED = ("name", "status", "started_at", "ended_at", "metrics", "tags")


class Runs:
    """The table `runs`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, found: Sequence[Run]) -> None:
        """Insert or update."""
        if not found:
            return
        statement = insert(runs).values(
            [
                {
                    "id": run.id,
                    "project": run.project,
                    "name": run.name,
                    "status": run.status.value,
                    "started_at": run.started_at,
                    "ended_at": run.ended_at,
                    "metrics": run.metrics,
                    "tags": run.tags,
                }
                for run in found
            ]
        )
        with self._engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[runs.c.id], set_={name: statement.excluded[name] for name in _UPDATED}
                )
            )

    def latest(self, project: str, count: int = 1) -> list[Run]:
        """The newest runs of a project."""
        statement = (
            select(runs).where(runs.c.project == project).order_by(runs.c.started_at.desc()).limit(count)
        )
        return self._read(statement)

    def going_on_or_failed(self, since: datetime) -> list[Run]:
        """Of all projects, the runs that go on, and those that failed since then."""
        failed = and_(
            runs.c.status == RunStatus.FAILED.value,
            func.coalesce(runs.c.ended_at, runs.c.started_at) >= since,
        )
        return self._read(select(runs).where(or_(runs.c.status == RunStatus.RUNNING.value, failed)))

    def _read(self, statement: Select[Any]) -> list[Run]:
        with self._engine.connect() as connection:
            return [
                Run(
                    key=row.tags.get(RUN_KEY, row.id),
                    mlflow_id=row.id,
                    project=row.project,
                    name=row.name,
                    status=RunStatus(row.status),
                    started_at=row.started_at,
                    ended_at=row.ended_at,
                    metrics=row.metrics,
                    tags=row.tags,
                )
                for row in connection.execute(statement)
            ]
