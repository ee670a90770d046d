"""Logging in by token and by ticket, and what a session's cookie may do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from mlops.entities import Severity
from mlops.errors import ServiceUnavailable
from mlops.gateway import sessions as sessions_module
from mlops.gateway.sessions import Sessions
from mlops.gateway.tickets import Tickets
from mlops.store.alerts import Begun, Changes
from mlops.store.store import Store
from mlops.store.tokens import Principal, Role, Tokens


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found, page
    return found[1]


def _log_in(client: TestClient, token: str, **form: str):
    form = {"csrf": _csrf(client.get("/login").text), "token": token, **form}
    return client.post("/login", data=form, headers={"Origin": str(client.base_url)})


def test_pasted_token_starts_a_session(anonymous: TestClient) -> None:
    answer = _log_in(anonymous, " token-of-alpha ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = next(value for value in answer.headers.get_list("set-cookie") if "mlops_session" in value)
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "token-of-alpha" not in cookie
    assert anonymous.get("/api/me").json()["project"] == "alpha"
    assert "alpha" in anonymous.get("/").text


def test_wrong_token_is_told_so(anonymous: TestClient) -> None:
    answer = _log_in(anonymous, "wrong<script>")
    assert answer.status_code == 401
    assert "not known here" in answer.text
    assert "<script>" not in answer.text.replace('<script src="/static/theme.js"></script>', "")
    assert anonymous.get("/api/me").status_code == 401


def test_login_form_needs_its_own_csrf_token(anonymous: TestClient) -> None:
    for csrf in ("", "0" * 64):
        assert _log_in(anonymous, "token-of-alpha", csrf=csrf).status_code == 403
    assert anonymous.get("/api/me").status_code == 401


def test_login_leads_only_to_our_own_pages(anonymous: TestClient, subtests: pytest.Subtests) -> None:
    for next_page, location in [
        ("/?project=alpha", "/?project=alpha"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ]:
        with subtests.test(next_page=next_page):
            anonymous.cookies.clear()
            assert _log_in(anonymous, "token-of-alpha", next=next_page).headers["location"] == location
            made = anonymous.post("/api/tickets", headers={"Authorization": "Bearer token-of-alpha"})
            led = anonymous.get(f"{made.json()['url']}&{urlencode({'next': next_page})}")
            assert led.headers["refresh"] == f"0; url={location}"


def test_browser_is_led_to_login_and_back(anonymous: TestClient) -> None:
    answer = anonymous.get("/?project=alpha", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2F%3Fproject%3Dalpha"
    assert 'value="/?project=alpha"' in anonymous.get(answer.headers["location"]).text
    assert anonymous.get("/monitoring").status_code == 401


def test_ticket_lets_in_once(anonymous: TestClient, alpha: TestClient) -> None:
    url = alpha.post("/api/tickets").json()["url"]
    assert "token-of-alpha" not in url
    first = anonymous.get(url)
    # No redirect: followed from a file or another site, it would not carry the session's cookie.
    assert (first.status_code, first.headers["refresh"]) == (200, "0; url=/")
    assert anonymous.get("/api/me").json()["project"] == "alpha"
    anonymous.cookies.clear()
    second = anonymous.get(url)
    assert second.status_code == 401
    assert "has been used" in second.text
    assert anonymous.get("/api/me").status_code == 401


def test_ticket_runs_out() -> None:
    principal = Principal(Role.ADMIN, None)
    assert Tickets(0.0).redeem(Tickets(0.0).issue(principal)) is None
    old = Tickets(0.0)
    assert old.redeem(old.issue(principal)) is None
    fresh = Tickets(60.0)
    assert fresh.redeem(fresh.issue(principal)) == principal
    assert fresh.redeem("") is None


def test_session_changes_nothing_without_our_origin(anonymous: TestClient) -> None:
    _log_in(anonymous, "token-of-alpha")
    path = "/api/projects/alpha/deployments/depth"
    refused = anonymous.put(path, json={"version": 1})
    assert refused.status_code == 403
    assert "Origin" in refused.json()["error"]["message"]
    taken = anonymous.put(path, json={"version": 1}, headers={"Origin": str(anonymous.base_url)})
    assert taken.status_code == 202


def test_bad_token_does_not_fall_back_to_the_session(anonymous: TestClient) -> None:
    _log_in(anonymous, "token-of-alpha")
    assert anonymous.get("/api/me", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_logout_needs_csrf_and_ends_the_session(anonymous: TestClient) -> None:
    _log_in(anonymous, "token-of-alpha")
    origin = {"Origin": str(anonymous.base_url)}
    assert anonymous.post("/logout", data={"csrf": "0" * 64}, headers=origin).status_code == 403
    csrf = _csrf(anonymous.get("/").text)
    assert anonymous.post("/logout", data={"csrf": csrf}, headers=origin).status_code == 303
    assert anonymous.get("/api/me").status_code == 401


def test_forged_and_outlived_cookies_are_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, others = Sessions("one", "http://127.0.0.1:1"), Sessions("two", "http://127.0.0.1:1")
    principal = Principal(Role.MEMBER, "alpha")
    value = ours.issue(principal)
    assert ours.read(value) == principal
    payload, _, signature = value.partition(".")
    for forged in (
        others.issue(principal),
        payload,
        f"{payload}.",
        f"x{payload}.{signature}",
        "",
        ".",
        "é.é",
    ):
        assert ours.read(forged) is None
    assert ours.read(f"{payload}.{ours.csrf(payload)}") is None
    monkeypatch.setattr(sessions_module, "LIFETIME_S", -1)
    assert ours.read(ours.issue(principal)) is None


def test_installations_of_one_host_keep_their_sessions_apart() -> None:
    assert Sessions("k", "http://127.0.0.1:1").cookie != Sessions("k", "http://127.0.0.1:2").cookie


def test_a_viewers_session_shows_no_action_and_a_forged_one_is_refused(
    anonymous: TestClient, viewer: TestClient, store: Store, serve, add_version
) -> None:
    serve("alpha", "depth", "http://127.0.0.1:1")
    add_version("alpha", "depth", 1)
    add_version("alpha", "wear", 1)
    store.run_views.add("alpha", "last week", "since=7d", "alpha")
    began = Begun(
        ("alpha", "drift", "depth"), "column_drift", Severity.WARNING, "wrong", 1.0, 1.0, (), True, True
    )
    store.alerts.apply(Changes(begun=[began]), datetime.now(UTC))
    (alert,) = store.alerts.latest("alpha")
    actions = {
        "/runs?state=failed": "/views/", "/models/alpha/wear": "/deploy?", "/models/alpha/wear/1": "/deploy?",
        "/deployments": "/undeploy", "/deployments/alpha/depth": '/try"', "/monitoring": "/acknowledge",
    }  # fmt: skip
    origin = {"Origin": str(anonymous.base_url)}
    for token, is_shown in (("token-of-alpha", True), ("token-of-a-viewer", False)):
        anonymous.cookies.clear()
        _log_in(anonymous, token)
        for path, action in actions.items():
            shown = re.sub(r'href="[^"]*"', "", anonymous.get(path).text)
            assert (action in shown) is is_shown, (token, path)
    home = anonymous.get("/").text
    assert "viewer of alpha" in home
    csrf = _csrf(home)
    forged = f"/monitoring/alerts/{alert.id}/acknowledge"
    refused = anonymous.post(forged, data={"csrf": csrf}, headers=origin)
    assert refused.status_code == 403
    assert "its role is viewer" in refused.json()["error"]["message"]
    assert anonymous.get(forged).status_code == 403
    assert store.alerts.latest("alpha")[0].acknowledged_by == ""
    assert anonymous.post("/logout", data={"csrf": csrf}, headers=origin).status_code == 303
    anonymous.get(viewer.post("/api/tickets").json()["url"])
    assert anonymous.get("/api/me").json()["role"] == "viewer"


@pytest.fixture
def tokens_are_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.gateway.auth._HASHES_FRESH_S", 0.0)


@pytest.mark.usefixtures("tokens_are_read_each_time")
def test_a_session_ends_with_its_token_and_goes_on_while_postgres_is_away(
    anonymous: TestClient, viewer: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _log_in(anonymous, "token-of-a-viewer")
    page = {"Accept": "text/html"}

    def away(_: Tokens) -> frozenset[str]:
        raise ServiceUnavailable("postgres")

    with monkeypatch.context() as patched:
        patched.setattr(Tokens, "hashes", away)
        assert anonymous.get("/api/me").json()["role"] == "viewer"
    store.tokens.revoke("alpha", "grafana")
    assert anonymous.get("/api/me").status_code == 401
    assert anonymous.get("/", headers=page).headers["location"] == "/login"
    store.tokens.add("another", Role.MEMBER, "alpha", "grafana")
    assert anonymous.get("/api/me").status_code == 401, "a token of the same name is another"
    anonymous.cookies.clear()
    _log_in(anonymous, "another")
    assert anonymous.get("/api/me").json() == {"name": "alpha/grafana", "role": "member", "project": "alpha"}
