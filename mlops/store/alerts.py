"""Alerts with their history, what was told of them, and what is not to be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from mlops.entities import Alert, AlertState, Severity
from mlops.errors import AlertNotFound
from mlops.store.tables import alerts, deliveries, silences

Key = tuple[str, str, str]
"""Project ("" for the platform), rule and subject: of one there is at most one alert that is not over."""

KEPT = timedelta(days=90)
"""How long the history goes back."""
PENDING = "pending"
"""State of what is wrong, and not for long enough: not an alert yet."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is wrong now, as the table has it."""

    id: int
    is_pending: bool
    """Wrong, and not for long enough: not an alert yet."""
    since: datetime
    """When it was first found wrong."""
    message: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Begun:
    """What was found wrong for the first time."""

    key: Key
    kind: str
    severity: Severity
    message: str
    value: float | None
    threshold: float | None
    channels: tuple[str, ...]
    fires: bool
    """Whether it is an alert at once."""
    tells_end: bool
    """Whether it is told when it is over."""


@dataclass(slots=True)
class Changes:
    """What one round of judging comes to."""

    begun: list[Begun] = field(default_factory=list)
    fired: list[int] = field(default_factory=list)
    """Ids of the pending that become alerts."""
    ended: list[int] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)
    """Ids of the pending that are not wrong any more."""
    reworded: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    """Id -> message and value that changed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How many alerts of a project go on."""

    alerts: int = 0
    firing: int = 0
    """Of them, those that nobody looks after."""
    critical: int = 0
    """Of those that fire."""


@dataclass(frozen=True, slots=True)
class Silence:
    """What is not told for a time; what is still wrong then is told."""

    id: int
    project: str
    rule: str
    """Empty for each of the project."""
    subject: str
    """Empty for each."""
    until: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert, or its end, that is to be told by one channel."""

    id: int
    alert: Alert
    event: str
    """`fired` or `resolved`."""
    channel: str
    attempts: int


class Alerts:
    """The tables `alerts`, `deliveries` and `silences`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def watched(self) -> dict[Key, Watched]:
        """All that is wrong now."""
        statement = select(alerts).where(alerts.c.ended_at.is_(None))
        with self._engine.connect() as connection:
            return {
                _key(row): Watched(row.id, row.state == PENDING, row.began_at, row.message, row.value)
                for row in connection.execute(statement)
            }

    def last_ended(self, since: datetime) -> dict[Key, datetime]:
        """When the last alert of each subject was over, of those that were so since then."""
        statement = (
            select(alerts.c.project, alerts.c.rule, alerts.c.subject, func.max(alerts.c.ended_at).label("at"))
            .where(alerts.c.ended_at >= since)
            .group_by(alerts.c.project, alerts.c.rule, alerts.c.subject)
        )
        with self._engine.connect() as connection:
            return {_key(row): row.at for row in connection.execute(statement)}

    def apply(self, changes: Changes, now: datetime) -> int:
        """Write down a round, and what is to be told of it, as a whole or not at all; returns how much is to
        be told. What another evaluator began meanwhile stays as it is."""
        with self._engine.begin() as connection:
            if changes.begun:
                connection.execute(
                    upsert(alerts).on_conflict_do_nothing(), [_row(each, now) for each in changes.begun]
                )
            if changes.forgotten:
                connection.execute(delete(alerts).where(alerts.c.id.in_(changes.forgotten)))
            _set(connection, changes.fired, state=AlertState.FIRING.value, fired_at=now)
            _set(connection, changes.ended, state=AlertState.RESOLVED.value, ended_at=now)
            if changes.reworded:
                connection.execute(
                    update(alerts)
                    .where(alerts.c.id == bindparam("of"))
                    .values(message=bindparam("said"), value=bindparam("read")),
                    [{"of": of, "said": said, "read": read} for of, (said, read) in changes.reworded.items()],
                )
            return sum(connection.execute(each, {"now": now}).rowcount for each in _TELL)

    def latest(self, project: str | None = None, *, with_ended: bool = False, most: int = 100) -> list[Alert]:
        """Alerts, the newest first: those that go on, or their history as well; of one project ("" is the
        platform), or of all."""
        statement = select(alerts).where(alerts.c.state != PENDING)
        if not with_ended:
            statement = statement.where(alerts.c.ended_at.is_(None))
        if project is not None:
            statement = statement.where(alerts.c.project.is_not_distinct_from(project or None))
        with self._engine.connect() as connection:
            found = connection.execute(statement.order_by(alerts.c.id.desc()).limit(most))
            return [_alert(row) for row in found]

    def standing(self) -> dict[str, Standing]:
        """How many go on of each project ("" is the platform) that has any."""
        with self._engine.connect() as connection:
            return {
                row.project: Standing(row.alerts, row.firing, row.critical)
                for row in connection.execute(_STANDING)
            }

    def get(self, number: int, project: str | None = None) -> Alert:
        """One that goes on, of that project if given. Raises `AlertNotFound`."""
        statement = select(alerts).where(alerts.c.id == number, alerts.c.state.in_(_GOING_ON))
        if project is not None:
            statement = statement.where(alerts.c.project == project)
        with self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise AlertNotFound(number)
        return _alert(row)

    def acknowledge(self, number: int, who: str, project: str | None = None) -> Alert:
        """Somebody looks after it: it is told no more, but its end. Raises `AlertNotFound` for one that is
        over or another project's; of several the first is kept."""
        statement = (
            update(alerts)
            .where(alerts.c.id == number, alerts.c.state.in_(_GOING_ON))
            .values(
                state=AlertState.ACKNOWLEDGED.value,
                acknowledged_by=func.coalesce(func.nullif(alerts.c.acknowledged_by, ""), who),
            )
            .returning(alerts)
        )
        if project is not None:
            statement = statement.where(alerts.c.project == project)
        with self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise AlertNotFound(number)
        return _alert(row)

    def silence(self, project: str, rule: str, subject: str, until: datetime, who: str) -> Silence:
        """Tell nothing of it until then."""
        values = {"project": project or None, "rule": rule, "subject": subject, "until": until, "by": who}
        with self._engine.begin() as connection:
            return _silence(connection.execute(insert(silences).values(values).returning(silences)).one())

    def silences(self, now: datetime) -> list[Silence]:
        """Those that hold."""
        statement = select(silences).where(silences.c.until > now).order_by(silences.c.id)
        with self._engine.connect() as connection:
            return [_silence(row) for row in connection.execute(statement)]

    def due(self, now: datetime, most: int = 100) -> list[Delivery]:
        """What is to be told by now, the oldest first."""
        statement = (
            select(alerts, deliveries.c.id.label("number"), deliveries.c.event, deliveries.c.channel,
                   deliveries.c.attempts)
            .join(alerts, alerts.c.id == deliveries.c.alert_id)
            .where(deliveries.c.next_at <= now, deliveries.c.ended_at.is_(None))
            .order_by(deliveries.c.id)
            .limit(most)
        )  # fmt: skip
        with self._engine.connect() as connection:
            return [
                Delivery(row.number, _alert(row), row.event, row.channel, row.attempts)
                for row in connection.execute(statement)
            ]

    def delivered(self, number: int, now: datetime) -> None:
        """It was told."""
        self._tried(number, ended_at=now, delivered=True, error="")

    def postpone(self, number: int, error: str, until: datetime) -> None:
        """It could not be told, and is tried again then."""
        self._tried(number, next_at=until, error=error)

    def hold_back(self, numbers: Sequence[int], until: datetime) -> None:
        """None of them is due before then; none was tried."""
        with self._engine.begin() as connection:
            connection.execute(update(deliveries).where(deliveries.c.id.in_(numbers)).values(next_at=until))

    def give_up(self, number: int, error: str, now: datetime) -> None:
        """It cannot be told."""
        self._tried(number, ended_at=now, error=error)

    def forget_old(self) -> None:
        """Drop alerts that have long been over, with what was told of them, and silences that have."""
        before = datetime.now(UTC) - KEPT
        with self._engine.begin() as connection:
            connection.execute(delete(alerts).where(alerts.c.ended_at < before))
            connection.execute(delete(silences).where(silences.c.until < before))

    def _tried(self, number: int, **values: Any) -> None:
        statement = update(deliveries).where(deliveries.c.id == number)
        with self._engine.begin() as connection:
            connection.execute(statement.values(attempts=deliveries.c.attempts + 1, **values))


