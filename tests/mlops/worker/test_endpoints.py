"""Canaries under guard, and MLflow's alias `champion` followed, over a real Postgres."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import mlflow
import psycopg
import pytest

from mlops.entities import DeploymentState, Side
from mlops.errors import ServiceUnavailable
from mlops.store.aliases import Wish
from mlops.store.store import Store
from mlops.store.traffic import Traffic
from mlops.tracking.admin import MLflowAdmin
from mlops.worker.alias_mover import AliasMover
from mlops.worker.aliases import AliasFollower
from mlops.worker.guard import CanaryGuard


def answered(store: Store, deployment: int, requests: int, errors: int = 0) -> None:
    traffic = Traffic()
    for number in range(requests):
        traffic.record(0.004, failed=number < errors)
    store.traffic.add({deployment: traffic})


@pytest.fixture
def beside(store: Store, add_project: Callable[..., str], serve: Callable[..., int]) -> tuple[int, int]:
    """A champion and a canary with 20 % of the callers."""
    add_project("alpha")
    champion = serve("alpha", "depth", "http://127.0.0.1:1", version=1)
    return champion, serve("alpha", "depth", "http://127.0.0.1:2", version=2, side=Side.CANARY, weight=20)


def test_a_canary_that_fails_is_withdrawn_with_the_evidence(store: Store, beside: tuple[int, int]) -> None:
    champion, canary = beside
    guard = CanaryGuard(store)
    answered(store, champion, 400)
    answered(store, canary, 99, 50)
    assert guard.look() == 0, "too few requests"
    answered(store, canary, 10, 10)
    assert guard.look() == 1
    found = store.deployments.get(canary)
    assert found is not None
    assert found.state is DeploymentState.FAILED
    assert found.error == "withdrawn: 60 of its 109 requests failed, of the champion's 0 of 400"
    (entry,) = store.audit.latest()
    assert (entry.who, entry.action, entry.detail["version"]) == ("worker", "withdraw", 2)
    assert entry.detail["canary"] == {"requests": 109, "errors": 60, "p50_s": 0.005, "p95_s": 0.005}
    route = store.deployments.routes()["alpha", "depth"]
    assert (route.champion.deployment.version, route.canary) == (1, None)
    assert guard.look() == 0


def test_a_projects_own_limits_count(store: Store, add_project, serve) -> None:
    add_project("alpha", serving={"canary_min_requests": 1000, "allow_pickle": False})
    champion = serve("alpha", "depth", "http://127.0.0.1:1", version=1)
    canary = serve("alpha", "depth", "http://127.0.0.1:2", version=2, side=Side.CANARY, weight=20)
    answered(store, champion, 5000)
    answered(store, canary, 900, 900)
    assert CanaryGuard(store).look() == 0


def test_shadows_and_canaries_without_a_champion_are_not_judged(store: Store, add_project, serve) -> None:
    add_project("alpha")
    champion = serve("alpha", "depth", "http://127.0.0.1:1", version=1)
    shadow = serve("alpha", "depth", "http://127.0.0.1:2", version=2, side=Side.SHADOW)
    for number in (champion, shadow):
        answered(store, number, 500, 500)
    assert CanaryGuard(store).look() == 0


@pytest.fixture
def move(mlflow_database: mlflow.MlflowClient, mlflow_database_url: str) -> Callable[[str, int], None]:
    """Points the alias champion of a model of `alpha` at a version, in MLflow's database."""

    def point(model: str, version: int) -> None:
        # The client's store has made the tables; the rows are those that MLflow writes for a workspace.
        with psycopg.connect(mlflow_database_url) as connection:
            connection.execute(
                "INSERT INTO registered_models (name, workspace) VALUES (%s, 'alpha') ON CONFLICT DO NOTHING",
                [model],
            )
            connection.execute(
                "DELETE FROM registered_model_aliases WHERE name = %s AND workspace = 'alpha'", [model]
            )
            connection.execute(
                "INSERT INTO registered_model_aliases (alias, version, name, workspace)"
                " VALUES ('champion', %s, %s, 'alpha')",
                [version, model],
            )

    return point


def test_the_alias_promotes_what_runs_and_deploys_what_does_not(
    store: Store, beside: tuple[int, int], move, mlflow_database_url: str
) -> None:
    follower = AliasFollower(store, mlflow_database_url, calm_s=0)
    move("depth", 1)
    assert follower.look() == 0, "it serves"
    move("depth", 2)
    move("depth", 1)
    assert follower.look() == 0
    store.deployments.promote("alpha", "depth", 2)
    move("depth", 2)
    move("depth", 1)
    assert follower.look() == 1, "moved away and back between two looks"
    assert store.deployments.routes()["alpha", "depth"].champion.deployment.version == 1
    move("depth", 2)
    assert follower.look() == 1
    assert store.deployments.routes()["alpha", "depth"].champion.deployment.version == 2
    move("depth", 3)
    assert AliasFollower(store, mlflow_database_url, calm_s=0).look() == 1, "another worker goes on"
    wanted = store.deployments.all("alpha")[0]
    assert (wanted.version, wanted.state, wanted.side) == (3, DeploymentState.PENDING, Side.CHAMPION)
    assert follower.look() == 0
    told = [(entry.who, entry.action, entry.detail["version"]) for entry in store.audit.latest()]
    assert told == [
        ("mlflow alias", "deploy", 3),
        ("mlflow alias", "promote", 2),
        ("mlflow alias", "promote", 1),
    ]


