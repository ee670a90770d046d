"""What people do about runs of all projects: find them, take them along, and have their index made anew."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain

from mlops.entities import ProjectWorkspace
from mlops.errors import Forbidden, InvalidInput, ProjectNotFound, RunNotFound
from mlops.project import check_project_name
from mlops.store.freshness import Freshness
from mlops.store.indexed_runs import IndexedRun
from mlops.store.run_index import METRIC, PARAM, TAG
from mlops.store.run_query import RunQuery
from mlops.store.sparks import Spark
from mlops.store.store import Store
from mlops.tracking.run_export import csv_lines, json_lines


class Format(StrEnum):
    """Of an export."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some of the runs that are wanted."""

    runs: list[tuple[IndexedRun, str]]
    """With their pages in MLflow's own UI."""
    next: str | None
    """The cursor of the page that follows; None after the last."""
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class RunNames:
    """Names that runs have values of, sorted."""

    metrics: list[str]
    params: list[str]
    tags: list[str]
    indexed_at: datetime | None


class RunDesk:
    """Verbs of the index of runs. `within` is the one project that the caller may see, None is all. Every one
    raises `ServiceUnavailable` without Postgres, `ProjectNotFound` for a project that there is not, and
    `Forbidden` for one that is not the caller's."""

    def __init__(self, store: Store, url_of: Callable[[ProjectWorkspace, str], str]) -> None:
        """`url_of` gives the page of a workspace's run."""
        self._store = store
        self._url_of = url_of

    def search(
        self, query: RunQuery, within: str | None = None, metrics: Collection[str] | None = None
    ) -> RunPage:
        """The runs of the query's page, with all their metrics unless some are named."""
        workspaces, query = self._reach(query, within)
        freshness = self._store.freshness.of(query.projects)  # first: what is found then is at least as new
        found, begin = self._store.runs.search(query, metrics)
        return RunPage(
            [(run, self._url(workspaces, run)) for run in found],
            None if begin is None else query.cursor(begin),
            freshness,
        )

    def freshness(self, project: str | None = None) -> Freshness:
        """As of when the index of the project's runs and model versions is, or of all of them."""
        return self._store.freshness.of(None if project is None else (project,))

    def get(self, project: str, run_id: str) -> tuple[IndexedRun, str]:
        """A run by its key or MLflow's id, with its page in MLflow's own UI. Raises `RunNotFound`."""
        return self.several([(project, run_id)])[0]

    def several(
        self, wanted: Sequence[tuple[str, str]], within: str | None = None
    ) -> list[tuple[IndexedRun, str]]:
        """Runs by their projects and keys or MLflow's ids, in that order. Raises `RunNotFound`, and
        `InvalidName` for what is no project's name."""
        names = tuple(dict.fromkeys(check_project_name(project, "project") for project, _ in wanted))
        workspaces, _ = self._reach(RunQuery(projects=names), within)
        known: dict[tuple[str, str], IndexedRun] = {}
        for run in self._store.runs.find([_storable(id) for _, id in wanted]):
            known[run.project, run.id] = run
            known.setdefault((run.project, run.key), run)
        for project, id in wanted:
            if (project, id) not in known:
                raise RunNotFound(project, id)
        return [(run, self._url(workspaces, run)) for run in (known[each] for each in wanted)]

    def names(self, query: RunQuery, within: str | None = None) -> RunNames:
        """The names of metrics, params and tags in the query's projects, whatever else it asks for."""
        _, query = self._reach(query, within)
        indexed_at = self._store.freshness.of(query.projects).indexed_at
        found = self._store.runs.names(query.projects)
        return RunNames(found.get(METRIC, []), found.get(PARAM, []), found.get(TAG, []), indexed_at)

    def primary_metrics(self) -> dict[str, str]:
        """By project the metric that its project.toml puts first; "" where it names none."""
        return {name: stated["primary_metric"] for name, stated in self._store.projects.described().items()}

    def sparks(self, ids: Sequence[str]) -> dict[str, Spark]:
        """MLflow's id -> the course of a run's primary metric, of those of these runs that have one."""
        return self._store.runs.sparks(ids)

    def export(self, query: RunQuery, form: str, within: str | None = None) -> Iterator[bytes]:
        """All runs that are wanted, in pieces; of the names in their projects a CSV has a column each. Raises
        `InvalidInput` for an unknown format, before the first piece."""
        if form not in list(Format):
            raise InvalidInput("format", form, "is no format", remedy=f"Use {' or '.join(Format)}.")
        workspaces, query = self._reach(query, within)
        found = ((run, self._url(workspaces, run)) for run in self._store.runs.stream(query))
        if form == Format.JSON:
            pieces = json_lines(found)
        else:
            names = self._store.runs.names(query.projects)
            pieces = csv_lines(found, names.get(METRIC, []), names.get(PARAM, []))
        return chain([next(pieces)], pieces)

    def rebuild(self, who: str) -> datetime:
        """Have the worker read all of MLflow's runs again; the old rows are there until each is right.
        Returns when it was asked: it is done once `indexed_at` is later."""
        asked = self._store.run_index.ask_for_rebuild()
        self._store.audit.record(who, "rebuild index of runs", None)
        return asked

    def _reach(self, query: RunQuery, within: str | None) -> tuple[dict[str, ProjectWorkspace], RunQuery]:
        for name in query.projects or ():
            if within not in (None, name):
                raise Forbidden(f"use project {name!r}")
        workspaces = {each.project_name: each for each in self._store.projects.all()}
        for name in query.projects or ():
            if name not in workspaces:
                raise ProjectNotFound(name)
        return workspaces, query if within is None else replace(query, projects=(within,))

    def _url(self, workspaces: dict[str, ProjectWorkspace], run: IndexedRun) -> str:
        workspace = workspaces.get(run.project)
        return "" if workspace is None else self._url_of(workspace, run.id)


def _storable(text: str) -> str:
    # Postgres takes neither; and no run has a question mark in its id, so it is not found either.
    return text.encode("utf-8", "replace").replace(b"\0", b"?").decode()