_STANDING = text("""
SELECT coalesce(project, '') AS project, count(*) AS alerts,
       count(*) FILTER (WHERE state = 'firing') AS firing,
       count(*) FILTER (WHERE state = 'firing' AND severity = 'critical') AS critical
  FROM alerts WHERE ended_at IS NULL AND state <> 'pending' GROUP BY 1
""")
_GOING_ON = (AlertState.FIRING.value, AlertState.ACKNOWLEDGED.value)

# What fires is told once, unless a silence covers it; and that it is over, where it was told.
_TELL = (
    text("""
WITH told AS (
  UPDATE alerts SET told = true
   WHERE state = 'firing' AND NOT told AND NOT EXISTS (
         SELECT FROM silences s
          WHERE s.until > :now AND s.project IS NOT DISTINCT FROM alerts.project
            AND s.rule IN ('', alerts.rule) AND s.subject IN ('', alerts.subject))
  RETURNING id, channels)
INSERT INTO deliveries (alert_id, event, channel, next_at)
SELECT id, 'fired', unnest(channels), :now FROM told ON CONFLICT DO NOTHING
"""),
    text("""
WITH told AS (
  UPDATE alerts SET told_end = true
   WHERE state = 'resolved' AND told AND tells_end AND NOT told_end RETURNING id, channels)
INSERT INTO deliveries (alert_id, event, channel, next_at)
SELECT id, 'resolved', unnest(channels), :now FROM told ON CONFLICT DO NOTHING
"""),
)


def _set(connection: Connection, numbers: Sequence[int], **values: Any) -> None:
    if numbers:
        connection.execute(update(alerts).where(alerts.c.id.in_(numbers)).values(**values))


def _row(begun: Begun, now: datetime) -> dict[str, Any]:
    project, rule, subject = begun.key
    return {
        "project": project or None,
        "rule": rule,
        "subject": subject,
        "kind": begun.kind,
        "severity": begun.severity.value,
        "state": AlertState.FIRING.value if begun.fires else PENDING,
        "message": begun.message,
        "value": begun.value,
        "threshold": begun.threshold,
        "channels": list(begun.channels),
        "tells_end": begun.tells_end,
        "began_at": now,
        "fired_at": now if begun.fires else None,
    }


def _key(row: Any) -> Key:
    return row.project or "", row.rule, row.subject


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        id=row.id, rule=row.rule, kind=row.kind, project=row.project or "", subject=row.subject,
        severity=Severity(row.severity), state=AlertState(row.state), message=row.message,
        began_at=row.began_at, ended_at=row.ended_at, value=row.value, threshold=row.threshold,
        acknowledged_by=row.acknowledged_by,
    )  # fmt: skip


def _silence(row: Row[Any]) -> Silence:
    return Silence(row.id, row.project or "", row.rule, row.subject, row.until, row.by)
