"""What people change of runs that are there: tags, and whether they are archived. MLflow is told, by the
account of the runs' project, which sees that one alone; the index follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.entities import ProjectWorkspace
from mlops.errors import Forbidden, InvalidInput, MLOpsError, ServiceUnavailable
from mlops.project import check_project_name
from mlops.store.store import Store
from mlops.tracking.records import check_tags
from mlops.tracking.rest import Rest, ServerRefusal
from mlops.tracking.run_desk import RunDesk

MOST = 20
"""Runs that are changed at a time."""
MOST_TAGS = 20
MOST_ARCHIVED = 100
"""That are listed."""
_FIRST_PARTS = ("mlflow.", "mlops.")
_PATIENCE_S = 3.0
"""For all runs of a project together."""
_MOST_EXPERIMENTS = 1000

Named = tuple[str, str]
"""A run by its project, and its key or MLflow's id."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that is as it was."""

    run: str
    """As `project/id`."""
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each run."""

    changed: tuple[str, ...]
    """As `project/id`."""
    failed: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """A run that is in no table any more."""

    project: str
    id: str
    name: str
    status: str
    started_at: datetime


class RunChanges:
    """Verbs that change runs. `within` is the one project that the caller `who` may use, None is an admin.
    Every one raises `InvalidInput`, `Forbidden`, `ProjectNotFound` and `RunNotFound` before anything is
    changed, and `ServiceUnavailable` where nothing was, since MLflow or Postgres does not answer. Else each
    run that could not be changed is told with the reason."""

    def __init__(
        self, store: Store, desk: RunDesk, rest_of: Callable[[ProjectWorkspace], Rest] | None
    ) -> None:
        """`rest_of` calls MLflow as the account of a workspace; None where it is not reached."""
        self._store = store
        self._desk = desk
        self._rest_of = rest_of

    def tag(self, runs: Sequence[Named], tags: Mapping[str, str], who: str, within: str | None) -> Outcome:
        """Give the runs these tags; one of the same key is replaced. Raises `InvalidInput` for the platform's
        own keys, and MLflow's."""
        if not 1 <= len(tags) <= MOST_TAGS:
            raise InvalidInput("tags", len(tags), "are none or too many", remedy=f"Give 1 to {MOST_TAGS}.")
        for key in tags:
            if key.startswith(_FIRST_PARTS):
                raise InvalidInput(
                    "tags", key, "is the platform's or MLflow's own", remedy="Use another key."
                )
        told = [{"key": key, "value": value} for key, value in check_tags(tags).items()]

        def change(rest: Rest, id: str) -> None:
            rest.call("POST", "/runs/log-batch", {"run_id": id, "tags": told})

        return self._change("tag runs", self._known(runs, within), change, who, tags=dict(tags))

    def archive(self, runs: Sequence[Named], who: str, within: str | None) -> Outcome:
        """Take the runs out of tables, searches and counts. MLflow keeps all that they have, as deleted, and
        takes no more of one that goes on."""

        def change(rest: Rest, id: str) -> None:
            rest.call("POST", "/runs/delete", {"run_id": id})

        return self._change("archive runs", self._known(runs, within), change, who)

    def restore(self, runs: Sequence[Named], who: str, within: str | None) -> Outcome:
        """Bring archived runs back, by MLflow's ids: the index does not know them."""

        def change(rest: Rest, id: str) -> None:
            rest.call("POST", "/runs/restore", {"run_id": id})

        _check_count(runs)
        for project, _ in runs:
            self._workspace(project, within)
        return self._change("restore runs", list(dict.fromkeys(runs)), change, who)

    def archived(self, project: str, within: str | None) -> list[ArchivedRun]:
        """A project's archived runs as MLflow has them, the newest first, at most `MOST_ARCHIVED`."""
        rest = self._account(self._workspace(project, within))
        try:
            with rest.within(_PATIENCE_S):
                asked = {"max_results": _MOST_EXPERIMENTS}
                found = rest.call("POST", "/experiments/search", asked).get("experiments", [])
                query = {
                    "experiment_ids": [each["experiment_id"] for each in found],
                    "run_view_type": "DELETED_ONLY",
                    "order_by": ["attributes.start_time DESC"],
                    "max_results": MOST_ARCHIVED,
                }
                told = rest.call("POST", "/runs/search", query) if found else {}
        except (ServerRefusal, MLOpsError) as error:
            raise ServiceUnavailable("mlflow", _reason(error)) from error
        return [_archived(project, each["info"]) for each in told.get("runs", [])]

    def _known(self, runs: Sequence[Named], within: str | None) -> list[Named]:
        """The runs by MLflow's ids."""
        _check_count(runs)
        return list(dict.fromkeys((run.project, run.id) for run, _ in self._desk.several(runs, within)))

    def _workspace(self, project: str, within: str | None) -> ProjectWorkspace:
        if within not in (None, check_project_name(project, "project")):
            raise Forbidden(f"use project {project!r}")
        return self._store.projects.get(project)

    def _account(self, workspace: ProjectWorkspace) -> Rest:
        if self._rest_of is None:
            raise ServiceUnavailable("mlflow", "it is not reached from here")
        return self._rest_of(workspace)

    def _change(
        self, action: str, runs: Sequence[Named], change: Callable[[Rest, str], None], who: str, **detail: Any
    ) -> Outcome:
        projects = dict.fromkeys(project for project, _ in runs)
        accounts = {project: self._account(self._store.projects.get(project)) for project in projects}
        changed, failed, away = list[str](), list[Failure](), list[MLOpsError]()
        for project, rest in accounts.items():
            ids = [id for its, id in runs if its == project]
            done = list[str]()
            with rest.within(_PATIENCE_S):
                for id in ids:
                    try:
                        if away:
                            raise away[-1]  # it is one MLflow
                        change(rest, id)
                        done.append(id)
                    except (ServerRefusal, MLOpsError) as error:
                        failed.append(Failure(f"{project}/{id}", _reason(error)))
                        away += [error] if isinstance(error, ServiceUnavailable) and not away else []
            if done:
                self._store.audit.record(who, action, project, runs=done, **detail)
            changed += [f"{project}/{id}" for id in done]
        if away and not changed:
            raise away[0]
        return Outcome(tuple(changed), tuple(failed))


def _check_count(runs: Sequence[Named]) -> None:
    if not 1 <= len(runs) <= MOST:
        raise InvalidInput("runs", len(runs), "are none or too many", remedy=f"Give 1 to {MOST}.")


def _reason(error: ServerRefusal | MLOpsError) -> str:
    # Of a caller's own token `Unauthorized` would speak, and this is the project's account.
    if isinstance(error, ServerRefusal | ServiceUnavailable):
        return error.message
    return f"MLflow does not take the project's account: {error.message}"


def _archived(project: str, info: Mapping[str, Any]) -> ArchivedRun:
    began = datetime.fromtimestamp(int(info.get("start_time") or 0) / 1000, UTC)
    return ArchivedRun(project, info["run_id"], info.get("run_name") or "", info.get("status") or "", began)
