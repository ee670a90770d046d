"""The log of what endpoints were asked and answered, as features."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import psycopg
from psycopg.errors import CheckViolation
from sqlalchemy import Connection, Engine, func, select

from mlops.entities import Inference, Side
from mlops.errors import ServiceUnavailable
from mlops.store.partitions import Partitions
from mlops.store.tables import inferences, projects
from mlops.store.windows import Window, read_window

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
"""`at`, `project`, `model`, `version`, `side`, `request_id`, `status`, `latency_s`, and `features`: JSON or
None."""


class Inferences:
    """The table `inferences`; `mlops.store.retention` says how it is kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._partitions = Partitions(engine)

    def add(self, found: Sequence[Row]) -> None:
        """Append them, all at once or, when this raises, none.

        Left out are those of a project that is gone meanwhile, and those of a day that is just being dropped.
        A row whose features Postgres does not take (a NUL in a text, no JSON) is kept without them; one that
        it does not take even so is left out. Both are logged as warnings, and harm no other row.
        Raises `ServiceUnavailable`.
        """
        rows = list(found)
        for _ in range(_TRIES):
            if not rows:
                return
            try:
                with self._engine.begin() as connection:
                    _put(connection, _of_projects_there(connection, rows))
                return
            except CheckViolation:  # a row's day has no partition
                closed = self._partitions.make(_day(row) for row in rows)
                rows = [row for row in rows if _day(row) not in closed]
            except psycopg.Error as error:
                raise ServiceUnavailable("postgres", str(error).strip()) from error
        raise ServiceUnavailable("postgres", "the days of inferences are dropped as fast as they are made")

    def latest(
        self, project: str, model: str, count: int = 100, *, since: datetime | None = None
    ) -> list[Inference]:
        """The newest ones of the model, newest first, `since` that time if given."""
        statement = (
            select(inferences)
            .where(inferences.c.project == project, inferences.c.model == model)
            .order_by(inferences.c.at.desc(), inferences.c.id.desc())
            .limit(count)
        )
        if since is not None:
            statement = statement.where(inferences.c.at >= since)
        with self._engine.connect() as connection:
            return [
                Inference(
                    at=row.at, project=row.project, model=row.model, version=row.version, side=Side(row.side),
                    request_id=row.request_id, status=row.status, latency_s=row.latency_s,
                    features=row.features or {},
                )
                for row in connection.execute(statement)
            ]  # fmt: skip

    def count(
        self, project: str, model: str, version: int, since: datetime, until: datetime, most: int
    ) -> int:
        """How many of the version's inferences from `since` on and before `until` are in the log with their
        features; no more than `most` are counted."""
        log = inferences.c
        found = (
            select(log.id)
            .where(log.project == project, log.model == model, log.at >= since, log.at < until)
            .where(log.version == version, log.features.is_not(None))
            .limit(most)
        )
        with self._engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(found.subquery())) or 0

    def window(
        self,
        project: str,
        model: str,
        since: datetime,
        until: datetime,
        version: int | None = None,
        most: int = 50_000,
    ) -> Window:
        """The features of the model's inferences from `since` on and before `until`, of one version or of
        all: the newest ones, at most so many rows. Raises `InvalidInput` for a window or a number that holds
        nothing."""
        return read_window(self._engine, project, model, since, until, version, most)


_TRIES = 3
_COLUMNS = (
    "at", "project", "model", "version", "side", "request_id", "status", "latency_s", "features",
)  # fmt: skip

_COPY = f"COPY inferences ({', '.join(_COLUMNS)}) FROM STDIN"


def _of_projects_there(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """The rows whose projects are there, and stay until the rows are there that would go with them."""
    names = {row["project"] for row in rows}
    wanted = (
        select(projects.c.name).where(projects.c.name.in_(names)).with_for_update(read=True, key_share=True)
    )
    there = set(connection.scalars(wanted))
    return [row for row in rows if row["project"] in there]


def _put(connection: Connection, rows: Sequence[Row]) -> None:
    """Write them with one statement; where Postgres refuses one of them, each half with its own."""
    try:
        with connection.begin_nested():
            _copy(connection, rows)
    except (psycopg.DataError, UnicodeError) as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            _put(connection, rows[:middle])
            _put(connection, rows[middle:])
            return
        _put_without_features(connection, rows[0], str(error).splitlines()[0])


def _copy(connection: Connection, rows: Sequence[Row]) -> None:
    # Past SQLAlchemy, which knows no COPY: the arrays of an INSERT take twenty times as much of this process,
    # which has callers to answer.
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(_COPY) as into:
        for row in rows:
            into.write_row([row[name] for name in _COLUMNS])


def _put_without_features(connection: Connection, row: Row, why: str) -> None:
    what = f"an inference of {row['project']}/{row['model']}"
    if row["features"] is None:
        log.warning("%s is left out of the log: %s", what, why)
        return
    log.warning("%s is logged without its features: %s", what, why)
    _put(connection, [{**row, "features": None}])


def _day(row: Row) -> date:
    at: datetime = row["at"]
    return at.astimezone(UTC).date()
