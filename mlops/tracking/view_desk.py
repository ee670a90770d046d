"""What people do about saved views of runs: make, find, change and remove them."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from mlops.errors import Forbidden, InvalidInput, ViewNotFound
from mlops.store.run_query import RunQuery
from mlops.store.run_views import RunView
from mlops.store.store import Store

QUESTION = ("text", "state", "since", "until", "tag", "param", "metric")
"""Fields of the URL of `/runs` that say which runs are wanted."""
FIELDS = (*QUESTION, "sort", "column")
"""And how they are shown: what a view keeps."""
LONGEST_NAME, LONGEST_QUERY, MOST = 60, 4000, 200
"""Characters of a name and of a question, and views of a project."""


class ViewDesk:
    """Verbs of saved views. `within` is the one project that the caller `who` may use, None is an admin, who
    alone uses those of all projects. Every verb raises `ServiceUnavailable` without Postgres."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, project: str | None = None) -> list[RunView]:
        """A project's, by name; None: every one, those of all projects first."""
        return self._store.run_views.all(project)

    def get(self, number: int, within: str | None = None) -> RunView:
        """Read one; raises `ViewNotFound`, also where it is not within reach."""
        view = self._store.run_views.get(number)
        if within not in (None, view.project):
            raise ViewNotFound(number)
        return view

    def save(self, project: str | None, name: str, query: str, who: str, within: str | None) -> RunView:
        """Keep a question under a name. Raises `Forbidden` for a project out of reach, `ProjectNotFound`, and
        `InvalidInput` for a name that is taken or none, and for a question that cannot be read."""
        if within not in (None, project):
            raise Forbidden("save a view of all projects" if project is None else f"use project {project!r}")
        name, query = _named(name), _read(query)
        if project is not None:
            self._store.projects.get(project)
        if len(self._store.run_views.all(project or "")) >= MOST:
            raise InvalidInput("name", name, "is one too many", remedy=f"Keep at most {MOST} views.")
        view = self._store.run_views.add(project, name, query, who)
        self._write_down(who, "save view", view)
        return view

    def change(
        self, number: int, who: str, within: str | None, *, name: str | None = None, query: str | None = None
    ) -> RunView:
        """Give it another name or question; raises `ViewNotFound`, `Forbidden` for who neither made it nor is
        an admin, and `InvalidInput` as `save` does."""
        view = self._own(number, who, within)
        changed = self._store.run_views.change(
            number, view.name if name is None else _named(name), view.query if query is None else _read(query)
        )
        self._write_down(who, "change view", changed)
        return changed

    def remove(self, number: int, who: str, within: str | None) -> None:
        """Drop it; raises as `change` does."""
        view = self._own(number, who, within)
        self._store.run_views.remove(number)
        self._write_down(who, "remove view", view)

    def _own(self, number: int, who: str, within: str | None) -> RunView:
        view = self.get(number, within)
        if within is not None and view.made_by != who:
            raise Forbidden(f"change a view of {view.made_by}")
        return view

    def _write_down(self, who: str, action: str, view: RunView) -> None:
        self._store.audit.record(who, action, view.project, view=view.id, name=view.name, query=view.query)


def _named(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        remedy = f"Use 1 to {LONGEST_NAME} characters that can be printed."
        raise InvalidInput("name", name[: LONGEST_NAME + 1], "is no name", remedy=remedy)
    return name


def _read(query: str) -> str:
    """The question as it is kept: what is not one of a view is refused, since nobody would see it go."""
    try:
        given = parse_qsl(query.removeprefix("?"), errors="strict", max_num_fields=LONGEST_QUERY // 2)
    except ValueError:
        given = [("", "")]
    unknown = [name for name, _ in given if name not in FIELDS]
    if unknown or len(query) > LONGEST_QUERY:
        remedy = f"Give the fields of the URL of /runs that a view keeps: {', '.join(FIELDS)}."
        raise InvalidInput("query", query[:LONGEST_QUERY], "is no question for runs", remedy=remedy)

    def several(field: str) -> list[str]:
        return [value for name, value in given if name == field]

    def one(field: str) -> str:
        return (several(field) or [""])[-1]

    RunQuery.of(
        state=several("state"), since=one("since"), until=one("until"), tag=several("tag"),
        param=several("param"), metric=several("metric"), text=one("text"), sort=several("sort"),
    )  # fmt: skip
    return urlencode(sorted(given, key=lambda field: FIELDS.index(field[0])))
