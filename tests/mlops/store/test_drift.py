"""Drift reports in the database: asked for once, made once, kept as rows."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from mlops.entities import ColumnDrift, ColumnKind, DriftCheck, DriftJob, DriftReport, DriftTrigger, JobState
from mlops.errors import DriftReportNotFound, InvalidInput, ProjectNotFound
from mlops.store.drift import MOST_ATTEMPTS, MOST_WAITING
from mlops.store.store import Store

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _project(store: Store, add_project) -> None:
    add_project("alpha")


def row(column: str = "wear", *, drifted: bool = False, **fields: object) -> ColumnDrift:
    told = {
        "column": column, "side": "inputs", "check": DriftCheck.DISTRIBUTION, "kind": ColumnKind.NUMERICAL,
        "method": "distance", "score": 0.3, "threshold": 0.2, "drifted": drifted,
        "reference_missing": 0.0, "current_missing": 0.0,
    }  # fmt: skip
    return ColumnDrift(**told | fields)  # type: ignore[arg-type]


def report(*rows: ColumnDrift) -> DriftReport:
    return DriftReport(100, 50, 40, NOW - DAY, NOW, 3, rows)


def ask(store: Store, trigger: DriftTrigger = DriftTrigger.REQUEST, version: int = 3) -> DriftJob | None:
    return store.drift.ask("alpha", "depth", version, NOW - DAY, NOW, trigger, "ada")


def claimed(store: Store) -> DriftJob:
    found = store.drift.claim()
    assert found is not None
    return found


def test_asked_made_and_read_with_its_rows(store: Store) -> None:
    asked = ask(store)
    assert asked is not None
    assert (asked.state, asked.asked_by, asked.since, asked.until) == (
        JobState.QUEUED, "ada", NOW - DAY, NOW
    )  # fmt: skip
    began = claimed(store)
    assert (began.id, began.state) == (asked.id, JobState.RUNNING)
    assert store.drift.claim() is None, "it is begun once"
    rows = (row(drifted=True), row("feed"), row("feed", check=DriftCheck.MISSING, drifted=True), row("x\0"))
    store.drift.done(asked.id, report(*rows))
    found = store.drift.get(asked.id, "alpha")
    assert (found.state, found.judged, found.drifted, found.current_rows) == (JobState.DONE, 3, 2, 50)
    assert found.share == 2 / 3
    assert found.columns[:3] == rows[:3]
    assert found.columns[3].column == "x\N{REPLACEMENT CHARACTER}", "Postgres takes no NUL"
    (listed,) = store.drift.latest("alpha", "depth")
    assert (listed.id, listed.columns, listed.drifted) == (asked.id, (), 2)
    assert store.drift.latest("alpha", "other") == store.drift.latest("beta") == []
    assert not found.has_page
    store.drift.paged(asked.id)
    assert store.drift.get(asked.id).has_page


def test_what_was_found_is_not_found_again(store: Store) -> None:
    ask(store)
    job = claimed(store)
    store.drift.done(job.id, report(row(drifted=True)))
    store.drift.done(job.id, report(row(), row("feed")))
    store.drift.failed(job.id, "its page broke", "DriftReportFailed")
    found = store.drift.get(job.id)
    assert (found.state, found.drifted, len(found.columns), found.error) == (JobState.DONE, 1, 1, "")


def test_errors_of_asking_and_reading(store: Store) -> None:
    with pytest.raises(ProjectNotFound):
        store.drift.ask("nobody", "depth", 3, NOW - DAY, NOW)
    with pytest.raises(DriftReportNotFound, match="999999"):
        store.drift.get(999_999)
    asked = ask(store)
    assert asked is not None
    with pytest.raises(DriftReportNotFound):
        store.drift.get(asked.id, "beta")
    for _ in range(MOST_WAITING - 1):
        ask(store)
    with pytest.raises(InvalidInput, match=f"{MOST_WAITING} reports waiting"):
        ask(store)
    assert ask(store, DriftTrigger.SCHEDULE) is not None, "what comes by itself has its own place"


def test_what_comes_by_itself_waits_once_also_when_many_ask(store: Store) -> None:
    found: list[DriftJob | None] = []
    begin = threading.Barrier(8)

    def at_once() -> None:
        begin.wait()
        found.append(ask(store, DriftTrigger.COUNT))

    threads = [threading.Thread(target=at_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([each for each in found if each is not None]) == 1
    assert ask(store, DriftTrigger.SCHEDULE) is not None
    assert ask(store, DriftTrigger.COUNT, version=4) is not None
    claimed(store)
    assert ask(store, DriftTrigger.COUNT) is None, "one that is being made is enough, too"


def test_what_people_ask_for_comes_first(store: Store) -> None:
    ask(store, DriftTrigger.SCHEDULE)
    ask(store, DriftTrigger.COUNT)
    ask(store)
    assert [claimed(store).trigger.value for _ in range(3)] == ["request", "schedule", "count"]


def test_a_worker_that_ended_leaves_it_to_the_next_and_not_for_ever(store: Store) -> None:
    asked = ask(store)
    assert asked is not None
    for _ in range(MOST_ATTEMPTS):
        assert claimed(store).id == asked.id
        store.drift.put_back()
    assert store.drift.claim() is None
    found = store.drift.get(asked.id)
    assert (found.state, found.error_type) == (JobState.FAILED, "DriftReportFailed")
    assert found.ended_at is not None


def test_the_newest_of_what_serves(store: Store, serve) -> None:
    serve("alpha", "depth", version=3)
    made = {}
    for trigger in DriftTrigger:
        for version in (2, 3):
            for _ in range(2):
                ask(store, trigger, version)
                job = claimed(store)
                store.drift.done(job.id, report(row(drifted=True), row("feed")))
                made[trigger, version] = job.id
    ask(store, DriftTrigger.COUNT)  # not made yet
    newest = store.drift.newest()
    assert {(job.trigger, job.id) for job in newest} == {
        (trigger, made[trigger, 3]) for trigger in (DriftTrigger.SCHEDULE, DriftTrigger.COUNT)
    }
    assert [[each.column for each in job.columns] for job in newest] == [["wear"], ["wear"]]
    last = store.drift.last_by_itself()
    assert set(last) == {("alpha", "depth", 3, trigger) for trigger in DriftTrigger if trigger != "request"}
    assert last["alpha", "depth", 3, DriftTrigger.COUNT].state is JobState.QUEUED
    assert last["alpha", "depth", 3, DriftTrigger.SCHEDULE].id == made[DriftTrigger.SCHEDULE, 3]


def test_old_ones_go_and_the_numbers_tell_which(store: Store, engine: Engine) -> None:
    kept, old = ask(store), ask(store)
    assert kept is not None
    assert old is not None
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE drift_jobs SET asked_at = now() - interval '91 days' WHERE id = :id"), {"id": old.id}
        )
    store.drift.forget_old()
    assert [job.id for job in store.drift.latest("alpha")] == [kept.id]
    assert store.drift.gone([kept.id, old.id]) == {old.id}
    assert store.drift.gone([]) == set()
