"""Drift reports: asked for, made by the worker, and kept as rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from mlops.entities import (
    ColumnDrift,
    ColumnKind,
    DriftCheck,
    DriftJob,
    DriftReport,
    DriftTrigger,
    JobState,
    PerformanceChange,
)
from mlops.errors import DriftReportNotFound, InvalidInput, ProjectNotFound
from mlops.store.tables import drift_columns, drift_jobs, projects

KEPT = timedelta(days=90)
"""How long reports are kept."""
MOST_WAITING = 50
"""Reports of a project that somebody asked for and that are not made yet."""
MOST_ATTEMPTS = 3
"""Of a report whose worker ended before it was made."""


class Drift:
    """The tables `drift_jobs` and `drift_columns`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- asking ---------------------------------------------------------------------------------

    def ask(
        self,
        project: str,
        model: str,
        version: int,
        since: datetime,
        until: datetime,
        trigger: DriftTrigger = DriftTrigger.REQUEST,
        asked_by: str = "",
    ) -> DriftJob | None:
        """Queue a report of the version's inferences from `since` on and before `until`. None where one of
        that trigger, which is not `REQUEST`, waits already. Raises `ProjectNotFound`, and `InvalidInput`
        where the project waits for too many."""
        values = {
            "project": project, "model": model, "version": version, "since": since, "until": until,
            "trigger": trigger.value, "asked_by": asked_by, "state": JobState.QUEUED.value,
        }  # fmt: skip
        with self._engine.begin() as connection:
            # Of two who ask at once for the last place, one gets it; and who asks sees the project stay.
            found = connection.scalar(
                select(projects.c.name).where(projects.c.name == project).with_for_update(key_share=True)
            )
            if found is None:
                raise ProjectNotFound(project)
            if trigger is DriftTrigger.REQUEST:
                _check_room(connection, project)
            statement = upsert(drift_jobs).values(values).on_conflict_do_nothing().returning(drift_jobs)
            row = connection.execute(statement).one_or_none()
        return None if row is None else _job(row)

    # -- making ---------------------------------------------------------------------------------

    def claim(self) -> DriftJob | None:
        """Begin with the next one, what somebody asked for first; None where none waits."""
        by_request = drift_jobs.c.trigger != DriftTrigger.REQUEST.value
        following = (
            select(drift_jobs.c.id)
            .where(drift_jobs.c.state == JobState.QUEUED.value)
            .order_by(by_request, drift_jobs.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        statement = (
            update(drift_jobs)
            .where(drift_jobs.c.id == following)
            .values(state=JobState.RUNNING.value, attempts=drift_jobs.c.attempts + 1)
            .returning(drift_jobs)
        )
        with self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _job(row)

    def put_back(self) -> None:
        """Queue again what a worker had begun with that is gone; fail what no worker outlives."""
        running = drift_jobs.c.state == JobState.RUNNING.value
        given_up = update(drift_jobs).where(running, drift_jobs.c.attempts >= MOST_ATTEMPTS)
        with self._engine.begin() as connection:
            connection.execute(
                given_up.values(
                    state=JobState.FAILED.value,
                    ended_at=func.now(),
                    error=f"the worker ended {MOST_ATTEMPTS} times while it was made",
                    error_type="DriftReportFailed",
                )
            )
            connection.execute(update(drift_jobs).where(running).values(state=JobState.QUEUED.value))

    def done(self, number: int, report: DriftReport, performance: Sequence[PerformanceChange] = ()) -> None:
        """Keep what a job found; one that is gone, or was found already, stays as it is."""
        values = {
            "state": JobState.DONE.value, "ended_at": datetime.now(UTC), "judged": report.judged,
            "drifted": report.drifted_columns, "reference_rows": report.reference_rows,
            "current_rows": report.current_rows, "inferences": report.inferences,
            "performance": [_storable(change) for change in performance],
        }  # fmt: skip
        rows = [
            {"job_id": number, "place": place} | _storable(row) for place, row in enumerate(report.columns)
        ]
        with self._engine.begin() as connection:
            statement = update(drift_jobs).where(
                drift_jobs.c.id == number, drift_jobs.c.state == JobState.RUNNING.value
            )
            if connection.execute(statement.values(values)).rowcount and rows:
                connection.execute(insert(drift_columns), rows)

    def failed(self, number: int, error: str, error_type: str) -> None:
        """Keep why a job came to nothing, unless its rows are there."""
        statement = update(drift_jobs).where(
            drift_jobs.c.id == number, drift_jobs.c.state == JobState.RUNNING.value
        )
        values = {
            "state": JobState.FAILED.value, "ended_at": datetime.now(UTC),
            "error": error, "error_type": error_type,
        }  # fmt: skip
        with self._engine.begin() as connection:
            connection.execute(statement.values(values))

    def paged(self, number: int) -> None:
        """Its page is there."""
        with self._engine.begin() as connection:
            connection.execute(update(drift_jobs).where(drift_jobs.c.id == number).values(has_page=True))

    def performance_paged(self, number: int) -> None:
        """The page of how right the version was is there."""
        with self._engine.begin() as connection:
            connection.execute(
                update(drift_jobs).where(drift_jobs.c.id == number).values(has_performance=True)
            )

    # -- reading --------------------------------------------------------------------------------

    def get(self, number: int, project: str | None = None) -> DriftJob:
        """One with all its rows, of that project if given. Raises `DriftReportNotFound`."""
        statement = select(drift_jobs).where(drift_jobs.c.id == number)
        if project is not None:
            statement = statement.where(drift_jobs.c.project == project)
        with self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
            if row is None:
                raise DriftReportNotFound(number)
            columns = connection.execute(
                select(drift_columns).where(drift_columns.c.job_id == number).order_by(drift_columns.c.place)
            ).all()
        return _job(row, columns)

    def latest(self, project: str | None = None, model: str | None = None, most: int = 100) -> list[DriftJob]:
        """The newest ones, newest first, without their rows."""
        statement = select(drift_jobs).order_by(drift_jobs.c.id.desc()).limit(most)
        if project is not None:
            statement = statement.where(drift_jobs.c.project == project)
        if model is not None:
            statement = statement.where(drift_jobs.c.model == model)
        with self._engine.connect() as connection:
            return [_job(row) for row in connection.execute(statement)]

    def newest_of(self, project: str, model: str, version: int) -> DriftJob | None:
        """The newest report of a version that was made, without its rows; None where there is none."""
        statement = (
            select(drift_jobs)
            .where(drift_jobs.c.project == project, drift_jobs.c.model == model)
            .where(drift_jobs.c.version == version, drift_jobs.c.state == JobState.DONE.value)
            .order_by(drift_jobs.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _job(row)

    def newest(self) -> list[DriftJob]:
        """Of each running champion and canary the newest report that was made by schedule, and by count,
        each with those of its rows that drifted."""
        with self._engine.connect() as connection:
            found = connection.execute(_NEWEST.columns(*drift_jobs.c)).all()
            rows = defaultdict(list)
            numbers = [row.id for row in found if row.drifted]
            if numbers:
                statement = (
                    select(drift_columns)
                    .where(drift_columns.c.job_id.in_(numbers), drift_columns.c.drifted)
                    .order_by(drift_columns.c.job_id, drift_columns.c.place)
                )
                for row in connection.execute(statement):
                    rows[row.job_id].append(row)
        return [_job(row, rows[row.id]) for row in found]

    def last_by_itself(self) -> dict[tuple[str, str, int, DriftTrigger], DriftJob]:
        """Of each running champion and canary the newest by schedule, and by count, whatever became of it: by
        project, model, version and trigger."""
        with self._engine.connect() as connection:
            jobs = [_job(row) for row in connection.execute(_LAST.columns(*drift_jobs.c))]
        return {(job.project, job.model, job.version, job.trigger): job for job in jobs}

    def columns_over(self, project: str, model: str, since: datetime, most: int) -> list[DriftJob]:
        """The model's reports that were made since then with all their rows, the newest `most`, oldest
        first."""
        statement = (
            select(drift_jobs)
            .where(drift_jobs.c.project == project, drift_jobs.c.model == model)
            .where(drift_jobs.c.state == JobState.DONE.value, drift_jobs.c.until >= since)
            .order_by(drift_jobs.c.id.desc())
            .limit(most)
        )
        rows = defaultdict(list)
        with self._engine.connect() as connection:
            found = connection.execute(statement).all()
            wanted = select(drift_columns).where(drift_columns.c.job_id.in_([row.id for row in found]))
            for row in connection.execute(wanted.order_by(drift_columns.c.place)) if found else ():
                rows[row.job_id].append(row)
        return [_job(row, rows[row.id]) for row in reversed(found)]

    # -- keeping --------------------------------------------------------------------------------

    def forget_old(self) -> None:
        """Drop what is older than it is kept."""
        with self._engine.begin() as connection:
            connection.execute(delete(drift_jobs).where(drift_jobs.c.asked_at < datetime.now(UTC) - KEPT))

    def gone(self, numbers: Iterable[int]) -> set[int]:
        """Of these numbers, those that no job has any more."""
        wanted = set(numbers)
        statement = select(drift_jobs.c.id).where(drift_jobs.c.id.in_(bindparam("numbers", expanding=True)))
        with self._engine.connect() as connection:
            return wanted - set(connection.scalars(statement, {"numbers": sorted(wanted)}))


_OF_WHAT_SERVES = """
SELECT found.*
  FROM deployments AS served
 CROSS JOIN (VALUES ('schedule'), ('count')) AS triggers(name)
 CROSS JOIN LATERAL (
       SELECT * FROM drift_jobs AS jobs
        WHERE jobs.project = served.project AND jobs.model = served.model
          AND jobs.version = served.version AND jobs.trigger = triggers.name {made}
        ORDER BY jobs.id DESC LIMIT 1) AS found
 WHERE served.state = 'running' AND served.side IN ('champion', 'canary')
 ORDER BY found.project, found.model, found.version, found.trigger
"""
_LAST = text(_OF_WHAT_SERVES.format(made=""))
_NEWEST = text(_OF_WHAT_SERVES.format(made="AND jobs.state = 'done'"))


def _check_room(connection: Connection, project: str) -> None:
    waiting = connection.scalar(
        select(func.count())
        .select_from(drift_jobs)
        .where(
            drift_jobs.c.project == project,
            drift_jobs.c.state.in_((JobState.QUEUED.value, JobState.RUNNING.value)),
            drift_jobs.c.trigger == DriftTrigger.REQUEST.value,
        )
    )
    if (waiting or 0) >= MOST_WAITING:
        raise InvalidInput(
            "drift", project, f"has {waiting} reports waiting", remedy="Wait until some of them are made."
        )


def _job(row: Row[Any], columns: Iterable[Row[Any]] = ()) -> DriftJob:
    fields = dict(row._mapping)
    del fields["attempts"]
    job = DriftJob(**fields)
    return replace(
        job,
        trigger=DriftTrigger(job.trigger),
        state=JobState(job.state),
        performance=tuple(map(PerformanceChange.read, row.performance)),
        columns=tuple(_column(column) for column in columns),
    )


def _storable(row: ColumnDrift | PerformanceChange) -> dict[str, Any]:
    # Names and categories come from callers, and Postgres takes no NUL in a text.
    return {
        name: value.replace("\0", "\ufffd") if isinstance(value, str) else value
        for name, value in asdict(row).items()
    }


def _column(row: Row[Any]) -> ColumnDrift:
    fields = {name: value for name, value in row._mapping.items() if name not in ("job_id", "place")}
    return ColumnDrift(**fields | {"check": DriftCheck(row.check), "kind": ColumnKind(row.kind)})
