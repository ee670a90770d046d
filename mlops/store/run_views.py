"""Questions for runs that somebody gave a name, so that others find them again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mlops.errors import InvalidInput, ViewNotFound
from mlops.store.tables import run_views


@dataclass(frozen=True, slots=True)
class RunView:
    """A saved question."""

    id: int
    project: str | None
    """None: of all projects."""
    name: str
    query: str
    """Fields of the URL of `/runs`, encoded as there, without the project."""
    made_by: str
    made_at: datetime


class RunViews:
    """The table `run_views`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self, project: str | None = None) -> list[RunView]:
        """A project's ("" for those of all projects), by name; None: every one."""
        owner = func.coalesce(run_views.c.project, "")
        statement = select(run_views).order_by(owner, run_views.c.name)
        if project is not None:
            statement = statement.where(owner == project)
        with self._engine.connect() as connection:
            return [_view(row) for row in connection.execute(statement)]

    def get(self, id: int) -> RunView:
        """Read one; raises `ViewNotFound`."""
        with self._engine.connect() as connection:
            row = connection.execute(select(run_views).where(run_views.c.id == id)).one_or_none()
        if row is None:
            raise ViewNotFound(id)
        return _view(row)

    def add(self, project: str | None, name: str, query: str, made_by: str) -> RunView:
        """Keep one; raises `InvalidInput` where the project has one of that name."""
        values = {"project": project, "name": name, "query": query, "made_by": made_by}
        try:
            with self._engine.begin() as connection:
                return _view(connection.execute(insert(run_views).values(values).returning(run_views)).one())
        except IntegrityError:
            raise _taken(name) from None

    def change(self, id: int, name: str, query: str) -> RunView:
        """Give it another name and question; raises `ViewNotFound`, and as `add` does."""
        statement = update(run_views).where(run_views.c.id == id).values(name=name, query=query)
        try:
            with self._engine.begin() as connection:
                row = connection.execute(statement.returning(run_views)).one_or_none()
        except IntegrityError:
            raise _taken(name) from None
        if row is None:
            raise ViewNotFound(id)
        return _view(row)

    def remove(self, id: int) -> None:
        """Drop one; raises `ViewNotFound`."""
        with self._engine.begin() as connection:
            if not connection.execute(delete(run_views).where(run_views.c.id == id)).rowcount:
                raise ViewNotFound(id)


def _taken(name: str) -> InvalidInput:
    return InvalidInput("name", name, "is another view's", remedy="Use another name, or remove that one.")


def _view(row: Row[Any]) -> RunView:
    return RunView(row.id, row.project, row.name, row.query, row.made_by, row.made_at)