def test_our_own_commands_are_not_done_twice(store: Store, beside, move, mlflow_database_url: str) -> None:
    follower = AliasFollower(store, mlflow_database_url, calm_s=0)
    move("depth", 1)
    follower.look()
    store.deployments.promote("alpha", "depth")
    assert follower.look() == 0
    move("depth", 2)  # as the client does after the promotion
    assert follower.look() == 0
    store.deployments.rollback("alpha", "depth")
    move("depth", 1)
    assert follower.look() == 0


def test_two_commands_close_together_are_not_undone(
    store: Store, beside: tuple[int, int], move, mlflow_database_url: str
) -> None:
    follower = AliasFollower(store, mlflow_database_url, calm_s=1.0)
    move("depth", 1)
    follower.look()
    store.deployments.promote("alpha", "depth", 2)
    move("depth", 2)
    store.deployments.rollback("alpha", "depth")
    assert follower.look() == 0, "the rollback has not moved the alias yet"
    move("depth", 1)
    time.sleep(1.1)
    assert follower.look() == 0
    assert store.deployments.routes()["alpha", "depth"].champion.deployment.version == 1
    move("depth", 2)
    assert follower.look() == 1, "another's wish, of a champion that was left alone for long enough"


def test_models_that_are_not_served_stay_so(store: Store, add_project, move, mlflow_database_url) -> None:
    add_project("alpha")
    follower = AliasFollower(store, mlflow_database_url, calm_s=0)
    model = uuid.uuid4().hex
    move(model, 1)
    follower.look()
    move(model, 2)
    assert follower.look() == 0
    assert store.deployments.all() == []


def test_a_database_that_is_not_there_is_named(store: Store, add_project, free_port: int) -> None:
    add_project("alpha")
    with pytest.raises(ServiceUnavailable, match="postgres"):
        AliasFollower(store, f"postgresql://nobody@127.0.0.1:{free_port}/mlflow").look()


@pytest.fixture
def asked(store: Store) -> tuple[list[tuple[str, str, str, int]], AliasMover]:
    """A mover, and what it has asked MLflow; which knows of no version from 90 on."""
    asked = []

    class Admin(MLflowAdmin):
        def set_alias(self, namespace: str, model: str, alias: str, version: int) -> bool:
            asked.append((namespace, model, alias, version))
            return version < 90

    return asked, AliasMover(store, lambda: Admin(url="http://127.0.0.1:1", username="", password=""))


def test_a_promotion_by_the_api_moves_the_alias(platform, beside, asked) -> None:
    asked, mover = asked
    platform.promote("alpha", "depth", 2, "ada")
    assert (mover.look(), mover.look()) == (1, 0)
    platform.rollback("alpha", "depth", "ada")
    assert mover.look() == 1
    assert asked == [("alpha", "depth", "champion", 2), ("alpha", "depth", "champion", 1)]


def test_a_wish_that_is_overtaken_or_cannot_be_met_is_dropped(store: Store, beside, serve, asked) -> None:
    asked, mover = asked
    store.aliases.want("alpha", "depth", 2)
    assert (mover.look(), asked, store.aliases.wishes()) == (0, [], {}), "it is no champion"
    serve("alpha", "wear", "http://127.0.0.1:3", version=90)
    store.aliases.want("alpha", "wear", 90)
    assert (mover.look(), store.aliases.wishes()) == (0, {})


def test_a_wish_waits_while_mlflow_is_away(store: Store, beside, free_port: int) -> None:
    mover = AliasMover(
        store, lambda: MLflowAdmin(url=f"http://127.0.0.1:{free_port}", username="a", password="b")
    )
    store.aliases.want("alpha", "depth", 1)
    assert (mover.look(), mover.look()) == (0, 0)
    assert store.aliases.wishes() == {("alpha", "depth"): Wish(1, None)}
    store.aliases.done(("alpha", "depth"), Wish(2, None))
    assert store.aliases.wishes() == {("alpha", "depth"): Wish(1, None)}, "another version is wanted by now"


