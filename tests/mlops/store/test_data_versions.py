"""Versions of data as runs and who added them tell of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mlops.data.catalog import DataCatalog
from mlops.entities import DataCheck, DataVersion, RunStatus
from mlops.errors import DataNotFound, InvalidInput, InvalidName, ProjectNotFound
from mlops.store.data_versions import UsedData
from mlops.store.indexed_runs import IndexedRun
from mlops.store.model_versions import IndexedVersion
from mlops.store.store import Store

NOW = datetime.now(UTC).replace(microsecond=0)
HASHES = [f"{number:032x}.dir" for number in range(4)]


def version(number: int = 0, path: str = "data/raw", project: str = "alpha", **fields: object) -> DataVersion:
    usual = {"git_revision": None, "git_dirty": False, "remote": "/remote"}
    return DataVersion(project, path, HASHES[number], 1000 + number, 7, **usual | fields)


@pytest.fixture
def run(store: Store, add_project: Callable[..., str]) -> Callable[..., None]:
    """Indexes a run of alpha that used these versions."""
    add_project("alpha")

    def put(id: str, *data: DataVersion, hours: float = 0.0) -> None:
        began = NOW - timedelta(hours=hours)
        store.run_index.put(
            [IndexedRun(id, "alpha", f"run {id}", "all", RunStatus.FINISHED, began, data=data)]
        )

    return put


def test_runs_tell_which_versions_there_are_and_who_used_them(store: Store, run) -> None:
    run("a", version(0), version(1, "labels.csv", declared=True), hours=3)
    run("b", version(0, git_revision="f00"), hours=2)
    run("c", version(2), hours=1)
    newest, first, labels = store.data.all("alpha", "", 10)
    assert [each.version.hash for each in (newest, labels, first)] == [HASHES[2], HASHES[1], HASHES[0]]
    assert (first.used_by, first.declared_by, first.seen_at) == (2, 0, NOW - timedelta(hours=3))
    assert (first.version.size_bytes, first.version.files, first.version.git_revision) == (1000, 7, "f00")
    assert (labels.used_by, labels.declared_by) == (0, 1)
    assert [each.version.hash for each in store.data.all("alpha", "labels.csv", 10)] == [HASHES[1]]
    assert [each.version.hash for each in store.data.newest(10)] == [HASHES[2], HASHES[1]]
    users = store.data.users("alpha", "data/raw", HASHES[0], 10)
    assert [(each.id, each.name, each.declared) for each in users] == [
        ("b", "run b", False),
        ("a", "run a", False),
    ]


def test_model_versions_are_tied_to_the_data_of_their_run(store: Store, run) -> None:
    run("a", version(0), version(1, "labels.csv", declared=True), hours=1)
    run("b", version(0))
    made = [IndexedVersion("alpha", "depth", number, NOW, "a") for number in (1, 2)]
    store.model_versions.put([*made, IndexedVersion("alpha", "wear", 1, NOW)])
    first, second = store.data.users("alpha", "data/raw", HASHES[0], 10)
    assert (first.models, second.models) == ((), (("depth", 1), ("depth", 2)))
    assert store.data.of_run("alpha", "a") == [
        UsedData("data/raw", HASHES[0], False),
        UsedData("labels.csv", HASHES[1], True),
    ]
    assert store.data.of_run("beta", "a") == []
    assert store.data.of_run("alpha", "") == []


def test_what_a_run_used_follows_it(store: Store, run) -> None:
    run("a", version(0, declared=True))
    run("a", version(0), version(1))
    assert [each.used_by for each in store.data.all("alpha", "", 10)] == [1, 1]
    run("a", version(1))
    assert {each.version.hash: each.used_by for each in store.data.all("alpha", "", 10)} == {
        HASHES[0]: 0,
        HASHES[1]: 1,
    }
    store.run_index.forget(["a"])
    assert [each.used_by for each in store.data.all("alpha", "", 10)] == [0, 0], "the versions stay known"


def test_checks_are_those_of_the_last_adding(store: Store, run) -> None:
    good, bad = DataCheck("rows", True, "9 of 9"), DataCheck("rows", False, "3 of 9")
    store.data.put(version(0, checks=(bad,)), NOW)
    run("a", version(0), hours=1)
    (known,) = store.data.all("alpha", "", 10)
    assert (known.version.checks, known.failed, known.seen_at) == ((bad,), 1, NOW - timedelta(hours=1))
    store.data.put(version(0, checks=(good,)), NOW)
    assert store.data.all("alpha", "", 10)[0].version.checks == (good,)


def test_a_version_of_no_project_is_left_out(store: Store, run) -> None:
    store.data.put(version(0, project="gone"), NOW)
    assert store.data.newest(10) == []


STATED = {"path": "data/raw", "hash": HASHES[0], "size_bytes": 3, "files": 1, "git_revision": None,
          "remote": "", "checks": []}  # fmt: skip


def test_catalog_says_what_is_wrong(store: Store, run) -> None:
    catalog = DataCatalog(store)
    assert catalog.put("alpha", STATED).version.hash == HASHES[0]
    for field, value in (("hash", "HEAD"), ("path", ""), ("path", "x" * 1001), ("remote", "\0")):
        with pytest.raises(InvalidInput) as refused:
            catalog.put("alpha", {**STATED, field: value})
        assert refused.value.to_json()["error"]["fields"]["field"] == field
    with pytest.raises(ProjectNotFound):
        catalog.put("nobody", STATED)
    with pytest.raises(DataNotFound):
        catalog.version("alpha", "data/raw", HASHES[1])
    with pytest.raises(InvalidInput):
        catalog.version("alpha", "\0", HASHES[0])
    for call in (catalog.versions, lambda name: catalog.version(name, "data/raw", HASHES[0])):
        with pytest.raises(InvalidName):
            call("../x")
