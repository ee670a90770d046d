"""Registered models over HTTP, changes of what serves from the dashboard, and the form that asks a model."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mlops.entities import Side
from mlops.platform import Platform
from mlops.store.store import Store
from mlops.store.traffic import Traffic


@pytest.fixture
def depth(add_version, add_run, serve, client_of) -> tuple[int, int]:
    """Versions 1 to 3 of alpha's depth: the first is the champion, the second its canary."""
    for number in (1, 2, 3):
        add_run("alpha", f"r{number}", name=f"run {number}", metrics={"mae": number / 10, "system/gpu": 1.0})
        aliases = ("champion",) if number == 1 else ()
        add_version("alpha", "depth", number, run_id=f"r{number}", aliases=aliases, tags={"flavor": "onnx"})
    champion = serve("alpha", "depth", "http://127.0.0.1:1", version=1)
    return champion, serve("alpha", "depth", "http://127.0.0.1:2", version=2, side=Side.CANARY, weight=20)


@pytest.fixture
def logged_in(anonymous: TestClient, app: FastAPI):
    """A browser's client of a token's holder, and the CSRF token of its forms."""

    def enter(token: str) -> tuple[TestClient, str]:
        client = TestClient(app, base_url=str(anonymous.base_url), follow_redirects=False)
        client.portal = anonymous.portal
        form = client.get("/login").text
        csrf = re.search(r'name="csrf" value="(\w*)"', form)
        origin = {"Origin": str(anonymous.base_url).rstrip("/")}
        client.post("/login", data={"token": token, "csrf": csrf[1] if csrf else ""}, headers=origin)
        found = re.search(r'name="csrf" value="(\w+)"', client.get("/deployments").text)
        assert found is not None
        client.headers.update(origin)
        return client, found[1]

    return enter


def test_models_and_versions(alpha: TestClient, admin: TestClient, add_version, depth) -> None:
    add_version("beta", "wear", 7)
    (model,) = alpha.get("/api/models").json()
    assert (model["model"], model["versions"], model["newest"], model["aliases"]) == (
        "depth", 3, 3, {"champion": 1},
    )  # fmt: skip
    assert model["champion"]["metrics"] == {"mae": 0.1}
    assert [each["project"] for each in admin.get("/api/models").json()] == ["alpha", "beta"]
    assert len(admin.get("/api/models?project=beta").json()) == 1
    found = alpha.get("/api/projects/alpha/models/depth/versions").json()
    assert [each["version"] for each in found] == [3, 2, 1]
    assert [row["side"] for row in found[1]["deployments"]] == ["canary"]
    assert found[1]["deployments"][0]["url"].startswith("http://")
    older = alpha.get("/api/projects/alpha/models/depth/versions?before=2").json()
    assert [each["version"] for each in older] == [1]
    one = alpha.get("/api/projects/alpha/models/depth/versions/2").json()
    assert (one["flavor"], one["run_id"], one["ane"], bool(one["problem"])) == ("onnx", "r2", None, True)


def test_metrics_of_another_projects_run_are_not_told(alpha: TestClient, add_version, add_run, depth) -> None:
    add_run("beta", "secret", metrics={"secret": 1.0})
    add_version("alpha", "depth", 4, run_id="secret")
    newest = alpha.get("/api/projects/alpha/models/depth/versions/4").json()
    assert newest["metrics"] == {}


def test_what_cannot_be_read_is_refused(alpha: TestClient, depth) -> None:
    own, other = "/api/projects/alpha/models/depth", "/api/projects/beta/models/wear"
    for path, status in (
        ("/api/models?project=beta", 403),
        ("/api/lanes?project=beta", 403),
        (f"{other}/versions", 403),
        (f"{other}/versions/1", 403),
        (f"{other}/actions", 403),
        ("/api/projects/alpha/models/nothing/versions", 404),
        (f"{own}/versions/9", 404),
        (f"{own}/versions/0", 422),
        (f"{own}/versions?before=x", 422),
        ("/api/projects/alpha/traffic?model=depth&version=0", 422),
    ):
        assert alpha.get(path).status_code == status, path


def test_lanes_and_traffic_are_by_version(alpha: TestClient, store: Store, depth) -> None:
    traffic = Traffic()
    for place in range(30):
        traffic.record(0.004, failed=place < 3)
    store.traffic.add({depth[1]: traffic})
    canary, champion = alpha.get("/api/lanes").json()
    assert canary["state"]["error_share"] == pytest.approx(0.1)
    assert champion["state"]["error_share"] is None
    assert canary["traffic"]["step_s"] == 120
    asked = "/api/projects/alpha/traffic?model=depth&span_s=600"
    assert len(alpha.get(asked + "&version=1").json()["times"]) in (60, 61)


