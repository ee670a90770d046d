"""Saved views of runs by the API: who may keep, see, change and remove them."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from mlops.store.store import Store

HOSTILE = "<script>alert(1)</script>\"'"


def error_of(answer) -> tuple[int, str]:
    assert set(answer.json()) == {"error"}
    return answer.status_code, answer.json()["error"]["type"]


def save(
    client: TestClient, name: str = "failed", project: str | None = "alpha", query: str = "state=FAILED"
):
    return client.post("/api/views", json={"name": name, "project": project, "query": query})


def names(client: TestClient, query: str = "") -> list[str]:
    return [view["name"] for view in client.get(f"/api/views{query}").json()]


def test_a_view_is_kept_renamed_and_removed(alpha: TestClient, store: Store) -> None:
    made = save(alpha, " failed ", query="?column=param:lr&state=FAILED&metric=loss%3C0.1")
    assert made.status_code == 201
    view = made.json()
    assert view | {"id": 0, "made_at": ""} == {
        "id": 0, "project": "alpha", "name": "failed", "made_by": "alpha", "made_at": "",
        "query": "state=FAILED&metric=loss%3C0.1&column=param%3Alr",
    }  # fmt: skip
    path = f"/api/views/{view['id']}"
    assert alpha.patch(path, json={"name": HOSTILE}).json() == view | {"name": HOSTILE}
    assert alpha.patch(path, json={"query": ""}).json() == view | {"name": HOSTILE, "query": ""}
    assert alpha.patch(path, json={}).json() == view | {"name": HOSTILE, "query": ""}
    assert names(alpha) == [HOSTILE]
    assert alpha.delete(path).status_code == 204
    assert names(alpha) == []
    assert error_of(alpha.delete(path)) == (404, "ViewNotFound")
    written = [(each.who, each.action, each.project) for each in store.audit.latest()]
    assert written[0] == ("alpha", "remove view", "alpha")
    assert written[-1] == ("alpha", "save view", "alpha")


def test_a_member_sees_and_changes_its_own_alone(alpha: TestClient, admin: TestClient) -> None:
    own = save(alpha).json()["id"]
    by_admin, of_beta, of_all = (
        save(admin, name, project).json()["id"]
        for name, project in (("by admin", "alpha"), ("secret", "beta"), ("all", None))
    )
    assert names(alpha) == ["by admin", "failed"]
    assert names(admin) == ["all", "by admin", "failed", "secret"]
    assert names(admin, "?project=beta") == ["secret"]
    assert error_of(alpha.get("/api/views?project=beta")) == (403, "Forbidden")
    assert error_of(save(alpha, project="beta")) == (403, "Forbidden")
    assert error_of(save(alpha, project=None)) == (403, "Forbidden")
    for other in (of_beta, of_all):
        path = f"/api/views/{other}"
        assert error_of(alpha.patch(path, json={"name": "x"})) == (404, "ViewNotFound")
        assert error_of(alpha.delete(path)) == (404, "ViewNotFound")
    assert error_of(alpha.patch(f"/api/views/{by_admin}", json={"name": "x"})) == (403, "Forbidden")
    assert error_of(alpha.delete(f"/api/views/{by_admin}")) == (403, "Forbidden")
    assert admin.patch(f"/api/views/{own}", json={"name": "tidied"}).json()["made_by"] == "alpha"
    assert admin.delete(f"/api/views/{own}").status_code == 204


def test_a_name_is_one_views_of_its_project(alpha: TestClient, admin: TestClient) -> None:
    save(alpha)
    other = save(alpha, "other").json()["id"]
    for taken in (save(alpha), save(admin), alpha.patch(f"/api/views/{other}", json={"name": "failed"})):
        assert error_of(taken) == (422, "InvalidInput")
        assert taken.json()["error"]["fields"]["field"] == "name"
    assert save(admin, project="beta").status_code == 201
    assert save(admin, project=None).status_code == 201
    assert error_of(save(admin, project=None)) == (422, "InvalidInput")


WRONG: list[tuple[dict[str, object], str]] = [
    ({"name": ""}, "name"),
    ({"name": "  "}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "\u202eb"}, "name"),
    ({"name": "x" * 61}, "name"),
    ({"query": "state=MOVING"}, "state"),
    ({"query": "metric=loss"}, "metric"),
    ({"query": "sort=speed"}, "sort"),
    ({"query": "since=soon"}, "since"),
    ({"query": "text=%00"}, "text"),
    ({"query": "project=beta"}, "query"),
    ({"query": "cursor=abc"}, "query"),
    ({"query": "text=%ff"}, "query"),
    ({"query": "x" * 4001}, "query"),
    ({"query": 3}, "query"),
    ({"project": "../x"}, "project"),
    ({"by": "me"}, "by"),
]


def test_what_cannot_be_kept_is_named(admin: TestClient) -> None:
    for wrong, field in WRONG:
        answer = admin.post("/api/views", json={"name": "n", "query": "", "project": "alpha"} | wrong)
        assert answer.status_code == 422, wrong
        assert field in str(answer.json()["error"])


def test_what_is_not_there_is_named(admin: TestClient) -> None:
    assert error_of(save(admin, project="gamma")) == (404, "ProjectNotFound")
    assert error_of(admin.get("/api/views?project=..")) == (422, "InvalidName")
    assert error_of(admin.patch("/api/views/999999", json={"name": "x"})) == (404, "ViewNotFound")
    assert admin.delete("/api/views/0").status_code == 422


def test_views_are_not_endless(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.tracking.view_desk.MOST", 2)
    assert [save(admin, name).status_code for name in "ab"] == [201, 201]
    assert error_of(save(admin)) == (422, "InvalidInput")
    assert save(admin, project="beta").status_code == 201


def test_views_go_with_their_project(admin: TestClient, store: Store) -> None:
    save(admin)
    store.projects.remove("alpha")
    assert names(admin) == []


def test_a_dead_database_is_unavailable(alpha: TestClient, platform, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha.get("/api/me")
    monkeypatch.setattr(platform.views, "_store", Store("postgresql://mlops:x@127.0.0.1:1/mlops"))
    for answer in (alpha.get("/api/views"), save(alpha), alpha.delete("/api/views/1")):
        assert error_of(answer) == (503, "ServiceUnavailable")
