"""Partitions of the inference log: made ahead and on demand, and dropped, while others use the log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import psycopg
import pytest

from mlops.errors import ServiceUnavailable
from mlops.store.partitions import AHEAD_DAYS, Partitions
from mlops.store.store import Store

OLD = date(2026, 1, 2)
NEXT = datetime(2026, 1, 3, tzinfo=UTC)
"""The end of the day OLD."""


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def table(day: date) -> str:
    return f"inferences_{day:%Y%m%d}"


def test_days_are_made_ahead_once(partitions: Partitions) -> None:
    for _ in range(2):
        partitions.make_ahead()
        found = partitions.all()
        assert len(found) == AHEAD_DAYS + 1
    today = datetime.now(UTC).date()
    assert [each.name for each in found[:2]] == [table(today), table(today + timedelta(days=1))]
    assert found[0].began == datetime.combine(today, time(), UTC)
    assert [each.ended for each in found[:-1]] == [each.began for each in found[1:]]
    assert not any(each.leaving for each in found)


def test_a_partition_holds_its_day_and_no_other(partitions: Partitions) -> None:
    assert partitions.make([OLD]) == frozenset()
    (only,) = partitions.all()
    assert only.ended == NEXT
    assert only.holds(NEXT - timedelta(days=1))
    assert only.holds(NEXT - timedelta(microseconds=1))
    assert not only.holds(NEXT)
    assert not only.holds(NEXT - timedelta(days=1, microseconds=1))


def test_a_days_limits_are_in_utc_whatever_the_session_speaks(
    partitions: Partitions, database_url: str
) -> None:
    stranger = Store(f"{database_url}&options=-c%20timezone%3DAsia/Kolkata")
    strange = Partitions(stranger._engine)
    strange.make([OLD])
    partitions.make([OLD, OLD + timedelta(days=1)])
    assert strange.all() == partitions.all()
    assert [each.ended for each in partitions.all()] == [NEXT, NEXT + timedelta(days=1)]
    stranger.close()


def test_many_may_make_the_same_day_at_once(partitions: Partitions, database_url: str) -> None:
    failed: list[Exception] = []

    def make() -> None:
        other = Store(database_url)
        try:
            Partitions(other._engine).make([OLD, OLD + timedelta(days=1)])
        except Exception as error:
            failed.append(error)
        finally:
            other.close()

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(partitions.all()) == 2


def test_what_ended_is_dropped_and_the_rest_stays(
    store: Store, add_project, partitions: Partitions, tables, inference
) -> None:
    add_project("alpha")
    days = [OLD + timedelta(days=number) for number in range(3)]
    store.inferences.add([inference(at=noon(day)) for day in days])
    assert tables() == [table(day) for day in days]
    assert partitions.drop_before(NEXT + timedelta(days=1, seconds=-1)) == [table(OLD)]
    assert tables() == [table(day) for day in days[1:]]
    assert [row.at for row in store.inferences.latest("alpha", "depth")] == [noon(days[2]), noon(days[1])]
    assert partitions.drop_before(NEXT) == []


def test_one_who_reads_for_long_delays_the_drop_and_nothing_else(
    store: Store, add_project, partitions: Partitions, tables, inference, database_url: str
) -> None:
    add_project("alpha")
    store.inferences.add([inference(at=noon(OLD)), inference()])
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM inferences")
        assert partitions.drop_before(NEXT) == []
        assert [each.name for each in partitions.all() if each.leaving] == [table(OLD)]
        assert partitions.make([OLD]) == {OLD}
        store.inferences.add([inference(at=noon(OLD), request_id="late"), inference(request_id="now")])
        assert reader.execute("SELECT count(*) FROM inferences").fetchone() == (2,)
    assert [row.request_id for row in store.inferences.latest("alpha", "depth")] == ["now", "r-1"]
    assert partitions.drop_before(NEXT) == [table(OLD)]
    assert table(OLD) not in tables()


def test_what_was_taken_off_is_dropped_as_soon_as_projects_can_be_locked(
    store: Store, add_project, partitions: Partitions, tables, inference, database_url: str
) -> None:
    add_project("alpha")
    store.inferences.add([inference(at=noon(OLD))])
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM projects")
        assert partitions.drop_before(NEXT) == []
    assert (partitions.all(), tables()) == ([], [table(OLD)])
    assert partitions.drop_before(NEXT) == [table(OLD)]
    assert tables() == []


def test_a_day_that_was_taken_off_gets_a_new_table_where_a_writer_needs_it(
    store: Store, add_project, partitions: Partitions, tables, inference, database_url: str
) -> None:
    add_project("alpha")
    store.inferences.add([inference(at=noon(OLD))])
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM projects")
        assert partitions.drop_before(NEXT) == []
        store.inferences.add([inference(at=noon(OLD), request_id="late")])
    assert [row.request_id for row in store.inferences.latest("alpha", "depth")] == ["late"]
    assert tables() == [table(OLD), f"{table(OLD)}_2"]
    assert partitions.drop_before(NEXT) == [table(OLD), f"{table(OLD)}_2"]
    assert tables() == []


def test_a_days_table_goes_with_its_project_while_it_waits_to_be_dropped(
    store: Store, add_project, partitions: Partitions, tables, inference, database_url: str
) -> None:
    add_project("alpha")
    store.inferences.add([inference(at=noon(OLD))])
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM projects")
        partitions.drop_before(NEXT)
    store.projects.remove("alpha")
    with psycopg.connect(database_url) as connection:
        assert connection.execute(f"SELECT count(*) FROM {table(OLD)}").fetchone() == (0,)


def test_a_lock_that_is_held_is_not_waited_for_without_end(partitions: Partitions, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE projects IN ROW EXCLUSIVE MODE")
        with pytest.raises(ServiceUnavailable, match="lock timeout"):
            partitions.make([OLD])
    partitions.make([OLD])
    assert [each.name for each in partitions.all()] == [table(OLD)]


def test_no_connection_keeps_the_limit_of_waiting(store: Store, partitions: Partitions) -> None:
    partitions.make([OLD])
    partitions.drop_before(NEXT)
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "0"


def test_writers_lose_nothing_while_days_are_made_taken_off_and_dropped(
    store: Store, add_project, partitions: Partitions, tables, inference, database_url: str
) -> None:
    """A writer who would wait a second for any lock fails; one reads for long, and one holds `projects`."""
    add_project("alpha")
    writer = Store(f"{database_url}&options=-c%20lock_timeout%3D1s")
    stop, written, failed = threading.Event(), [0], []

    def write() -> None:
        while not stop.is_set():
            try:
                writer.inferences.add(
                    [inference(request_id=f"w-{written[0] + place}") for place in range(20)]
                )
            except Exception as error:
                failed.append(error)
                return
            written[0] += 20

    thread = threading.Thread(target=write)
    thread.start()
    try:
        dropped = _churn(store, partitions, inference, database_url)
    finally:
        stop.set()
        thread.join()
        writer.close()
    assert failed == []
    assert len(dropped) == ROUNDS
    found = store.inferences.latest("alpha", "depth", written[0] + 1)
    assert {row.request_id for row in found} == {f"w-{number}" for number in range(written[0])}
    assert len(found) == written[0] > 0


ROUNDS = 12


def _churn(
    store: Store, partitions: Partitions, inference: Callable[..., dict[str, object]], database_url: str
) -> list[str]:
    dropped = []
    for number in range(ROUNDS):
        day = OLD + timedelta(days=number)
        store.inferences.add([inference(at=noon(day))] * 50)
        partitions.make([datetime.now(UTC).date() + timedelta(days=number)])
        with psycopg.connect(database_url) as other:
            if number % 4 == 1:
                other.execute("SELECT count(*) FROM inferences")
            if number % 4 == 3:
                other.execute("SELECT count(*) FROM projects")
            dropped += partitions.drop_before(noon(day) + timedelta(hours=12))
    return dropped + partitions.drop_before(noon(day) + timedelta(hours=12))
