"""What was last seen of MLflow's aliases `champion`, and where they are still to be moved to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Engine, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from mlops.store.tables import followed_aliases

Key = tuple[str, str]
"""Project and model."""
_COUNT = 2**32
"""Postgres counts transactions modulo that, over all its databases."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Where an alias is still to be moved to."""

    version: int
    command: int | None
    """The transaction that noted a person's command; None where a deployment that came up is the reason."""

    def is_after(self, stamp: int) -> bool:
        """Whether it was commanded after the transaction `stamp`."""
        return self.command is not None and 0 < (self.command - stamp) % _COUNT < _COUNT // 2


class FollowedAliases:
    """The table `followed_aliases`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def stamps(self) -> dict[Key, int]:
        """The stamp of each of MLflow's aliases `champion` at the last look."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(followed_aliases))
            return {(row.project, row.model): row.stamp for row in rows}

    def put(self, moved: Mapping[Key, int]) -> None:
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
        """Have the alias moved to the version that came up as the champion; a later wish replaces it."""
        self._want(project, model, version, None)

    def command(self, project: str, model: str, version: int) -> None:
        """Have the alias moved to the version that was made the champion just now, wherever the alias was
        moved to before; a later wish replaces it."""
        self._want(project, model, version, func.txid_current(type_=BigInteger) % _COUNT)

    def _want(self, project: str, model: str, version: int, command: ColumnElement[int] | None) -> None:
        put = upsert(followed_aliases).values(
            project=project, model=model, stamp=0, wanted=version, command=command
        )
        wish = {"wanted": put.excluded.wanted, "command": put.excluded.command}
        with self._engine.begin() as connection:
            connection.execute(put.on_conflict_do_update(index_elements=["project", "model"], set_=wish))

    def wishes(self) -> dict[Key, Wish]:
        """The aliases that are still to be moved."""
        statement = select(followed_aliases).where(followed_aliases.c.wanted.is_not(None))
        with self._engine.connect() as connection:
            rows = connection.execute(statement)
            return {(row.project, row.model): Wish(row.wanted, row.command) for row in rows}

    def done(self, key: Key, wish: Wish) -> None:
        """The wish is done with, unless there is another one meanwhile."""
        project, model = key
        same = (
            (followed_aliases.c.project == project)
            & (followed_aliases.c.model == model)
            & (followed_aliases.c.wanted == wish.version)
            & followed_aliases.c.command.is_not_distinct_from(wish.command)
        )
        with self._engine.begin() as connection:
            connection.execute(update(followed_aliases).where(same).values(wanted=None, command=None))
