"""How long the inference log keeps what it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from mlops.store.partitions import Partitions
from mlops.store.retention import Retention
from mlops.store.store import Store


def ages(store: Store, project: str) -> list[int]:
    """Of its rows, in days, from the youngest on."""
    now = datetime.now(UTC)
    return [round((now - row.at) / timedelta(days=1)) for row in store.inferences.latest(project, "depth")]


def test_each_project_keeps_its_own_days(
    store: Store, add_project, partitions: Partitions, tables, inference
) -> None:
    for project in ("alpha", "beta", "gamma"):
        add_project(project)
        store.inferences.add([inference(days, project=project) for days in (0, 2, 4, 9, 11, 40)])
    days = len(tables())
    gone = store.retention.forget({"alpha": 1, "beta": 10, "gamma": 3.5})
    assert (ages(store, "alpha"), ages(store, "beta"), ages(store, "gamma")) == ([0], [0, 2, 4, 9], [0, 2])
    assert gone.finished
    assert gone.rows == 3 + 2
    assert len(gone.partitions) == days - len(tables()) == 2
    again = store.retention.forget({"alpha": 1, "beta": 10, "gamma": 3.5})
    assert (again.partitions, again.rows, again.finished) == ((), 0, True)


def test_rows_on_the_day_of_the_limit_go_by_their_time(
    store: Store, add_project, partitions: Partitions, inference
) -> None:
    add_project("alpha")
    add_project("beta")
    hours = (1, 5, 7, 30)
    store.inferences.add([inference(hour / 24) for hour in hours])
    assert store.retention.forget({"alpha": 0.25, "beta": 10}).rows == 2
    assert len(ages(store, "alpha")) == 2


def test_the_longest_kept_go_with_their_whole_day(
    store: Store, add_project, partitions: Partitions, inference
) -> None:
    add_project("alpha")
    store.inferences.add([inference(2.5), inference(4)])
    gone = store.retention.forget({"alpha": 2.75})
    assert (gone.rows, len(gone.partitions)) == (0, 1)
    assert len(ages(store, "alpha")) == 1


def test_much_is_deleted_in_batches_and_not_in_one_call(
    store: Store, add_project, partitions: Partitions, inference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retention, "BATCH", 10)
    monkeypatch.setattr(Retention, "MOST_ROWS", 30)
    for project in ("alpha", "beta"):
        add_project(project)
        store.inferences.add([inference(days, project=project) for days in (2, 3) for _ in range(16)])
    kept = {"alpha": 1.0, "beta": 1.5, "gamma": 10.0}
    found = [store.retention.forget(kept) for _ in range(4)]
    assert sum(each.rows for each in found) == 64
    assert all(each.rows <= 30 + 10 for each in found)
    assert (found[0].finished, found[-1].finished) == (False, True)
    assert ages(store, "alpha") == ages(store, "beta") == []


def test_without_projects_only_room_for_what_comes_is_left(
    store: Store, partitions: Partitions, tables
) -> None:
    partitions.make([datetime.now(UTC).date() - timedelta(days=1)])
    store.retention.make_room()
    before = tables()
    assert len(store.retention.forget({}).partitions) == 1
    assert tables() == before[1:]


def test_what_was_logged_before_there_were_days_goes_by_rows_until_it_goes_as_a_whole(
    store: Store, add_project, partitions: Partitions, tables, inference
) -> None:
    add_project("alpha")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    with store._engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE inferences_before (LIKE inferences INCLUDING ALL EXCLUDING IDENTITY)")
        )
        connection.execute(
            text(
                "ALTER TABLE inferences ATTACH PARTITION inferences_before"
                f" FOR VALUES FROM (MINVALUE) TO ('{yesterday} 00:00+00')"
            )
        )
    store.inferences.add([inference(days) for days in (2.5, 4, 6)])
    assert tables() == ["inferences_before"]
    gone = store.retention.forget({"alpha": 5})
    assert (gone.rows, gone.partitions) == (1, ())
    assert len(ages(store, "alpha")) == 2
    assert store.retention.forget({"alpha": 0.5}).partitions == ("inferences_before",)
    assert tables() == []
