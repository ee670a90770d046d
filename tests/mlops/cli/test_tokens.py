"""mlops:tokens: add, list, revoke."""

from __future__ import annotations

import pytest

from mlops.installation import Installation
from mlops.store.store import Store
from mlops.store.tokens import Role, token_hash


def test_a_token_is_added_shown_once_listed_and_revoked(
    invoke, installation: Installation, store: Store, add_project, database_url: str, monkeypatch
) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", database_url)
    add_project("alpha")
    assert "mlops:tokens add" in invoke("mlops:tokens", "list").out
    added = invoke("mlops:tokens", "add", "grafana", "-p", "alpha")
    assert added.code == 0, added.err
    token = added.out.strip()  # alone, so that it can be written to a file
    principal = store.tokens.find(token_hash(token))
    assert principal is not None
    assert (principal.role, principal.project) == (Role.VIEWER, "alpha")
    assert "grafana is a viewer of alpha" in added.err
    as_json = invoke("mlops:tokens", "add", "ada", "-p", "alpha", "--role", "member", "--json")
    assert {**as_json.json, "token": ""} == {"project": "alpha", "name": "ada", "role": "member", "token": ""}
    listed = invoke("mlops:tokens", "list", "-p", "alpha")
    assert [line.split()[:3] for line in listed.out.splitlines()] == [
        ["PROJECT", "NAME", "ROLE"], ["alpha", "ada", "member"], ["alpha", "grafana", "viewer"],
    ]  # fmt: skip
    rows = invoke("mlops:tokens", "list", "--json")
    assert [(row["name"], row["role"]) for row in rows.json] == [("ada", "member"), ("grafana", "viewer")]
    assert token not in listed.out + rows.out
    assert (
        invoke("mlops:tokens", "revoke", "grafana", "-p", "alpha").out
        == "grafana of alpha is let in no more.\n"
    )
    assert store.tokens.find(token_hash(token)) is None
    for code, *arguments in (
        (4, "revoke", "grafana", "-p", "alpha"),
        (4, "add", "grafana", "-p", "beta"),
        (4, "list", "-p", "beta"),
        (5, "add", "ada", "-p", "alpha"),
        (3, "add", "grafana", "-p", "alpha", "--role", "owner"),
        (3, "add", "Grafana", "-p", "alpha"),
    ):
        refused = invoke("mlops:tokens", *arguments, "--json")
        assert (refused.code, bool(refused.json["error"]["remedy"])) == (code, True), arguments


def test_help_of_each_has_an_example_and_json(invoke) -> None:
    for name in ("add", "list", "revoke"):
        told = invoke("mlops:tokens", name, "--help").out
        assert "Example: " in told
        assert "--json" in told


def test_before_the_first_start_and_outside_a_project_it_says_what_to_do(
    invoke, tmp_path, monkeypatch
) -> None:
    assert (refused := invoke("mlops:tokens", "list")).code == 3
    assert "mlops:" in refused.err
    monkeypatch.chdir(tmp_path)
    assert (refused := invoke("mlops:tokens", "revoke", "ada")).code == 4
    assert "no project was named or found" in refused.err


@pytest.mark.parametrize("arguments", [["add"], ["revoke"], ["add", "a", "b"]], ids=str)
def test_wrong_usage_exits_with_2(invoke, arguments: list[str]) -> None:
    assert invoke("mlops:tokens", *arguments).code == 2
