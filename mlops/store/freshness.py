"""As of when the index of runs is. Where MLflow is elsewhere its API is asked, project by project: each has
its own time, and its own reason where it was not read since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from mlops.store.tables import indexed_projects, projects, run_index

_SHORT = 300
"""Characters of a reason."""


@dataclass(frozen=True, slots=True)
class PolledProject:
    """A project of an MLflow elsewhere."""

    project: str
    read_at: datetime | None
    """All that MLflow had of it then is in the index, as far as it tells what changed; None where it has not
    been read yet."""
    problem: str = ""
    """Why it was not read since then."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Of what the index tells of some projects."""

    indexed_at: datetime | None = None
    """All that MLflow had then is in it; None where nothing has been indexed yet. Of an MLflow elsewhere that
    of the project that was not read for the longest."""
    polled: tuple[PolledProject, ...] = ()
    """The projects one by one where MLflow is elsewhere; none where its tables are read."""

    @property
    def failing(self) -> tuple[PolledProject, ...]:
        """Those that could not be read."""
        return tuple(each for each in self.polled if each.problem)

    @property
    def is_away(self) -> bool:
        """Whether none could."""
        return bool(self.polled) and len(self.failing) == len(self.polled)


class IndexFreshness:
    """The table `indexed_projects`, and the time in `run_index`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, names: Sequence[str] | None = None) -> Freshness:
        """Of these projects, or of all."""
        known = indexed_projects.c
        polled = select(known.project, known.read_at, known.problem).where(
            known.read_at.is_not(None) | (known.problem != "")
        )
        if names is not None:
            polled = polled.where(known.project.in_(names))
        with self._engine.connect() as connection:
            found = [PolledProject(*row) for row in connection.execute(polled.order_by(known.project))]
            if not found:
                return Freshness(connection.scalar(select(run_index.c.indexed_at)))
        return Freshness(min((each.read_at for each in found if each.read_at), default=None), tuple(found))

    def read(self, project: str, namespace: str, at: datetime) -> None:
        """Write down that all of a project was read as of then; one that there is no more is left out."""
        self._put(project, {"namespace": namespace, "read_at": at, "problem": ""})

    def failed(self, project: str, problem: str, *, is_whole: bool) -> None:
        """Write down why it was not; with `is_whole`, its runs are still to be read from the first to the
        last."""
        told: dict[str, object] = {"problem": problem[:_SHORT].replace("\0", "?")}
        self._put(project, told | ({"namespace": ""} if is_whole else {}), first={"namespace": ""})

    def _put(self, project: str, told: dict[str, object], first: dict[str, object] | None = None) -> None:
        row = {"project": project, **(first or {}), **told}
        with self._engine.begin() as connection:
            there = select(projects.c.name).where(projects.c.name == project).with_for_update(key_share=True)
            if connection.execute(there).first() is not None:
                put = insert(indexed_projects).values(row)
                connection.execute(put.on_conflict_do_update(index_elements=["project"], set_=told))
