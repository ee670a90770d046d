"""The platform as one object."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from mlops import platform as platform_module
from mlops.config import MLOpsConfig
from mlops.entities import DeploymentState
from mlops.errors import (
    ConfigError,
    DeploymentNotFound,
    InvalidInput,
    InvalidName,
    ProjectNotFound,
    ServiceUnavailable,
    Unauthorized,
)
from mlops.platform import Addresses, Platform
from mlops.serving.routing import Router
from mlops.store.store import Store
from mlops.store.tokens import Principal, Role

DEAD = "postgresql://mlops:x@127.0.0.1:1/mlops"


def _dead_platform() -> Platform:
    store = Store(DEAD)
    router = Router(store, database_url=DEAD, replica_secret="")
    return Platform(store, router, lambda: [], Addresses("http://127.0.0.1:1"), session_key="k")


def test_who_connects_after_the_start_is_answered(
    platform: Platform, add_project: Callable[..., str], serve, replica_server
) -> None:
    add_project("alpha")
    serve("alpha", "depth", replica_server().url)

    async def scenario() -> tuple[bool, int]:
        await platform.start()
        try:
            return platform.is_prepared, len(platform._router.replicas("alpha", "depth"))
        finally:
            await platform.stop()

    assert asyncio.run(scenario()) == (True, 1)


def test_a_start_without_postgres_does_not_wait_for_it() -> None:
    async def scenario() -> bool:
        platform = _dead_platform()
        async with asyncio.timeout(4):
            await platform.start()
        try:
            return platform.is_prepared
        finally:
            await platform.stop()

    assert asyncio.run(scenario()) is False


def test_open_before_the_first_start_says_what_to_run(tmp_path) -> None:
    with pytest.raises(ConfigError, match="mlops:"):
        Platform.open(MLOpsConfig(home=tmp_path / "home"))


def test_urls_are_whole(platform: Platform, add_project, add_run, serve) -> None:
    add_project("alpha")
    add_run("alpha", "abc")
    serve("alpha", "depth", "http://127.0.0.1:1")
    (run,) = platform.latest_runs("alpha", 5)
    assert run.url == "http://127.0.0.1:5000/#/experiments/7/runs/abc?workspace=alpha"
    (found,) = platform.deployments()
    assert found.url == f"{platform.addresses.gateway}/projects/alpha/models/depth/predict"
    assert platform.deployment("alpha", "depth") == found
    assert [workspace.project_name for workspace in platform.projects()] == ["alpha"]


def test_the_serving_version_is_the_deployment(platform: Platform, add_project, serve, store) -> None:
    add_project("alpha")
    serve("alpha", "depth", "http://127.0.0.1:1", version=1)
    newer = platform.deploy("alpha", "depth", 2, 1, "me")
    assert platform.deployment("alpha", "depth").version == 1
    store.deployments.advance(newer.id, DeploymentState.RUNNING)
    assert platform.deployment("alpha", "depth").version == 2


def test_names_are_checked_and_unknown_ones_named(platform: Platform, add_project) -> None:
    add_project("alpha")
    with pytest.raises(InvalidName):
        platform.deploy("alpha", "../depth", 1, 1, "me")
    with pytest.raises(InvalidName):
        platform.latest_runs("-alpha")
    with pytest.raises(ProjectNotFound):
        platform.deploy("gamma", "depth", 1, 1, "me")
    with pytest.raises(ProjectNotFound):
        platform.latest_runs("gamma")
    with pytest.raises(DeploymentNotFound):
        platform.undeploy("alpha", "depth", "me")
    with pytest.raises(InvalidInput, match="version"):
        platform.deploy("alpha", "depth", 0, 1, "me")


def test_quota_counts_the_projects_other_models(platform: Platform, add_project, serve) -> None:
    add_project("alpha", quotas={"max_replicas": 3})
    serve("alpha", "depth", "http://127.0.0.1:1", "http://127.0.0.1:2")
    with pytest.raises(InvalidInput, match="has 1 of its 3 left"):
        platform.deploy("alpha", "wear", 1, 2, "me")
    platform.deploy("alpha", "wear", 1, 1, "me")
    platform.undeploy("alpha", "wear", "me")
    platform.deploy("alpha", "depth", 2, 3, "me")


def test_actions_are_written_down(platform: Platform, add_project, store) -> None:
    add_project("alpha")
    platform.deploy("alpha", "depth", 4, 2, "somebody")
    platform.undeploy("alpha", "depth", "somebody else")
    newest, older = store.audit.latest(2)
    assert (newest.who, newest.action, newest.detail) == ("somebody else", "undeploy", {"model": "depth"})
    wish = {"model": "depth", "version": 4, "replicas": "2", "side": "champion", "weight": 0}
    assert (older.who, older.detail) == ("somebody", wish)


def test_callers_are_remembered_for_seconds(platform: Platform, add_project: Callable[..., str]) -> None:
    add_project("alpha")
    assert platform.remembered("token-of-alpha") is None
    assert platform.authenticate("token-of-alpha") == Principal(Role.MEMBER, "alpha")
    assert platform.remembered("token-of-alpha") == Principal(Role.MEMBER, "alpha")
    with pytest.raises(Unauthorized):
        platform.authenticate("wrong")
    assert platform.remembered("wrong") is None


def test_a_known_caller_stays_good_while_postgres_is_away(
    platform: Platform, add_project, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = platform_module._Callers
    monkeypatch.setattr(callers, "FRESH_S", 0.0)
    add_project("alpha")
    platform.authenticate("token-of-alpha")

    def away(self: object, token: str) -> None:
        raise ServiceUnavailable("postgres")

    monkeypatch.setattr("mlops.store.tokens.Tokens.find", away)
    assert platform.remembered("token-of-alpha") is None
    assert platform.authenticate("token-of-alpha").project == "alpha"
    assert platform.remembered("token-of-alpha") is not None, "it is not asked again at once"
    with pytest.raises(ServiceUnavailable):
        platform.authenticate("token-of-beta")
    monkeypatch.setattr(callers, "STALE_S", 0.0)
    with pytest.raises(ServiceUnavailable):
        platform.authenticate("token-of-alpha")


def test_prepares_the_database_when_it_appears(
    platform: Platform, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_there, tries = threading.Event(), []

    def upgrade(self: Store) -> None:
        tries.append(is_there.is_set())
        if not tries[-1]:
            raise ServiceUnavailable("postgres")

    monkeypatch.setattr(Store, "upgrade", upgrade)
    monkeypatch.setattr(platform_module, "_PREPARE_PAUSE_S", 0.01)

    async def scenario() -> None:
        await platform.start()
        with pytest.raises(ServiceUnavailable, match="being prepared"):
            platform.authenticate("token-of-the-admin")
        while len(tries) < 2:
            await asyncio.sleep(0.01)
        is_there.set()
        while not platform.is_prepared:
            await asyncio.sleep(0.01)
        assert platform.authenticate("token-of-the-admin").role is Role.ADMIN
        await platform.stop()

    asyncio.run(scenario())
    assert tries[:2] == [False, False]
    assert tries.count(True) == 1, "what is prepared is not prepared again"


def test_starts_and_stops_at_once_without_postgres() -> None:
    async def scenario() -> None:
        platform = _dead_platform()
        await platform.start()
        await asyncio.sleep(0.05)
        with pytest.raises(ServiceUnavailable):
            await platform.infer("alpha", "depth", b"{}")
        await platform.stop()

    began = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - began < 3
