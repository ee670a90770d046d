"""Tags and archives of runs on a real MLflow, as the project's own account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg
import pytest

from mlops.entities import ProjectWorkspace, RunStatus
from mlops.errors import Forbidden, InvalidInput, ProjectNotFound, RunNotFound, ServiceUnavailable
from mlops.store.indexed_runs import IndexedRun
from mlops.store.store import Store
from mlops.tracking.rest import Rest
from mlops.tracking.run_changes import RunChanges
from mlops.tracking.run_desk import RunDesk
from tests.servers import Account

HOSTILE = "<script>alert(1)</script>"


class Lab:
    """Two projects on MLflow, in the index as well."""

    def __init__(self, store: Store, accounts: tuple[Account, Account]) -> None:
        self.store = store
        self.accounts = {each.project: each for each in accounts}
        self.alpha, self.beta = self.accounts
        self.url: str | None = None
        for each in accounts:
            store.projects.put(
                ProjectWorkspace.of(each.project, each.namespace, each.experiment_id, "", Path("/")), {}
            )
        self.changes = RunChanges(store, RunDesk(store, lambda *_: ""), self.rest)

    def rest(self, workspace: ProjectWorkspace) -> Rest:
        account = self.accounts[workspace.project_name]
        return Rest(lambda: self.url or account.url, account.namespace, account.username, account.password)

    def make(self, project: str) -> str:
        """A run on MLflow, indexed."""
        account = self.accounts[project]
        rest = self.rest(self.store.projects.get(project))
        body = {"experiment_id": account.experiment_id, "run_name": "made", "start_time": 1000, "tags": []}
        id = str(rest.call("POST", "/runs/create", body)["run"]["info"]["run_id"])
        self.store.run_index.put(
            [IndexedRun(id, project, "made", "all", RunStatus.FINISHED, datetime.now(UTC))]
        )
        return id

    def read(self, project: str, id: str) -> tuple[str, dict[str, str]]:
        found = self.rest(self.store.projects.get(project)).call("GET", "/runs/get", query={"run_id": id})
        tags = {each["key"]: each["value"] for each in found["run"]["data"].get("tags", [])}
        return found["run"]["info"]["lifecycle_stage"], tags


@pytest.fixture
def lab(database_url: str, mlflow_accounts: tuple[Account, Account]) -> Iterator[Lab]:
    store = Store(database_url)
    store.upgrade()
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE projects, runs, audit CASCADE")
    yield Lab(store, mlflow_accounts)
    store.close()


def test_runs_are_tagged_archived_and_restored(lab: Lab) -> None:
    first, second, other = lab.make(lab.alpha), lab.make(lab.alpha), lab.make(lab.beta)
    runs = [(lab.alpha, first), (lab.alpha, second), (lab.beta, other), (lab.alpha, first)]
    names = {f"{project}/{id}" for project, id in runs}
    began = time.monotonic()
    done = lab.changes.tag(runs, {"stage": HOSTILE, "a/b": ""}, "ada", None)
    assert time.monotonic() - began < 3
    assert (set(done.changed), done.failed) == (names, ())
    for project, id in runs:
        assert lab.read(project, id)[1].items() >= {"stage": HOSTILE, "a/b": ""}.items()
    (told,) = (each for each in lab.store.audit.latest(9) if each.project == lab.alpha)
    assert (told.who, told.action) == ("ada", "tag runs")
    assert told.detail == {"runs": [first, second], "tags": {"stage": HOSTILE, "a/b": ""}}

    assert not {first, second} & {each.id for each in lab.changes.archived(lab.alpha, lab.alpha)}
    assert set(lab.changes.archive(runs, "ada", None).changed) == names
    assert lab.read(lab.alpha, first)[0] == "deleted"
    assert {first, second} <= {each.id for each in lab.changes.archived(lab.alpha, None)}
    (only,) = (each for each in lab.changes.archived(lab.beta, lab.beta) if each.id == other)
    assert (only.project, only.id, only.name, only.started_at.timestamp()) == (lab.beta, other, "made", 1.0)

    gone = lab.changes.restore([(lab.alpha, first), (lab.alpha, other)], "ada", lab.alpha)
    assert gone.changed == (f"{lab.alpha}/{first}",)
    assert [each.run for each in gone.failed] == [f"{lab.alpha}/{other}"], "it is another project's"
    assert gone.failed[0].reason
    assert (lab.read(lab.alpha, first)[0], lab.read(lab.beta, other)[0]) == ("active", "deleted")
    assert lab.store.audit.latest(1)[0].detail == {"runs": [first]}
    again = lab.changes.archive([(lab.alpha, first), (lab.alpha, second)], "ada", lab.alpha)
    assert first in again.changed[0]


def test_nothing_is_changed_of_a_wrong_question(lab: Lab) -> None:
    id, other = lab.make(lab.alpha), lab.make(lab.beta)
    mine, theirs = (lab.alpha, id), (lab.beta, other)
    changes, tags = lab.changes, {"a": "1"}

    def tag(runs: list[tuple[str, str]], who: str, within: str | None) -> object:
        return changes.tag(runs, tags, who, within)

    asked: list[tuple[Callable[[], object], type[Exception]]] = [
        (partial(changes.tag, [mine], wrong, "ada", None), InvalidInput)
        for wrong in ({}, {"mlflow.user": "x"}, {"mlops.run_key": "x"}, {"": "x"}, {"a": "x" * 8001},
                      {"é\0": "x"}, {str(n): "" for n in range(21)})
    ]  # fmt: skip
    for verb in (changes.archive, changes.restore, tag):
        asked += [
            (partial(verb, [], "ada", None), InvalidInput),
            (partial(verb, [mine] * 21, "ada", None), InvalidInput),
            (partial(verb, [mine, theirs], "ada", lab.alpha), Forbidden),
            (partial(verb, [mine, ("gamma", id)], "ada", None), ProjectNotFound),
        ]
    asked += [
        (partial(changes.archive, [mine, (lab.alpha, other)], "ada", None), RunNotFound),
        (partial(changes.archived, lab.beta, lab.alpha), Forbidden),
        (partial(changes.archived, "gamma", None), ProjectNotFound),
    ]
    for ask, error in asked:
        with pytest.raises(error):
            ask()
    assert lab.read(*mine) == ("active", {"mlflow.runName": "made"})
    assert lab.read(*theirs)[0] == "active"
    assert lab.store.audit.latest(1) == []


def test_an_mlflow_that_is_away_changes_nothing_and_keeps_nobody_waiting(lab: Lab) -> None:
    runs = [(lab.alpha, lab.make(lab.alpha)), (lab.beta, lab.make(lab.beta))]
    lab.url = "http://127.0.0.1:1"
    began = time.monotonic()
    for ask in (
        partial(lab.changes.tag, runs, {"a": "1"}, "ada", None),
        partial(lab.changes.archive, runs, "ada", None),
        partial(lab.changes.archived, lab.alpha, None),
    ):
        with pytest.raises(ServiceUnavailable, match="mlflow"):
            ask()
    assert time.monotonic() - began < 2
    lab.url = None
    wrong = replace(lab.accounts[lab.beta], password="wrong")
    lab.accounts[lab.beta] = wrong
    half = lab.changes.tag(runs, {"a": "1"}, "ada", None)
    assert half.changed == ("/".join(runs[0]),)
    assert "the project's account" in half.failed[0].reason
    with pytest.raises(ServiceUnavailable):
        RunChanges(lab.store, RunDesk(lab.store, lambda *_: ""), None).archive(runs, "ada", None)
