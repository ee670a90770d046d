"""What was last seen of MLflow's aliases `champion`, and where they are still to be moved to."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine, select, update
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

    def want(self, project: str, model: str, version: int) -> None:
        """Have the alias moved to the version; a later wish replaces it."""
        put = upsert(followed_aliases).values(project=project, model=model, stamp=0, wanted=version)
        with self._engine.begin() as connection:
            connection.execute(
                put.on_conflict_do_update(
                    index_elements=["project", "model"], set_={"wanted": put.excluded.wanted}
                )
            )

    def wanted(self) -> dict[tuple[str, str], int]:
        """(project, model) -> the version that the alias is still to be moved to."""
        statement = select(followed_aliases).where(followed_aliases.c.wanted.is_not(None))
        with self._engine.connect() as connection:
            return {(row.project, row.model): row.wanted for row in connection.execute(statement)}

    def moved(self, project: str, model: str, version: int) -> None:
        """The wish is done with, unless another version is wanted meanwhile."""
        of_wish = (
            (followed_aliases.c.project == project)
            & (followed_aliases.c.model == model)
            & (followed_aliases.c.wanted == version)
        )
        with self._engine.begin() as connection:
            connection.execute(update(followed_aliases).where(of_wish).values(wanted=None))
