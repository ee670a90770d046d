"""The index of model versions, who did what to a model, and what deployments answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from mlops.store.model_versions import IndexedVersion
from mlops.store.store import Store
from mlops.store.traffic import Traffic

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def versions(store: Store, add_project: Callable[..., str]) -> list[IndexedVersion]:
    """Of alpha's depth 1 to 3, of which the first is the champion; of beta's depth 7."""
    add_project("alpha")
    add_project("beta")
    first = IndexedVersion(
        "alpha", "depth", 1, NOW, "r1", "ada", "best", "u:/1", "u:/r", {"a": "b"}, ("champion",)
    )
    made = [first, *(replace(first, version=number, aliases=()) for number in (2, 3))]
    made.append(IndexedVersion("beta", "depth", 7, NOW))
    store.model_versions.put(made)
    return made


def test_versions_are_read_as_they_were_put(store: Store, versions: list[IndexedVersion]) -> None:
    known = store.model_versions
    assert known.get("alpha", "depth", 1) == versions[0]
    assert known.get("alpha", "depth", 9) is None
    assert known.of_model("alpha", "depth", 2) == [versions[2], versions[1]]
    assert known.of_model("alpha", "depth", 9, before=2) == [versions[0]]
    assert known.heads() == [(versions[2], 3), (versions[0], 3), (versions[3], 1)]
    assert known.heads("beta") == [(versions[3], 1)]


def test_only_what_differs_is_written(store: Store, versions: list[IndexedVersion]) -> None:
    assert store.model_versions.put(versions) == 0
    moved = [replace(versions[0], aliases=()), replace(versions[1], aliases=("champion",)), *versions[3:]]
    assert store.model_versions.put([*moved, IndexedVersion("nobody", "x", 1, NOW)]) == 3, (
        "two, and one is gone"
    )
    assert [each.version for each in store.model_versions.of_model("alpha", "depth", 9)] == [2, 1]
    store.projects.remove("alpha")
    assert store.model_versions.heads() == [(versions[3], 1)]


def test_a_moved_alias_is_a_change_of_its_project(store: Store, versions: list[IndexedVersion]) -> None:
    before = store.marks()["models"]
    store.model_versions.put([replace(versions[0], aliases=("gold",)), *versions[1:]])
    after = store.marks()["models"]
    assert before["alpha"] != after["alpha"]
    assert before["beta"] == after["beta"]


def test_actions_of_a_model_come_newest_first_by_an_index(store: Store, engine: Engine) -> None:
    store.audit.record("ada", "deploy", "alpha", model="depth", version=1)
    store.audit.record("bob", "deploy", "beta", model="depth", version=1)
    store.audit.record("ada", "promote", "alpha", model="depth", version=2)
    assert [entry.action for entry in store.audit.of_model("alpha", "depth", 5)] == ["promote", "deploy"]
    assert store.audit.of_model("alpha", "wear", 5) == []
    wanted = "project = 'a' AND detail ->> 'model' = 'm'"
    plan = f"EXPLAIN SELECT * FROM audit WHERE {wanted} ORDER BY id DESC LIMIT 20"
    with engine.connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        told = " ".join(connection.scalars(text(plan)))
    assert "audit_of_model" in told
    assert "Sort" not in told


def test_traffic_is_summed_by_deployment_project_and_step(store: Store, add_project, serve) -> None:
    add_project("alpha")
    add_project("beta")
    first, other = serve("alpha", "depth", "http://127.0.0.1:1"), serve("beta", "wear", "http://127.0.0.1:2")
    at = datetime.fromtimestamp(datetime.now(UTC).timestamp() // 120 * 120, UTC)
    one = Traffic()
    one.record(0.004, failed=True)
    for number, seconds in ((first, 10), (first, 20), (first, 130), (other, 10)):
        store.traffic.add({number: one}, at - timedelta(seconds=seconds))
    since = at - timedelta(seconds=240)
    found = store.traffic.all_series(since, 120)
    counts = {number: [steps[at].requests for at in sorted(steps)] for number, steps in found.items()}
    assert counts == {first: [1, 2], other: [1]}
    assert sorted(found[first]) == [since, since + timedelta(seconds=120)]
    assert found[first][since].quantile(0.95) == 0.005
    assert list(store.traffic.all_series(since, 120, "beta")) == [other]
    total = store.traffic.since(since)
    assert (total[first].requests, total[first].errors, total[first].latencies[4]) == (3, 3, 3)
    assert list(store.traffic.since(since, "alpha")) == [first]
    assert len(store.traffic.series("alpha", "depth", since, 120, version=1)) == 2
    assert store.traffic.series("alpha", "depth", since, 120, version=2) == []