def test_an_alias_that_somebody_moved_meanwhile_is_followed(
    store: Store, platform, beside, asked, move, mlflow_database_url: str
) -> None:
    asked, mover = asked
    follower = AliasFollower(store, mlflow_database_url, calm_s=0)
    mover._read = follower.read
    move("depth", 1)
    follower.look()
    platform.promote("alpha", "depth", 2, "ada")
    assert (mover.look(), len(asked)) == (1, 1), "it stood still"
    move("depth", 2)
    follower.look()
    platform.rollback("alpha", "depth", "ada")
    move("depth", 2)
    assert (mover.look(), len(asked), store.aliases.wishes()) == (0, 1, {})
    assert follower.look() == 1
    assert store.deployments.routes()["alpha", "depth"].champion.deployment.version == 2
    store.aliases.want("alpha", "depth", 2)
    assert (mover.look(), len(asked), store.aliases.wishes()) == (0, 1, {}), "it is there already"


@pytest.fixture
def round_of_worker(store: Store, move, mlflow_database_url: str) -> Callable[[], None]:
    """The mover and the follower look, one after the other; MLflow does what the mover asks for."""

    class Admin(MLflowAdmin):
        def set_alias(self, namespace: str, model: str, alias: str, version: int) -> bool:
            move(model, version)
            return True

    follower = AliasFollower(store, mlflow_database_url, calm_s=0)
    mover = AliasMover(
        store, lambda: Admin(url="http://127.0.0.1:1", username="", password=""), follower.read
    )

    def look() -> None:
        mover.look()
        follower.look()

    return look


def champion_and_alias(store: Store, url: str) -> tuple[int, int]:
    champion = store.deployments.routes()["alpha", "depth"].champion
    return champion.deployment.version, AliasFollower(store, url).read()["alpha", "depth"].version


def test_a_rollback_soon_after_a_promotion_stays(
    store: Store, platform, beside, move, round_of_worker, mlflow_database_url: str
) -> None:
    move("depth", 1)
    round_of_worker()
    platform.promote("alpha", "depth", 2, "ada")
    round_of_worker()
    assert champion_and_alias(store, mlflow_database_url) == (2, 2)
    platform.rollback("alpha", "depth", "ada")
    round_of_worker()
    round_of_worker()
    assert champion_and_alias(store, mlflow_database_url) == (1, 1), "the promotion's own move is no wish"


def test_an_alias_that_was_moved_before_a_command_is_overruled(
    store: Store, platform, beside, move, round_of_worker, mlflow_database_url: str
) -> None:
    move("depth", 1)
    round_of_worker()
    platform.promote("alpha", "depth", 2, "ada")
    move("depth", 2)  # as the client does, after the promotion; nobody has looked yet
    platform.rollback("alpha", "depth", "ada")
    round_of_worker()
    round_of_worker()
    assert champion_and_alias(store, mlflow_database_url) == (1, 1)
    move("depth", 2)
    round_of_worker()
    assert champion_and_alias(store, mlflow_database_url) == (2, 2), "moved after it, it is a wish"


def test_an_overruled_alias_that_cannot_be_moved_is_not_followed(
    store: Store, platform, beside, move, mlflow_database_url: str
) -> None:
    class Refusing(MLflowAdmin):
        def set_alias(self, namespace: str, model: str, alias: str, version: int) -> bool:
            return False

    follower = AliasFollower(store, mlflow_database_url, calm_s=0)
    mover = AliasMover(
        store, lambda: Refusing(url="http://127.0.0.1:1", username="", password=""), follower.read
    )
    move("depth", 1)
    follower.look()
    platform.promote("alpha", "depth", 2, "ada")
    move("depth", 2)
    platform.rollback("alpha", "depth", "ada")
    assert follower.look() == 0, "the wish waits, as while MLflow is away"
    assert (mover.look(), follower.look()) == (0, 0)
    assert champion_and_alias(store, mlflow_database_url) == (1, 2)


def test_an_overruled_alias_is_not_followed_where_the_wish_is_dropped(
    store: Store, beside, asked, move, mlflow_database_url: str
) -> None:
    asked, mover = asked
    follower = AliasFollower(store, mlflow_database_url, calm_s=0)
    mover._read = follower.read
    move("depth", 2)
    store.aliases.command("alpha", "depth", 3)  # which is no champion any more
    assert (mover.look(), asked, store.aliases.wishes()) == (0, [], {})
    assert follower.look() == 0
    assert champion_and_alias(store, mlflow_database_url) == (1, 2)


@pytest.mark.parametrize(
    ("command", "stamp", "is_after"),
    [
        (7, 6, True),
        (7, 8, False),
        (7, 7, False),
        (3, 2**32 - 3, True),
        (2**32 - 3, 3, False),
        (None, 6, False),
    ],
)
def test_transactions_are_counted_around(command: int | None, stamp: int, is_after: bool) -> None:
    assert Wish(1, command).is_after(stamp) is is_after
