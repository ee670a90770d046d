"""What is written to the inference log, and what of it Postgres does not take."""

from __future__ import annotations

import json
import logging
import threading
import time as clock
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from mlops.errors import ServiceUnavailable
from mlops.store.store import Store


def logged(store: Store) -> dict[str, dict[str, object]]:
    """request id -> features, of `alpha/depth`."""
    return {row.request_id: dict(row.features) for row in store.inferences.latest("alpha", "depth", 10_000)}


def test_rows_of_projects_that_are_gone_are_left_out(store: Store, add_project, inference) -> None:
    add_project("alpha")
    store.inferences.add([])
    store.inferences.add([inference(), inference(project="gone"), inference(request_id="r-2", features=None)])
    assert logged(store) == {"r-1": json.loads(inference()["features"]), "r-2": {}}
    assert store.inferences.latest("gone", "depth") == []
    store.inferences.add([inference(project="gone")])


def test_every_column_comes_back_as_it_was(store: Store, add_project, inference) -> None:
    add_project("alpha")
    row = inference(
        version=2**31 - 1, side="shadow", status=503, latency_s=1e-9, request_id="ä 漢 🙂 ' \\ {} ,"
    )
    store.inferences.add([row])
    (found,) = store.inferences.latest("alpha", "depth")
    assert (found.at, found.version, found.side, found.status, found.latency_s, found.request_id) == (
        row["at"], row["version"], row["side"], row["status"], row["latency_s"], row["request_id"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "features",
    ['{"inputs": {"t": ["a\\u0000b"]}}', '{"a": "\x00"}', '{"a": "\\ud800"}', '{"rows": 1', "", "NaN"],
    ids=["escaped-nul", "nul", "half-surrogate", "cut", "empty", "nan"],
)
def test_features_that_postgres_does_not_take_are_left_out_alone(
    store: Store, add_project, inference, caplog: pytest.LogCaptureFixture, features: str
) -> None:
    add_project("alpha")
    rows = [inference(request_id=f"r-{number}") for number in range(21)]
    for place in (0, 13, 20):
        rows[place]["features"] = features
    with caplog.at_level(logging.WARNING, "mlops.store"):
        store.inferences.add(rows)
    found = logged(store)
    assert {name for name, kept in found.items() if kept == {}} == {"r-0", "r-13", "r-20"}
    assert len(found) == 21
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "an inference of alpha/depth is logged without its features"
    ] * 3


@pytest.mark.parametrize("wrong", [{"request_id": "a\x00"}, {"request_id": "\ud800"}, {"status": 2**31}])
def test_a_row_that_postgres_does_not_take_is_left_out_alone(
    store: Store, add_project, inference, caplog: pytest.LogCaptureFixture, wrong: dict[str, object]
) -> None:
    add_project("alpha")
    rows = [inference(request_id=f"r-{number}") for number in range(5)]
    rows[2] |= wrong
    with caplog.at_level(logging.WARNING, "mlops.store"):
        store.inferences.add(rows)
    assert logged(store).keys() == {"r-0", "r-1", "r-3", "r-4"}
    assert "is left out of the log" in caplog.records[-1].message


def test_days_without_a_partition_are_made_for_those_who_write(
    store: Store, add_project, tables, inference
) -> None:
    add_project("alpha")
    days = (-400, -8, 0, 1, 7, 3000)
    store.inferences.add([inference(number, request_id=f"r{number}") for number in days])
    assert len(tables()) == len(days)
    assert logged(store).keys() == {f"r{number}" for number in days}


def test_a_row_goes_to_its_day_in_utc_whatever_its_zone(store: Store, add_project, tables, inference) -> None:
    add_project("alpha")
    at = datetime.fromisoformat("2026-03-01T01:00:00+05:30")
    store.inferences.add([inference(at=at)])
    assert tables() == ["inferences_20260228"]
    assert store.inferences.latest("alpha", "depth")[0].at == at


def test_a_project_that_is_deleted_meanwhile_takes_its_rows_along(
    store: Store, add_project, inference, database_url: str
) -> None:
    add_project("alpha")
    add_project("beta")
    store.inferences.add([inference(request_id="earlier")])
    writer = threading.Thread(
        target=store.inferences.add, args=([inference(), inference(project="beta", request_id="stays")],)
    )
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM projects WHERE name = 'alpha'")
        writer.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while connection.execute(waiting).fetchone() == (0,):
            clock.sleep(0.01)
    writer.join()
    assert logged(store) == {}
    assert [row.request_id for row in store.inferences.latest("beta", "depth")] == ["stays"]


def test_all_or_none_are_written_when_postgres_goes_away(
    store: Store, add_project, inference, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its connection is cut while the writer waits for a project in the second half of what he brings."""
    add_project("alpha")
    add_project("beta")
    failed = []

    def write() -> None:
        try:
            store.inferences.add([inference(features="{"), inference(project="beta")])
        except ServiceUnavailable as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT FROM projects WHERE name = 'beta' FOR UPDATE")
        writer.start()
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE NOT granted"
        while connection.execute(cut).fetchone() == (0,):
            clock.sleep(0.01)
        writer.join()
    assert len(failed) == 1
    assert logged(store) == {}
    store.inferences.add([inference()])
    assert logged(store).keys() == {"r-1"}


def test_of_one_moment_the_last_comes_first(store: Store, add_project, inference) -> None:
    add_project("alpha")
    add_project("beta")
    now, names = datetime.now(UTC), [str(number) for number in range(50)]
    rows = [inference(at=now, request_id=name) for name in names]
    store.inferences.add([row | {"project": project} for row in rows for project in ("beta", "alpha")])
    found = store.inferences.latest("alpha", "depth")
    assert [row.request_id for row in found] == list(reversed(names))


def test_the_newest_come_first_over_days(store: Store, add_project, inference) -> None:
    add_project("alpha")
    now = datetime.now(UTC)
    store.inferences.add(
        [inference(at=now - timedelta(hours=8 * number), request_id=str(number)) for number in range(9)]
    )
    assert [row.request_id for row in store.inferences.latest("alpha", "depth", 4)] == ["0", "1", "2", "3"]
    found = store.inferences.latest("alpha", "depth", since=now - timedelta(hours=17))
    assert [row.request_id for row in found] == ["0", "1", "2"]
