"""Every route is closed to strangers, and to members of another project."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from starlette.routing import Mount
from starlette.testclient import TestClient

from mlops.errors import Forbidden, MLOpsError
from mlops.gateway.auth import OPEN_PATHS
from mlops.gateway.roles import SAFE_METHODS, VIEWERS_POSTS

KNOWN = {
    ("GET", "/"),
    ("GET", "/api/services"),
    ("PUT", "/api/projects/{project}/deployments/{model}"),
    ("POST", "/projects/{project}/models/{model}/predict"),
    ("POST", "/api/tickets"),
    ("GET", "/openapi.json"),
}


def _routes(routes) -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/frame.css"
            continue
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _routes(included.routes)
            continue
        for method in route.methods:
            yield method, route.path


@pytest.fixture
def routes(app: FastAPI) -> list[tuple[str, str]]:
    found = sorted(set(_routes(app.routes)))
    assert set(found) >= KNOWN, "the enumeration misses routes"
    return found


def _filled(path: str, project: str) -> str:
    return re.sub(r"\{[^}]*\}", "depth", path.replace("{project}", project))


def test_strangers_get_401_everywhere(anonymous: TestClient, routes) -> None:
    for method, path in routes:
        if path in OPEN_PATHS:
            continue
        answer = anonymous.request(method, _filled(path, "alpha"))
        assert answer.status_code == 401, (method, path)
        if method != "HEAD":
            assert answer.json()["error"]["type"] == "Unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_strangers_learn_nothing_of_what_exists(anonymous: TestClient, subtests: pytest.Subtests) -> None:
    for path in ["/nowhere", "/docs", "/redoc", "/static/", "/static/../pages.py", "//health"]:
        with subtests.test(path=path):
            assert anonymous.get(path).status_code == 401


def test_bad_tokens_get_401(anonymous: TestClient, subtests: pytest.Subtests) -> None:
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic dG9rZW4tb2YtYWxwaGE6",
        "token-of-alpha",
        "Bearer \xff",
    ]:
        with subtests.test(authorization=authorization):
            answer = anonymous.get("/api/me", headers={"Authorization": authorization.encode("latin-1")})
            assert answer.status_code == 401


def test_open_paths_are_these(anonymous: TestClient) -> None:
    assert {path for path in OPEN_PATHS if not path.startswith("/static/")} == {"/health", "/login"}
    for path in OPEN_PATHS:
        assert anonymous.get(path).status_code == 200, path


def test_every_project_route_refuses_the_other_project(alpha: TestClient, routes) -> None:
    checked = [(method, path) for method, path in routes if "{project}" in path]
    assert len(checked) >= 5
    for method, path in checked:
        for project in ("beta", "not-registered"):
            answer = alpha.request(method, _filled(path, project), json={"version": 1})
            assert answer.status_code == 403, (method, path)
            assert answer.json()["error"]["type"] == "Forbidden"


def test_a_forged_workspace_header_changes_nothing(alpha: TestClient) -> None:
    answer = alpha.get("/api/projects/beta", headers={"X-MLFLOW-WORKSPACE": "beta", "X-Project": "beta"})
    assert answer.status_code == 403


def test_lists_hold_only_the_members_project(
    alpha: TestClient, admin: TestClient, serve: Callable[..., int]
) -> None:
    for project in ("alpha", "beta"):
        serve(project, "depth", "http://127.0.0.1:1")
    assert [row["project_name"] for row in alpha.get("/api/projects").json()] == ["alpha"]
    assert [row["project"] for row in alpha.get("/api/deployments").json()] == ["alpha"]
    assert "beta" not in alpha.get("/").text
    for accept in ("text/html", "*/*"):
        asked = alpha.get("/?project=beta", headers={"Accept": accept})
        assert asked.status_code == 403
        assert "may not use project" in asked.text
        assert "projects/beta/" not in asked.text
    assert {row["deployment"]["project"] for row in alpha.get("/api/endpoints").json()} == {"alpha"}
    assert [row["workspace"]["project_name"] for row in alpha.get("/api/overview").json()] == ["alpha"]
    for path in ("/api/overview", "/api/endpoints", "/api/silences"):
        assert alpha.get(f"{path}?project=beta").status_code == 403
    assert [row["project_name"] for row in admin.get("/api/projects").json()] == ["alpha", "beta"]
    assert len(admin.get("/api/deployments").json()) == 2


def test_member_changes_nothing_of_the_other_project(
    alpha: TestClient, admin: TestClient, serve: Callable[..., int], replica_server
) -> None:
    replica = replica_server()
    serve("beta", "depth", replica.url)
    path = "/api/projects/beta/deployments/depth"
    assert alpha.put(path, json={"version": 2}).status_code == 403
    assert alpha.delete(path).status_code == 403
    predicted = alpha.post("/projects/beta/models/depth/predict", json={"inputs": {"x": [1]}})
    assert predicted.status_code == 403
    assert replica.requests == []
    assert admin.get(path).json()["state"] == "running"


def _with_numbers(path: str) -> str:
    return _filled(re.sub(r"\{(number|version)[^}]*\}", "1", path), "alpha")


def test_a_viewer_changes_nothing_and_sees_what_a_member_sees(
    alpha: TestClient, viewer: TestClient, routes, serve: Callable[..., int], replica_server, monkeypatch
) -> None:
    monkeypatch.setattr("mlops.gateway.streams.LONGEST_S", 0.0)
    replica = replica_server()
    serve("alpha", "depth", replica.url)
    asks = {
        path for method, path in routes if method == "POST" and not path.startswith(("/api/", "/projects/"))
    }
    asks |= {"/deployments/{project}/{model}/try", "/runs/archived"}
    seen = []
    for method, path in routes:
        if path in VIEWERS_POSTS:
            continue
        answer = viewer.request(method, _with_numbers(path), headers={"Accept": "application/json"})
        if method not in SAFE_METHODS or path in asks:
            assert answer.status_code == 403, (method, path)
            assert "its role is viewer" in answer.json()["error"]["message"], (method, path)
        else:
            same = alpha.request(method, _with_numbers(path), headers={"Accept": "application/json"})
            assert answer.status_code == same.status_code, (method, path)
            seen += [path] * (answer.status_code == 200)
    assert len(set(seen)) > 40
    assert replica.requests == []
    assert set(VIEWERS_POSTS) == {"/login", "/logout", "/api/tickets"}


def test_a_viewers_refusal_names_role_and_remedy(viewer: TestClient, anonymous: TestClient) -> None:
    refused = viewer.put("/api/projects/alpha/deployments/depth", content=b"no JSON")
    error = MLOpsError.from_json(refused.json())
    assert isinstance(error, Forbidden)
    assert error.message.endswith(
        "PUT /api/projects/alpha/deployments/depth: its role is viewer, which only reads"
    )
    assert error.remedy == "Use a member's token of project 'alpha', or an admin's."
    asked = anonymous.post("/invocations", auth=("alpha/depth", "token-of-a-viewer"))
    assert "its role is viewer" in asked.json()["error"]["message"]
    assert viewer.post("/nowhere").status_code == 403
    assert viewer.get("/api/projects/beta").status_code == 403
    assert viewer.get("/api/me").json() == {"name": "alpha/grafana", "role": "viewer", "project": "alpha"}


def test_revoked_token_is_refused_within_seconds(alpha: TestClient, store, monkeypatch) -> None:
    from mlops.platform import _Callers

    monkeypatch.setattr(_Callers, "FRESH_S", 0.0)
    assert alpha.get("/api/me").json() == {"name": "alpha", "role": "member", "project": "alpha"}
    store.projects.remove("alpha")
    assert alpha.get("/api/me").status_code == 401


def test_forged_host_is_refused_on_every_path(admin: TestClient, subtests: pytest.Subtests) -> None:
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "evil.example:80",
        "[::1",
        "127.0.0.1@evil.example",
    ]:
        with subtests.test(host=host):
            for path in ("/health", "/login", "/api/me"):
                answer = admin.get(path, headers={"Host": host})
                assert answer.status_code == 403
                assert answer.json()["error"]["type"] == "Forbidden"


def test_loopback_names_are_taken(admin: TestClient, subtests: pytest.Subtests) -> None:
    for host in ["localhost", "127.0.0.1:9", "[::1]:9"]:
        with subtests.test(host=host):
            assert admin.get("/api/me", headers={"Host": host}).status_code == 200


def test_foreign_origin_is_refused(admin: TestClient, subtests: pytest.Subtests) -> None:
    for method in ["GET", "POST", "PUT", "DELETE"]:
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"]:
            with subtests.test(method=method, origin=origin):
                answer = admin.request(
                    method, "/api/projects/alpha/deployments/depth", headers={"Origin": origin}
                )
                assert answer.status_code == 403


def test_own_origin_is_taken(admin: TestClient) -> None:
    assert admin.post("/api/tickets", headers={"Origin": str(admin.base_url)}).status_code == 200
