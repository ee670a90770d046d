"""Rules for alerts that were added by command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from mlops.errors import InvalidInput
from mlops.store.tables import alert_rules


class AlertRules:
    """The table `alert_rules`; what a rule states is checked before it comes here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What each states, by project ("" for the platform's) and name."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(alert_rules).order_by(alert_rules.c.id))
            return {(row.project or "", row.name): dict(row.stated) for row in rows}

    def add(self, project: str, name: str, stated: Mapping[str, Any]) -> None:
        """Keep one; raises `InvalidInput` where the project has one of that name."""
        values = {"project": project or None, "name": name, "stated": dict(stated)}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(alert_rules).values(values))
        except IntegrityError:
            raise InvalidInput(
                "rule", name, "is there already", remedy="Remove it before, or use another name."
            ) from None

    def remove(self, project: str, name: str) -> None:
        """Drop one; raises `InvalidInput` where there is none of that name."""
        statement = delete(alert_rules).where(
            alert_rules.c.project.is_not_distinct_from(project or None), alert_rules.c.name == name
        )
        with self._engine.begin() as connection:
            gone = connection.execute(statement).rowcount
        if not gone:
            raise InvalidInput(
                "rule", name, "was not added by command", remedy="Those of a project.toml are changed there."
            )
