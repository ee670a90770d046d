"""Further tokens of a project."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from mlops.access import add_token, revoke_token
from mlops.errors import Conflict, InvalidInput, InvalidName, ProjectNotFound, TokenNotFound
from mlops.store.store import Store
from mlops.store.tokens import Role, token_hash


def test_a_token_is_let_in_under_its_name_until_it_is_revoked(
    store: Store, add_project: Callable[..., str], database_url: str
) -> None:
    add_project("alpha")
    token = add_token(store, "alpha", "grafana", "viewer")
    found = store.tokens.find(token_hash(token))
    assert found is not None
    assert (found.role, found.project, found.name) == (Role.VIEWER, "alpha", "alpha/grafana")
    assert not found.may_change
    assert found.may_use("alpha")
    assert not found.may_use("beta")
    own = store.tokens.find(token_hash("token-of-alpha"))
    assert own is not None
    assert (own.role, own.name, own.may_change) == (Role.MEMBER, "alpha", True)
    with psycopg.connect(database_url) as connection:
        kept = str(connection.execute("SELECT tokens.*, audit.* FROM tokens, audit").fetchall())
    assert token not in kept
    revoke_token(store, "alpha", "grafana")
    assert store.tokens.find(token_hash(token)) is None
    newest, older = store.audit.latest(2)
    assert (newest.who, newest.action, newest.project) == ("admin", "revoke token", "alpha")
    assert (older.action, older.detail) == ("add token", {"name": "grafana", "role": "viewer"})


def test_a_projects_own_token_is_replaced_beside_those_with_names(
    store: Store, add_project: Callable[..., str]
) -> None:
    for project in ("alpha", "beta"):
        add_project(project)
        add_token(store, project, "ada", "member")
    add_token(store, "alpha", "grafana", "viewer")
    store.tokens.put("new-token-of-alpha", Role.MEMBER, "alpha")
    assert store.tokens.find(token_hash("token-of-alpha")) is None
    assert store.tokens.find(token_hash("new-token-of-alpha")) is not None
    listed = [(each.project, each.name, each.role) for each in store.tokens.named()]
    assert listed == [
        ("alpha", "ada", Role.MEMBER), ("alpha", "grafana", Role.VIEWER), ("beta", "ada", Role.MEMBER),
    ]  # fmt: skip
    assert [each.name for each in store.tokens.named("beta")] == ["ada"]
    assert len(store.tokens.hashes()) == 5


def test_what_cannot_be_is_refused(store: Store, add_project: Callable[..., str]) -> None:
    add_project("alpha")
    add_token(store, "alpha", "ada", "viewer")
    for name in ("", "-ada", "Ada", "a b", "ada/", "<script>", "a" * 41):
        with pytest.raises(InvalidName):
            add_token(store, "alpha", name, "viewer")
    for role in ("admin", "owner", ""):
        with pytest.raises(InvalidInput, match="role=") as caught:
            add_token(store, "alpha", "grafana", role)
        assert caught.value.remedy == "Use one of: viewer, member."
    with pytest.raises(Conflict) as taken:
        add_token(store, "alpha", "ada", "member")
    assert "mlops:tokens revoke ada --project alpha" in taken.value.remedy
    for attempt in (
        lambda: add_token(store, "beta", "ada", "viewer"),
        lambda: revoke_token(store, "beta", "ada"),
    ):
        with pytest.raises(ProjectNotFound):
            attempt()
    for name in ("grafana", ""):  # a project's own has no name, and stays
        with pytest.raises(TokenNotFound):
            revoke_token(store, "alpha", name)
    assert store.tokens.find(token_hash("token-of-alpha")) is not None
    assert [(each.name, each.role) for each in store.tokens.named()] == [("ada", Role.VIEWER)]