def test_changes_are_asked_done_and_written_down(
    logged_in, alpha: TestClient, platform: Platform, store: Store, depth
) -> None:
    browser, csrf = logged_in("token-of-alpha")
    base = "/deployments/alpha/depth"
    asked = browser.get(f"{base}/promote?version=2").text
    assert "Promote depth v2" in asked
    assert "v1 stays up" in asked
    assert re.search(r"<bdi>mae</bdi></th><td[^>]*>0.2</td><td[^>]*>0.1</td>", asked)
    assert "none yet" in asked

    def change(verb: str, **form: str):
        return browser.post(f"{base}/{verb}", data={"csrf": csrf, **form})

    assert change("weight", weight="55").status_code == 204
    done = change("promote", version="2", why="better")
    assert done.status_code == 204
    assert "depth v2 is the champion" in done.headers["hx-trigger"]
    assert store.aliases.wishes()["alpha", "depth"].version == 2
    assert "Roll depth back to v1" in browser.get(f"{base}/rollback").text
    assert change("rollback").status_code == 204
    assert change("end", side="previous").status_code == 204
    assert "Deploy depth v3" in browser.get(f"{base}/deploy?version=3").text
    assert change("deploy", version="3", side="shadow", weight="7", replicas="2").status_code == 204
    assert change("undeploy").status_code == 204
    told = alpha.get("/api/projects/alpha/models/depth/actions").json()
    assert [entry["action"] for entry in told] == [
        "undeploy", "deploy", "end", "rollback", "promote", "weigh",
    ]  # fmt: skip
    assert {entry["who"] for entry in told} == {"alpha"}
    assert (told[1]["detail"]["side"], told[1]["detail"]["weight"], told[4]["detail"]["why"]) == (
        "shadow", 0, "better",
    )  # fmt: skip


def test_what_cannot_be_changed_is_named(logged_in, depth) -> None:
    browser, csrf = logged_in("token-of-alpha")
    for verb, form, status in (
        ("promote", {"version": "9"}, 422),
        ("promote", {"version": "x"}, 422),
        ("rollback", {}, 422),
        ("weight", {"weight": "5", "version": "3"}, 422),
        ("end", {"side": "canary", "version": "3"}, 422),
        ("weight", {"weight": "101"}, 422),
        ("weight", {"weight": ""}, 422),
        ("end", {"side": "best"}, 422),
        ("end", {"side": "champion"}, 422),
        ("end", {"side": "shadow"}, 404),
        ("deploy", {"version": "9"}, 422),
        ("deploy", {"version": "9", "side": "champion"}, 404),
        ("deploy", {"version": "3", "side": "champion", "replicas": "99"}, 422),
        ("destroy", {}, 422),
    ):
        answer = browser.post(f"/deployments/alpha/depth/{verb}", data={"csrf": csrf, **form})
        assert answer.status_code == status, (verb, form)
        assert answer.json()["error"]["message"]
    for asked in (
        "promote?version=x",
        "rollback",
        "end?side=shadow",
        "deploy?version=9",
        "end?side=x",
        "destroy",
    ):
        assert browser.get(f"/deployments/alpha/depth/{asked}").status_code in (404, 422), asked


def test_changes_need_the_form_and_the_project(logged_in, store: Store, depth) -> None:
    browser, csrf = logged_in("token-of-alpha")
    other, others_csrf = logged_in("token-of-beta")
    path = "/deployments/alpha/depth/undeploy"
    assert browser.post(path, data={"csrf": others_csrf}).status_code == 403
    assert browser.post(path).status_code == 403
    for page in (path, "/deployments/alpha/depth", "/deployments/alpha/depth/try", "/models/alpha/depth",
                 "/models/alpha/depth/1"):  # fmt: skip
        assert other.get(page).status_code == 403, page
    assert other.post(path, data={"csrf": others_csrf}).status_code == 403
    assert len(store.deployments.all("alpha")) == 2
    assert csrf != others_csrf


def test_pages_of_a_member_hold_nothing_of_others(logged_in, add_version, serve, depth) -> None:
    add_version("beta", "wear", 1)
    serve("beta", "wear", "http://127.0.0.1:9")
    browser, _ = logged_in("token-of-alpha")
    for path in ("/models", "/deployments"):
        shown = browser.get(path).text
        assert "depth" in shown
        assert "wear" not in shown
        assert "beta" not in shown


def test_the_form_is_made_from_the_signature_and_answered_by_predict(
    logged_in, add_version, serve, replica_server, platform: Platform
) -> None:
    add_version("alpha", "double", 1)
    serve("alpha", "double", replica_server().url)
    browser, _ = logged_in("token-of-alpha")
    assert platform._router is not None
    browser.portal.call(platform._router.reload)
    form = browser.get("/deployments/alpha/double/try").text
    assert 'data-try="/projects/alpha/models/double/predict"' in form
    assert re.search(r'data-input="x"[^>]*required[^>]*>\[0\]</textarea>', form)
    assert "int64, any" in form
    answer = browser.post("/projects/alpha/models/double/predict", json={"inputs": {"x": [21]}})
    assert answer.json() == {"outputs": {"y": [42]}}
    assert "mlops:deploy" in browser.get("/deployments/alpha/nothing/try").text
