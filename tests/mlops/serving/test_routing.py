"""Routes in memory: kept current by NOTIFY, and answering through failures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.config import MLOpsConfig
from mlops.entities import DeploymentState, ProjectWorkspace, Side
from mlops.errors import DeploymentNotFound, ServiceError, ServiceUnavailable
from mlops.installation import Installation
from mlops.services import postgres
from mlops.serving.routing import Router
from mlops.store.store import Store

SECRET = "secret-of-the-replicas"
BODY = b'{"inputs": {"x": [1, 2]}}'


@pytest.fixture
def running(store: Store, database_url: str, add_project: Callable[..., str]):
    """Starts a router for the length of a block; the project alpha exists."""
    add_project("alpha")

    @asynccontextmanager
    async def run(**settings: float) -> AsyncIterator[Router]:
        router = Router(store, database_url=database_url, replica_secret=SECRET, **settings)
        await router.start()
        try:
            yield router
        finally:
            await router.stop()

    return run


async def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come true in time"
        await asyncio.sleep(0.01)


def test_outputs_come_through_with_secret_and_request_id(running, replica_server, serve) -> None:
    replica = replica_server()
    serve("alpha", "depth", replica.url, version=3)

    async def scenario() -> None:
        async with running() as router:
            answer = await router.infer("alpha", "depth", BODY, request_id="r-1")
        assert (answer.status, json.loads(answer.body)) == (200, {"outputs": {"y": [2, 4]}})
        assert answer.version == 3

    asyncio.run(scenario())
    assert replica.requests[0]["x-mlops-replica-secret"] == SECRET
    assert replica.requests[0]["x-request-id"] == "r-1"


def test_follows_a_new_route_by_notify(running, replica_server, serve) -> None:
    replica = replica_server()

    async def scenario() -> None:
        async with running(reload_every_s=60.0) as router:
            with pytest.raises(DeploymentNotFound):
                await router.infer("alpha", "depth", BODY)
            await asyncio.sleep(0.3)  # it listens by now
            serve("alpha", "depth", replica.url)
            await _until(lambda: router.replicas("alpha", "depth") == (replica.url,))

    asyncio.run(scenario())


def test_second_replica_answers_when_the_first_is_dead(running, replica_server, serve) -> None:
    dead, living = replica_server(), replica_server()
    serve("alpha", "depth", dead.url, living.url)
    dead.stop()

    async def scenario() -> None:
        async with running() as router:
            answers = [await router.infer("alpha", "depth", BODY) for _ in range(4)]
        assert {answer.status for answer in answers} == {200}

    asyncio.run(scenario())
    assert len(living.requests) == 4


def test_draining_replica_is_passed_over(running, replica_server, serve) -> None:
    draining, living = replica_server(), replica_server()
    draining.status = 503
    serve("alpha", "depth", draining.url, living.url)

    async def scenario() -> None:
        async with running() as router:
            answers = [await router.infer("alpha", "depth", BODY) for _ in range(4)]
        assert {answer.status for answer in answers} == {200}

    asyncio.run(scenario())
    assert draining.requests


def test_requests_are_shared_between_replicas(running, replica_server, serve) -> None:
    replicas = [replica_server(), replica_server()]
    serve("alpha", "depth", *(replica.url for replica in replicas))

    async def scenario() -> None:
        async with running() as router:
            for _ in range(10):
                await router.infer("alpha", "depth", BODY)

    asyncio.run(scenario())
    assert [len(replica.requests) for replica in replicas] == [5, 5]


def test_stale_route_is_read_anew_before_giving_up(running, replica_server, serve, store) -> None:
    old, new = replica_server(), replica_server()
    deployment = serve("alpha", "depth", old.url)

    async def scenario() -> None:
        async with running() as router:
            await router.infer("alpha", "depth", BODY)
            router._following.cancel()  # no NOTIFY reaches it
            old.stop()
            store.deployments.set_replicas(deployment, [new.url])
            assert (await router.infer("alpha", "depth", BODY)).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", ["cut", "hang"])
def test_no_answer_is_unavailable_within_the_deadline(running, replica_server, serve, fault) -> None:
    serve("alpha", "depth", replica_server().url)
    body = json.dumps({"inputs": {"x": [1], fault: 1}}).encode()

    async def scenario() -> None:
        async with running(deadline_s=0.5) as router:
            with pytest.raises(ServiceUnavailable, match="model 'depth' does not answer"):
                await asyncio.wait_for(router.infer("alpha", "depth", body), 60)

    asyncio.run(scenario())


def test_a_request_waits_for_the_replica_that_comes_back(running, replica_server, serve, store) -> None:
    old = replica_server()
    deployment = serve("alpha", "depth", old.url)
    old.stop()

    async def scenario() -> None:
        async with running() as router:
            accepted = [asyncio.create_task(router.infer("alpha", "depth", BODY)) for _ in range(20)]
            await _until(lambda: router._waiting == 20)
            store.deployments.set_replicas(deployment, [])  # as the worker does when Ray was restarted
            await _until(lambda: not router.replicas("alpha", "depth"))
            accepted += [asyncio.create_task(router.infer("alpha", "depth", BODY)) for _ in range(20)]
            await _until(lambda: router._waiting == 40)
            store.deployments.set_replicas(deployment, [replica_server().url])
            assert {answer.status for answer in await asyncio.gather(*accepted)} == {200}
            assert (router._waiting, router._waiting_bytes) == (0, 0)
            assert [load.under_way for load in router.loads()] == [0]

    asyncio.run(scenario())


def test_who_waits_is_not_taken_off_another_count(running, replica_server, serve, store) -> None:
    old = replica_server()
    deployment = serve("alpha", "depth", old.url)

    async def scenario() -> None:
        async with running() as router:
            await router.infer("alpha", "depth", BODY)
            router._following.cancel()  # the request itself notices, and reads the routes anew
            old.stop()
            store.deployments.set_replicas(deployment, [])
            accepted = asyncio.create_task(router.infer("alpha", "depth", BODY))
            await _until(lambda: router._waiting == 1)
            assert [load for load in router.loads() if load.under_way < 0] == []
            store.deployments.set_replicas(deployment, [replica_server().url])
            await router.reload()
            assert (await accepted).status == 200

    asyncio.run(scenario())


def test_as_many_wait_as_may_and_the_others_are_told_at_once(
    running, replica_server, serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.serving.routing._MOST_WAITING", 2)
    dead = replica_server()
    serve("alpha", "depth", dead.url)
    dead.stop()

    async def scenario() -> None:
        async with running(deadline_s=3) as router:
            accepted = [asyncio.create_task(router.infer("alpha", "depth", BODY)) for _ in range(2)]
            await _until(lambda: router._waiting == 2)
            with pytest.raises(ServiceUnavailable, match="none of its 1 replicas can be reached"):
                await asyncio.wait_for(router.infer("alpha", "depth", BODY), 2)
            found = await asyncio.gather(*accepted, return_exceptions=True)
            assert all("no answer within 3 s" in str(error) for error in found)

    asyncio.run(scenario())


def test_a_request_that_ends_replicas_is_given_up(running, replica_server, serve) -> None:
    replicas = [replica_server(), replica_server()]
    serve("alpha", "depth", *(replica.url for replica in replicas))
    body = json.dumps({"inputs": {"x": [1], "cut": 1}}).encode()

    async def scenario() -> None:
        async with running() as router:
            with pytest.raises(ServiceUnavailable, match="3 of its replicas ended, or hung up, over this"):
                await asyncio.wait_for(router.infer("alpha", "depth", body), 10)

    asyncio.run(scenario())
    assert sum(len(replica.requests) for replica in replicas) == 3


def test_what_cannot_be_answered_in_time_is_refused_at_once(running, replica_server, serve) -> None:
    replica = replica_server()
    serve("alpha", "depth", replica.url)

    async def scenario() -> None:
        async with running() as router:
            await router.infer("alpha", "depth", BODY)
            replica.delay_s = 1.0

            def ask(deadline_s: float = 60.0) -> asyncio.Task[object]:
                return asyncio.create_task(router.infer("alpha", "depth", BODY, deadline_s=deadline_s))

            found = await asyncio.gather(*(ask() for _ in range(70)), return_exceptions=True)
            refused = [each for each in found if isinstance(each, ServiceUnavailable)]
            assert len(refused) == 6, "a replica holds 64"
            assert "more requests wait for it than it can answer in time" in str(refused[0])
            (load,) = router.loads()
            assert (load.refused, load.traffic.requests, load.under_way) == (6, 65, 0)
            load._pace = 0.1  # as if it answered one at a time
            found = await asyncio.gather(*(ask(2.1) for _ in range(20)), return_exceptions=True)
            assert [isinstance(each, ServiceUnavailable) for each in found] == [False] * 11 + [True] * 9

    asyncio.run(scenario())


def test_the_deadline_counts_from_the_arrival_and_is_told_as_it_was_stated(
    running, replica_server, serve
) -> None:
    serve("alpha", "depth", replica_server().url)

    async def scenario() -> None:
        async with running() as router:
            await router.infer("alpha", "depth", BODY)
            long_ago = asyncio.get_running_loop().time() - 2.0
            with pytest.raises(ServiceUnavailable, match="no answer within 1 s"):
                await router.infer("alpha", "depth", BODY, deadline_s=1.0, arrived=long_ago)
            answer = await router.infer("alpha", "depth", BODY, deadline_s=10.0, arrived=long_ago)
            assert answer.status == 200

    asyncio.run(scenario())


def test_one_slow_answer_does_not_close_the_door(running, replica_server, serve) -> None:
    replica = replica_server()
    serve("alpha", "depth", replica.url)

    async def scenario() -> None:
        async with running() as router:
            await router.infer("alpha", "depth", BODY)
            router.loads()[0]._pace = 1000.0
            for _ in range(100):
                await asyncio.gather(
                    *(router.infer("alpha", "depth", BODY, deadline_s=5.0) for _ in range(4))
                )
            assert router.loads()[0]._pace < 0.1

    asyncio.run(scenario())


def test_a_replica_that_takes_no_more_is_no_reason_to_wait(running, replica_server, serve) -> None:
    busy = replica_server()
    busy.status = 503
    serve("alpha", "depth", busy.url)

    async def scenario() -> None:
        async with running() as router:
            with pytest.raises(ServiceUnavailable, match="none of its 1 replicas takes more for now"):
                await asyncio.wait_for(router.infer("alpha", "depth", BODY), 5)

    asyncio.run(scenario())


def test_callers_error_passes_and_a_broken_replica_does_not(running, replica_server, serve) -> None:
    serve("alpha", "depth", replica_server().url)

    async def scenario() -> None:
        async with running() as router:
            wrong = await router.infer("alpha", "depth", b'{"inputs": {"wrong": 1}}')
            assert (wrong.status, json.loads(wrong.body)["error"]["type"]) == (422, "InvalidInput")
            with pytest.raises(ServiceError, match="answered 500"):
                await router.infer("alpha", "depth", b'{"inputs": {"broken": 1}}')

    asyncio.run(scenario())


def test_replica_that_refuses_our_secret_is_not_the_callers_fault(
    store, database_url, add_project, replica_server, serve
) -> None:
    add_project("alpha")
    serve("alpha", "depth", replica_server().url)

    async def scenario() -> None:
        router = Router(store, database_url=database_url, replica_secret="another")
        await router.start()
        try:
            with pytest.raises(ServiceError, match="answered 403"):
                await router.infer("alpha", "depth", BODY)
        finally:
            await router.stop()

    asyncio.run(scenario())


def test_deployment_on_its_way_is_unavailable_not_missing(running, store) -> None:
    pending = store.deployments.want("alpha", "depth", 1, 1)

    async def scenario() -> None:
        async with running() as router:
            with pytest.raises(ServiceUnavailable, match="it is pending"):
                await router.infer("alpha", "depth", BODY)
            store.deployments.advance(pending.id, DeploymentState.FAILED, error="no")
            with pytest.raises(DeploymentNotFound):
                await router.infer("alpha", "depth", BODY)

    asyncio.run(scenario())


def test_undeployed_model_is_gone(running, replica_server, serve, store) -> None:
    serve("alpha", "depth", replica_server().url)

    async def scenario() -> None:
        async with running() as router:
            await router.infer("alpha", "depth", BODY)
            store.deployments.want_removal("alpha", "depth")
            await _until(lambda: not router.replicas("alpha", "depth"))
            with pytest.raises(DeploymentNotFound):
                await router.infer("alpha", "depth", BODY)

    asyncio.run(scenario())


async def _ask_for_the_unheard_of(router: Router) -> None:
    for _ in range(200):  # the children of a killed Postgres end a moment after it
        with contextlib.suppress(DeploymentNotFound):
            await router.infer("alpha", "unheard-of", BODY)
        await asyncio.sleep(0.02)


def test_answers_while_postgres_restarts_and_follows_again_after(tmp_path: Path, replica_server) -> None:
    installation = Installation(MLOpsConfig(home=tmp_path / "home"))
    installation.prepare()
    postgres.initialise(installation)
    service = postgres.service(installation, installation.choose_ports(["postgres"])["postgres"])
    process = _start_postgres(service)
    store = Store(installation.database_url())
    first, second = replica_server(), replica_server()
    try:
        postgres.create_databases(installation.database_url)
        store.upgrade()
        store.projects.put(
            ProjectWorkspace("alpha", "alpha", "1", "/r", "alpha__", "/projects/alpha", tmp_path), {}
        )
        deployment = store.deployments.want("alpha", "depth", 1, 1)
        store.deployments.set_replicas(deployment.id, [first.url])
        store.deployments.advance(deployment.id, DeploymentState.RUNNING)

        async def scenario() -> subprocess.Popen[bytes]:
            router = Router(store, database_url=installation.database_url(), replica_secret=SECRET)
            await router.start()
            try:
                assert (await router.infer("alpha", "depth", BODY)).status == 200
                process.kill()
                process.wait()
                for _ in range(20):
                    answer = await asyncio.wait_for(router.infer("alpha", "depth", BODY), 60)
                    assert answer.status == 200
                with pytest.raises(ServiceUnavailable):
                    await _ask_for_the_unheard_of(router)
                again = await asyncio.to_thread(_start_postgres, service)
                await asyncio.to_thread(store.deployments.set_replicas, deployment.id, [second.url])
                await _until(lambda: router.replicas("alpha", "depth") == (second.url,))
                return again
            finally:
                await router.stop()

        process = asyncio.run(scenario())
    finally:
        store.close()
        process.send_signal(service.stop_signal)
        process.wait(20)


def _start_postgres(service) -> subprocess.Popen[bytes]:
    if service.before_spawn is not None:
        service.before_spawn()
    process = subprocess.Popen(
        service.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 90
    while service.probe(frozenset([process.pid])) is not None:
        assert time.monotonic() < deadline, "postgres did not start"
        time.sleep(0.05)
    return process


def test_a_canary_answers_its_share_and_the_same_callers(running, replica_server, serve) -> None:
    champion, canary = replica_server(), replica_server()
    serve("alpha", "depth", champion.url, version=1)
    serve("alpha", "depth", canary.url, version=2, side=Side.CANARY, weight=25)

    async def scenario() -> tuple[list[int], list[int], list[int]]:
        async with running() as router:
            named = [await router.infer("alpha", "depth", BODY, caller=f"unit {n}") for n in range(200)]
            again = [await router.infer("alpha", "depth", BODY, caller=f"unit {n}") for n in range(200)]
            unnamed = [await router.infer("alpha", "depth", BODY) for _ in range(200)]
        return tuple([answer.version for answer in each] for each in (named, again, unnamed))

    named, again, unnamed = asyncio.run(scenario())
    assert named == again
    assert 25 <= named.count(2) <= 75
    assert 25 <= unnamed.count(2) <= 75


def test_a_larger_weight_keeps_the_callers_a_canary_had(running, replica_server, serve, store) -> None:
    champion, canary = replica_server(), replica_server()
    serve("alpha", "depth", champion.url, version=1)
    serve("alpha", "depth", canary.url, version=2, side=Side.CANARY, weight=20)

    async def scenario() -> tuple[set[int], set[int], set[int]]:
        async def of_canary(router: Router) -> set[int]:
            answers = [await router.infer("alpha", "depth", BODY, caller=f"unit {n}") for n in range(100)]
            return {number for number, answer in enumerate(answers) if answer.version == 2}

        async with running(reload_every_s=60.0) as router:
            few = await of_canary(router)
            store.deployments.set_weight("alpha", "depth", 60)
            await asyncio.sleep(0.5)  # NOTIFY, not the reload
            many = await of_canary(router)
            store.deployments.set_weight("alpha", "depth", 0)
            await asyncio.sleep(0.5)
            return few, many, await of_canary(router)

    few, many, none = asyncio.run(scenario())
    assert few < many
    assert not none


@pytest.mark.parametrize("fault", ["dead", "draining", "broken", "hang"])
def test_a_failing_canary_costs_no_caller_an_answer(running, replica_server, serve, store, fault) -> None:
    champion, canary = replica_server(), replica_server()
    serve("alpha", "depth", champion.url, version=1)
    number = serve("alpha", "depth", canary.url, version=2, side=Side.CANARY, weight=100)
    canary.status = {"draining": 503, "broken": 500}.get(fault, 200)
    canary.delay_s = 5.0 if fault == "hang" else 0.0
    if fault == "dead":
        canary.stop()

    async def scenario() -> list[int]:
        async with running(deadline_s=2.0) as router:
            return [(await router.infer("alpha", "depth", BODY)).version for _ in range(3)]

    assert asyncio.run(scenario()) == [1, 1, 1]
    told = store.traffic.since(datetime.now(UTC) - timedelta(minutes=1))
    assert (told[number].requests, told[number].errors) == (3, 3)
    assert sum(each.requests for each in told.values()) == 6


def test_a_shadow_is_asked_and_never_heard(running, replica_server, serve, store) -> None:
    champion, shadow = replica_server(), replica_server()
    serve("alpha", "depth", champion.url, version=1)
    serve("alpha", "depth", shadow.url, version=2, side=Side.SHADOW)
    shadow.delay_s = 0.3

    async def scenario() -> tuple[list[int], float]:
        async with running() as router:
            await router.infer("alpha", "depth", BODY)
            began = time.monotonic()
            answers = [await router.infer("alpha", "depth", BODY) for _ in range(60)]
            took = time.monotonic() - began
            shadow.status = 500
            answers.append(await router.infer("alpha", "depth", BODY))
            await asyncio.sleep(0.6)
            return [(answer.version, answer.status) for answer in answers], took

    answers, _ = asyncio.run(scenario())
    assert set(answers) == {(1, 200)}
    assert 1 <= len(shadow.requests) < 60, "what it cannot take is not kept for it"


def test_the_callers_mistakes_are_no_errors_of_the_model(running, replica_server, serve, store) -> None:
    number = serve("alpha", "depth", replica_server().url)

    async def scenario() -> None:
        async with running() as router:
            answer = await router.infer("alpha", "depth", b'{"inputs": {"wrong": 1}}')
            assert answer.status == 422

    asyncio.run(scenario())
    told = store.traffic.since(datetime.now(UTC) - timedelta(minutes=1))[number]
    assert (told.requests, told.errors) == (1, 0)
