"""The partitions of the inference log: one for each day, in UTC, so that a day goes by dropping its table.

None of this keeps those who write to the log waiting for more than a moment:

- There is no partition for what fits nowhere else. With one, Postgres takes no partition off without locking
  the whole log, and reads it, locked, each time a day is added. So the worker makes days ahead, and a writer
  who finds none for his rows (the worker slept, a clock jumped) makes it himself.
- A day is made as a table of its own and then attached, which shuts out neither readers nor writers.
- A day is taken off CONCURRENTLY: that waits for those who are using the log, and none of them for it.
  Somebody who reads for long makes it give up; the next call ends what it began.
- To drop what was taken off, Postgres locks `projects`, where a part of the foreign key is kept. Writers look
  there, and wait behind whoever waits for that lock: it is waited for only shortly, and asked for again by
  the next call.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from mlops.errors import ServiceUnavailable

log = logging.getLogger(__name__)

AHEAD_DAYS = 3
"""Days after today that are there before anybody writes to them."""

_PATIENCE, _MOMENT = "2s", "200ms"
# Any fixed number of our own: one who makes partitions at a time.
_LOCK = 7_201_813


@dataclass(frozen=True, slots=True)
class Partition:
    """A table with the rows of the log from `began` on, before `ended`."""

    name: str
    began: datetime | None
    """None for what was logged before the log had partitions."""
    ended: datetime
    leaving: bool
    """It is being taken off, and takes no rows any more."""

    def holds(self, moment: datetime) -> bool:
        """Whether a row of that time belongs there."""
        return (self.began is None or self.began <= moment) and moment < self.ended


class Partitions:
    """The partitions of the table `inferences`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Partition]:
        """Those that are leaving, then the others, each from the oldest on."""
        with self._engine.connect() as connection:
            return _read(connection)

    def make_ahead(self) -> None:
        """Make today's and those of the next days. Raises `ServiceUnavailable` as `make` does."""
        today = datetime.now(UTC).date()
        self.make(today + timedelta(days=number) for number in range(AHEAD_DAYS + 1))

    def make(self, days: Iterable[date]) -> frozenset[date]:
        """Make those of the days, in UTC, that are missing. Returns the days that cannot have one, since
        theirs is just being taken off. Raises `ServiceUnavailable` where another's lock is in the way for
        seconds."""
        closed = set()
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                known = _read(connection)
                for day in sorted(set(days)):
                    found = [each for each in known if each.holds(_midnight(day))]
                    if not found:
                        _attach(connection, day)
                    elif found[0].leaving:
                        closed.add(day)
        except OperationalError as error:
            raise ServiceUnavailable("postgres", str(error.orig).strip()) from error
        return frozenset(closed)

    def drop_before(self, moment: datetime) -> list[str]:
        """Drop the partitions that ended by then; returns the names of the tables that are gone. What
        another's lock keeps from going stays for the next call."""
        for each in self.all():
            if (each.leaving or each.ended <= moment) and not self._take_off(each):
                break  # Postgres takes off one at a time
        with self._engine.connect() as connection:
            off = _taken_off(connection)
        return [name for name in off if self._drop(name)]

    def _take_off(self, partition: Partition) -> bool:
        how = "FINALIZE" if partition.leaving else "CONCURRENTLY"
        with self._outside_transactions() as connection:
            try:
                connection.exec_driver_sql(
                    f'ALTER TABLE inferences DETACH PARTITION "{partition.name}" {how}'
                )
            except OperationalError as error:
                return _was_late(error)
        return True

    def _drop(self, name: str) -> bool:
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_MOMENT}'")
                # `projects` first, in the order of one who deletes a project with its rows.
                connection.exec_driver_sql("LOCK TABLE projects IN ACCESS EXCLUSIVE MODE")
                connection.exec_driver_sql(f'DROP TABLE "{name}"')
        except OperationalError as error:
            return _was_late(error)
        return True

    @contextmanager
    def _outside_transactions(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"SET lock_timeout = '{_PATIENCE}'")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("RESET lock_timeout")


_READ = text(r"""
SELECT part.relname,
       CAST(substring(bound FROM 'FROM \(''([^'']+)''\)') AS timestamptz),
       CAST(substring(bound FROM 'TO \(''([^'']+)''\)') AS timestamptz) AS ended,
       inhdetachpending
  FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
 CROSS JOIN LATERAL pg_get_expr(part.relpartbound, part.oid) AS bound
 WHERE inhparent = CAST('inferences' AS regclass)
 ORDER BY inhdetachpending DESC, ended
""")

_TAKEN_OFF = text("""
SELECT part.relname
  FROM pg_class AS part JOIN pg_class AS log USING (relnamespace)
 WHERE log.oid = CAST('inferences' AS regclass)
   AND part.relkind = 'r' AND part.relname ~ '^inferences_([0-9]{8}(_[0-9]+)?|before)$'
   AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = part.oid)
 ORDER BY part.relname
""")


def _read(connection: Connection) -> list[Partition]:
    return [Partition(*row) for row in connection.execute(_READ)]


def _taken_off(connection: Connection) -> list[str]:
    return list(connection.scalars(_TAKEN_OFF))


def _attach(connection: Connection, day: date) -> None:
    name = _free_name(connection, day)
    connection.exec_driver_sql(f'CREATE TABLE "{name}" (LIKE inferences INCLUDING ALL EXCLUDING IDENTITY)')
    connection.exec_driver_sql(
        f'ALTER TABLE inferences ATTACH PARTITION "{name}"'
        f" FOR VALUES FROM ('{day:%Y-%m-%d} 00:00+00') TO ('{day + timedelta(days=1):%Y-%m-%d} 00:00+00')"
    )


def _free_name(connection: Connection, day: date) -> str:
    """Not that of a table which was taken off and could not be dropped yet: to attach it again would take the
    lock that dropping it waits for."""
    name = f"inferences_{day:%Y%m%d}"
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    is_taken = text("SELECT to_regclass(:name) IS NOT NULL")
    return next(each for each in names if not connection.scalar(is_taken, {"name": each}))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _was_late(error: OperationalError) -> bool:
    """False, where a lock was not had in time, so that it may be tried again; any other error goes on."""
    if not isinstance(error.orig, LockNotAvailable):
        raise error
    log.info("an old partition of the inference log goes later: %s", str(error.orig).strip())
    return False
