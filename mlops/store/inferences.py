"""The log of what endpoints were asked and answered, as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, select, text

from mlops.entities import Inference, Side
from mlops.store.tables import inferences

Row = Mapping[str, Any]
"""`at`, `project`, `model`, `version`, `side`, `request_id`, `status`, `latency_s`, and `features`: JSON or
None."""


class Inferences:
    """The table `inferences`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, found: Sequence[Row]) -> None:
        """Append them; those of a project that is gone meanwhile are left out."""
        if found:
            with self._engine.begin() as connection:
                connection.execute(_ADD, list(found))

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

    def forget_old(self, project: str, days: float) -> int:
        """Drop those of the project that are older; returns how many."""
        before = datetime.now(UTC) - timedelta(days=days)
        with self._engine.begin() as connection:
            gone = connection.execute(
                delete(inferences).where(inferences.c.at < before, inferences.c.project == project)
            )
            return gone.rowcount


_ADD = text("""
INSERT INTO inferences (at, project, model, version, side, request_id, status, latency_s, features)
SELECT :at, name, :model, :version, :side, :request_id, :status, :latency_s, CAST(:features AS jsonb)
  FROM projects WHERE name = :project
""")
