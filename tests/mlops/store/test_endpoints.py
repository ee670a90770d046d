"""Champion, canary, shadow and previous of a model, over a real Postgres."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mlops.entities import DeploymentState, Side
from mlops.errors import DeploymentNotFound, InvalidInput
from mlops.store.store import Store
from mlops.store.traffic import EDGES_S, Traffic, TrafficLog

MODEL = ("alpha", "depth")


@pytest.fixture
def sides(store: Store, add_project: Callable[..., str]) -> Callable[[], dict[int, str]]:
    """version -> side, of what is not going; the project alpha exists."""
    add_project("alpha")
    going = (DeploymentState.STOPPING, DeploymentState.FAILED)

    def read() -> dict[int, str]:
        found = (row for row in store.deployments.all("alpha") if row.state not in going)
        return {row.version: row.side.value for row in found}

    return read


def test_a_new_champion_keeps_the_one_before_it_and_no_more(store: Store, sides, serve) -> None:
    for version in (1, 2, 3):
        serve(*MODEL, f"http://127.0.0.1:{version}", version=version)
    assert sides() == {3: "champion", 2: "previous"}
    assert store.deployments.routes()[MODEL].champion.deployment.version == 3


def test_bounds_of_replicas_are_kept_changed_and_counted_against_the_quota(
    store: Store, sides, serve
) -> None:
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    assert store.deployments.want(*MODEL, 1, 1, most=3, quota=3).scale == "1..3"
    assert store.deployments.all("alpha")[0].most_replicas == 3
    for replicas, most in ((1, None), (1, 2)):
        with pytest.raises(InvalidInput, match="has 0 of its 3 left"):
            store.deployments.want("alpha", "other", 1, replicas, most=most, quota=3)
    assert store.deployments.want(*MODEL, 1, 2, quota=3).scale == "2"


def test_the_previous_one_goes_as_soon_as_a_new_version_is_wanted(store: Store, sides, serve) -> None:
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    serve(*MODEL, "http://127.0.0.1:2", version=2)
    store.deployments.want(*MODEL, 3, 1)
    assert sides() == {3: "champion", 2: "champion"}
    assert store.deployments.routes()[MODEL].champion.deployment.version == 2, "until 3 runs"


def test_rollback_and_rollback_of_it(store: Store, sides, serve) -> None:
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    serve(*MODEL, "http://127.0.0.1:2", version=2)
    assert store.deployments.rollback(*MODEL).version == 1
    assert sides() == {1: "champion", 2: "previous"}
    assert store.deployments.routes()[MODEL].champion.deployment.version == 1
    store.deployments.rollback(*MODEL)
    assert sides() == {2: "champion", 1: "previous"}


def test_a_canary_is_weighed_promoted_and_replaced(store: Store, sides, serve) -> None:
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    serve(*MODEL, "http://127.0.0.1:2", version=2, side=Side.CANARY, weight=10)
    assert store.deployments.set_weight(*MODEL, 25).weight == 25
    route = store.deployments.routes()[MODEL]
    assert route.canary is not None
    assert (route.champion.deployment.version, route.canary.deployment.weight) == (1, 25)
    serve(*MODEL, "http://127.0.0.1:3", version=3, side=Side.CANARY)
    assert sides() == {1: "champion", 3: "canary"}, "one canary at a time"
    promoted = store.deployments.promote(*MODEL)
    assert (promoted.version, promoted.side, promoted.weight) == (3, Side.CHAMPION, 0)
    assert sides() == {3: "champion", 1: "previous"}


def test_any_running_version_can_be_promoted(store: Store, sides, serve) -> None:
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    serve(*MODEL, "http://127.0.0.1:2", version=2, side=Side.SHADOW)
    assert store.deployments.routes()[MODEL].shadow is not None
    store.deployments.promote(*MODEL, 2)
    assert sides() == {2: "champion", 1: "previous"}
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    assert sides() == {1: "champion", 2: "previous"}, "a wish for the previous one is a rollback"


def test_a_canary_that_is_wanted_as_champion_becomes_it_at_once(store: Store, sides, serve) -> None:
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    serve(*MODEL, "http://127.0.0.1:2", version=2, side=Side.CANARY, weight=5)
    made = store.deployments.want(*MODEL, 2, 1)
    assert (made.state, made.side) == (DeploymentState.RUNNING, Side.CHAMPION)
    assert sides() == {2: "champion", 1: "previous"}


def test_what_cannot_be_is_named(store: Store, sides, serve) -> None:
    deployments = store.deployments
    for verb in (deployments.promote, deployments.rollback):
        with pytest.raises(DeploymentNotFound):
            verb(*MODEL)
    with pytest.raises(InvalidInput, match="needs a champion beside it"):
        deployments.want(*MODEL, 1, 1, side=Side.CANARY)
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    with pytest.raises(InvalidInput, match="is the champion"):
        deployments.want(*MODEL, 1, 1, side=Side.SHADOW)
    with pytest.raises(InvalidInput, match="has no canary"):
        deployments.promote(*MODEL)
    with pytest.raises(InvalidInput, match="is not deployed") as caught:
        deployments.promote(*MODEL, 7)
    assert caught.value.remedy == "Deployed: 1 (champion, running)."
    with pytest.raises(InvalidInput, match="no previous version to go back to"):
        deployments.rollback(*MODEL)
    for absent in (lambda: deployments.set_weight(*MODEL, 5), lambda: deployments.end(*MODEL, Side.SHADOW)):
        with pytest.raises(DeploymentNotFound):
            absent()
    deployments.want(*MODEL, 2, 1, side=Side.CANARY)
    with pytest.raises(InvalidInput, match="is pending, and answers nobody yet"):
        deployments.promote(*MODEL)
    assert sides() == {1: "champion", 2: "canary"}, "nothing was changed"


def test_a_side_ends_alone_and_a_failing_canary_is_withdrawn(store: Store, sides, serve) -> None:
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    canary = serve(*MODEL, "http://127.0.0.1:2", version=2, side=Side.CANARY, weight=5)
    assert store.deployments.withdraw(canary, "withdrawn: too slow")
    assert not store.deployments.withdraw(canary, "again")
    found = store.deployments.get(canary)
    assert found is not None
    assert (found.state, found.error, found.weight) == (DeploymentState.FAILED, "withdrawn: too slow", 0)
    serve(*MODEL, "http://127.0.0.1:3", version=3, side=Side.SHADOW)
    assert store.deployments.end(*MODEL, Side.SHADOW).version == 3
    assert sides() == {1: "champion"}


def test_canaries_count_in_the_quota_and_previous_ones_do_not(store: Store, sides, serve) -> None:
    serve(*MODEL, "http://127.0.0.1:1", version=1)
    serve(*MODEL, "http://127.0.0.1:2", version=2)
    assert store.deployments.want("alpha", "wear", 1, 1, quota=2).version == 1
    with pytest.raises(InvalidInput, match="has 0 of its 2 left"):
        store.deployments.want(*MODEL, 3, 1, side=Side.CANARY, quota=2)


def test_previous_ones_make_room_oldest_first(store: Store, sides, serve) -> None:
    for model in ("depth", "wear"):
        for version in (1, 2):
            serve("alpha", model, f"http://127.0.0.1:{version}", version=version)
    assert [store.deployments.make_room() for _ in range(3)] == [True, True, False]
    left = {(row.model, row.version) for row in store.deployments.all() if row.state == "running"}
    assert left == {("depth", 2), ("wear", 2)}


def test_traffic_of_several_gateways_adds_up(store: Store, sides, serve) -> None:
    number = serve(*MODEL, "http://127.0.0.1:1")
    at = datetime.now(UTC)
    for seconds, failed in ((0.004, False), (0.004, False), (40.0, True)):
        traffic = Traffic()
        traffic.record(seconds, failed=failed)
        store.traffic.add({number: traffic, 999_999: traffic}, at)
    found = store.traffic.since(at - timedelta(seconds=TrafficLog.WINDOW_S))
    assert list(found) == [number], "of no deployment that is gone"
    assert (found[number].requests, found[number].errors) == (3, 1)
    assert sum(found[number].latencies) == 3
    assert found[number].quantile(0.5) == 0.005
    assert found[number].quantile(0.99) == float("inf")
    assert store.traffic.since(at + timedelta(minutes=1)) == {}
    store.traffic.add({number: traffic}, at - timedelta(days=3))
    store.traffic.forget_old()
    assert store.traffic.since(at - timedelta(days=9))[number].requests == 3
    assert len(found[number].latencies) == len(EDGES_S) + 1
