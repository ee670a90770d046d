"""The inference log: what gets into it, what it may hold, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from mlops.entities import Deployment, DeploymentState, Side
from mlops.errors import ServiceUnavailable
from mlops.serving.inference_log import InferenceLog
from mlops.serving.routing import Router
from mlops.store.store import Store
from mlops.worker.housekeeping import Housekeeping
from tests.mlops.conftest import REPLICA_SECRET

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DEPLOYMENT = Deployment(1, "alpha", "depth", 3, DeploymentState.RUNNING, 1, "", NOW, NOW)


def asked(store: Store, url: str, bodies: list[dict[str, object]]) -> None:
    """Ask the endpoint `alpha/depth`; the log is written when this returns."""

    async def scenario() -> None:
        router = Router(store, database_url=url, replica_secret=REPLICA_SECRET)
        await router.start()
        for number, inputs in enumerate(bodies):
            body = json.dumps({"inputs": inputs}).encode()
            await router.infer("alpha", "depth", body, request_id=f"r-{number}")
        await router.stop()

    asyncio.run(scenario())


def test_who_answered_what_is_logged(
    store: Store, database_url: str, add_project, serve, replica_server
) -> None:
    add_project("alpha")
    serve("alpha", "depth", replica_server().url, version=3)
    serve("alpha", "depth", replica_server().url, version=4, side=Side.SHADOW)
    asked(store, database_url, [{"x": [1, 2]}, {"wrong": 1}])
    found = store.inferences.latest("alpha", "depth")
    assert {(row.request_id, row.version, row.side, row.status) for row in found} >= {
        ("r-0", 3, Side.CHAMPION, 200),
        ("r-1", 3, Side.CHAMPION, 422),
    }
    first = next(row for row in found if (row.request_id, row.side) == ("r-0", Side.CHAMPION))
    assert first.features["inputs"] == {"x": [1, 2]}
    assert 0 < first.latency_s < 60
    assert next(row for row in found if row.request_id == "r-1").features == {}
    assert store.inferences.latest("alpha", "depth", since=datetime.now(UTC)) == []
    assert store.inferences.latest("alpha", "other") == []


def test_a_project_logs_the_share_that_it_sets(
    store: Store, database_url: str, add_project, serve, replica_server
) -> None:
    add_project("alpha", serving={"log_share": 0})
    replica = replica_server()
    serve("alpha", "depth", replica.url)
    asked(store, database_url, [{"x": [1]}] * 5)
    assert store.inferences.latest("alpha", "depth") == []
    assert not any("x-mlops-log" in request for request in replica.requests), "nor are features asked for"


def test_a_busy_endpoint_is_logged_up_to_a_limit_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    log = InferenceLog()
    moment = 100.0
    monkeypatch.setattr("time.monotonic", lambda: moment)
    assert sum(log.wants("depth", 1.0) for _ in range(200)) == log.MOST_PER_S
    assert log.wants("another", 1.0)
    moment = 101.0
    assert log.wants("depth", 1.0)


def test_what_waits_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InferenceLog, "MOST_BYTES", 10_000)
    log = InferenceLog()
    for number in range(50):
        log.offer(DEPLOYMENT, f"r-{number}", 200, 0.1, "x" * 700)
    rows = log.take()
    assert [row["request_id"] for row in rows] == [f"r-{number}" for number in range(40, 50)][-len(rows) :]
    assert log.dropped == 50 - len(rows) > 0
    log.offer(DEPLOYMENT, "later", 200, 0.1, None)
    log.put_back(rows)
    assert [row["request_id"] for row in log.take()][-2:] == ["r-49", "later"]


def test_what_cannot_be_written_is_written_later(
    store: Store, database_url: str, add_project, serve, replica_server, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_project("alpha")
    serve("alpha", "depth", replica_server().url)
    write, failures = store.inferences.add, [ServiceUnavailable("postgres", "away")]

    def add(rows: object) -> None:
        if rows and failures:
            raise failures.pop()
        write(rows)

    async def scenario() -> None:
        router = Router(store, database_url=database_url, replica_secret=REPLICA_SECRET)
        await router.start()
        monkeypatch.setattr(store.inferences, "add", add)
        await router.infer("alpha", "depth", b'{"inputs": {"x": [1]}}', request_id="kept")
        while failures:
            await asyncio.sleep(0.01)
        await router.stop()
        assert router.logged.dropped == 0

    asyncio.run(scenario())
    assert [row.request_id for row in store.inferences.latest("alpha", "depth")] == ["kept"]


def test_old_inferences_go_as_the_project_says_and_with_it(
    store: Store, database_url: str, add_project: Callable[..., str]
) -> None:
    add_project("alpha", serving={"log_days": 2})
    add_project("beta")
    log = InferenceLog()
    log.offer(DEPLOYMENT, "r-1", 200, 0.1, '{"rows": 1}')
    (row,) = log.take()
    for project in ("alpha", "beta", "gone"):
        for days in (1, 3, 31):
            store.inferences.add([row | {"project": project, "at": datetime.now(UTC) - timedelta(days=days)}])
    Housekeeping(store).look()
    assert [len(store.inferences.latest(project, "depth")) for project in ("alpha", "beta", "gone")] == [
        1,
        2,
        0,
    ]
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM projects WHERE name = 'beta'")
    assert store.inferences.latest("beta", "depth") == []
