"""What supervisors saw of their services: for how long each answered, and when it was restarted.

A row holds a service, a span of time and a supervisor's life, with the s in which the service answered (up)
and did not (down); the rest of the span nobody looked. Rows hold totals, so that writing one twice changes
nothing, however many workers do it. Installations that share a database have rows of their own each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from mlops.entities import Availability, Observation, Restart, RestartCause, ServiceRecord
from mlops.store.tables import probes, restarts

DAY, WEEK, MONTH = timedelta(days=1), timedelta(days=7), timedelta(days=30)
KEPT = timedelta(days=40)
"""How long the rows are kept."""
LAST = 5
"""Restarts of a service that its record names."""


class Probes:
    """The tables `probes` and `restarts`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, installation: str, found: Sequence[Observation]) -> None:
        """Write down what an installation's supervisor saw; of what was written before the larger counts."""
        spans = [
            {
                "installation": installation, "service": service, "began": each.began, "life": each.life,
                "up_s": up, "down_s": down,
            }
            for each in found
            for service, (up, down) in sorted(each.seconds.items())
        ]  # fmt: skip
        ended = [
            {
                "installation": installation, "service": each.service, "at": each.at,
                "cause": each.cause.value, "detail": each.detail,
            }
            for observation in found
            for each in observation.restarts
        ]  # fmt: skip
        statement = insert(probes)
        larger = {
            name: func.greatest(probes.c[name], statement.excluded[name]) for name in ("up_s", "down_s")
        }
        with self._engine.begin() as connection:
            if spans:
                connection.execute(
                    statement.on_conflict_do_update(index_elements=list(probes.primary_key), set_=larger),
                    spans,
                )
            if ended:
                connection.execute(insert(restarts).on_conflict_do_nothing(), ended)

    def records(self, installation: str, now: datetime) -> dict[str, ServiceRecord]:
        """What is known of each service of the installation at that moment."""
        with self._engine.connect() as connection:
            sums = connection.execute(_sums(installation, now)).all()
            ended = connection.execute(_last_restarts(installation, now)).all()
        last: dict[str, list[Row[Any]]] = {row.service: [] for row in sums}
        for row in ended:
            last.setdefault(row.service, []).append(row)
        seen = {row.service: row for row in sums}
        return {name: _record(seen.get(name), rows, now) for name, rows in last.items()}

    def restarts_since(self, installation: str, at: datetime) -> dict[str, int]:
        """Service -> how often it was restarted since then; services that were not are left out."""
        statement = (
            select(restarts.c.service, func.count().label("times"))
            .where(restarts.c.installation == installation, restarts.c.at >= at)
            .group_by(restarts.c.service)
        )
        with self._engine.connect() as connection:
            return {row.service: row.times for row in connection.execute(statement)}

    def forget_old(self) -> None:
        """Drop what is older than 40 days, of all installations."""
        before = datetime.now(UTC) - KEPT
        with self._engine.begin() as connection:
            connection.execute(delete(probes).where(probes.c.began < before))
            connection.execute(delete(restarts).where(restarts.c.at < before))


_WINDOWS = {"day": DAY, "week": WEEK, "month": MONTH}


def _sums(installation: str, now: datetime) -> Any:
    # Spans that began within the window: never more than the window holds.
    columns = [
        func.coalesce(func.sum(probes.c[kind]).filter(probes.c.began >= now - length), 0.0).label(
            f"{name}_{kind}"
        )
        for name, length in _WINDOWS.items()
        for kind in ("up_s", "down_s")
    ]
    return (
        select(probes.c.service, *columns)
        .where(probes.c.installation == installation, probes.c.began >= now - MONTH, probes.c.began <= now)
        .group_by(probes.c.service)
        .order_by(probes.c.service)
    )


def _last_restarts(installation: str, now: datetime) -> Any:
    place = func.row_number().over(partition_by=restarts.c.service, order_by=restarts.c.at.desc())
    of_day = func.count().filter(restarts.c.at >= now - DAY).over(partition_by=restarts.c.service)
    found = (
        select(restarts, place.label("place"), of_day.label("of_day"))
        .where(restarts.c.installation == installation, restarts.c.at >= now - MONTH, restarts.c.at <= now)
        .subquery()
    )
    return select(found).where(found.c.place <= LAST).order_by(found.c.service, found.c.place)


def _record(sums: Row[Any] | None, ended: Iterable[Row[Any]], now: datetime) -> ServiceRecord:
    rows = list(ended)
    windows = {
        name: Availability.of(
            getattr(sums, f"{name}_up_s", 0.0), getattr(sums, f"{name}_down_s", 0.0), length.total_seconds()
        )
        for name, length in _WINDOWS.items()
    }
    return ServiceRecord(
        as_of=now,
        restarts_day=rows[0].of_day if rows else 0,
        restarts=tuple(Restart(row.service, row.at, RestartCause(row.cause), row.detail) for row in rows),
        **windows,
    )
