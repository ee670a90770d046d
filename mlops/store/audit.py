"""Who did what to production."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, insert, select

from mlops.store.tables import audit


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action."""

    at: datetime
    who: str
    action: str
    project: str | None
    detail: dict[str, Any]


class Audit:
    """The table `audit`; rows are only ever added."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, who: str, action: str, project: str | None = None, **detail: Any) -> None:
        """Add a row."""
        with self._engine.begin() as connection:
            connection.execute(insert(audit).values(who=who, action=action, project=project, detail=detail))

    def latest(self, count: int = 50) -> list[AuditEntry]:
        """The newest rows."""
        with self._engine.connect() as connection:
            found = connection.execute(select(audit).order_by(audit.c.id.desc()).limit(count))
            return [_entry(row) for row in found]

    def of_model(self, project: str, model: str, count: int) -> list[AuditEntry]:
        """The newest rows about a model."""
        statement = (
            select(audit)
            .where(audit.c.project == project, audit.c.detail["model"].astext == model)
            .order_by(audit.c.id.desc())
            .limit(count)
        )
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(statement)]


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(row.at, row.who, row.action, row.project, row.detail)
