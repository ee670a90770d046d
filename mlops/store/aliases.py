"""What was last seen of MLflow's aliases `champion`."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert as upsert

from mlops.store.tables import followed_aliases


class FollowedAliases:
    """The table `followed_aliases`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def stamps(self) -> dict[tuple[str, str], int]:
        """(project, model) -> the stamp of MLflow's alias `champion` at the last look."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(followed_aliases))
            return {(row.project, row.model): row.stamp for row in rows}

    def put(self, moved: Mapping[tuple[str, str], int]) -> None:
        """Remember the stamps of the aliases `champion` that were looked at."""
        if not moved:
            return
        put = upsert(followed_aliases)
        with self._engine.begin() as connection:
            connection.execute(
                put.on_conflict_do_update(
                    index_elements=["project", "model"], set_={"stamp": put.excluded.stamp}
                ),
                [
                    {"project": project, "model": model, "stamp": stamp}
                    for (project, model), stamp in moved.items()
                ],
            )
