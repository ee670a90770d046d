"""Evidently's UI through the gateway: one project's alone, read only, closed to strangers, at its own origin.

Every route that Evidently has is named here; one that is not fails.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mlops.entities import ServiceState, ServiceStatus
from mlops.gateway.app import create_app
from mlops.monitoring.evidently_client import EvidentlyClient
from mlops.monitoring.evidently_files import project_id, snapshot_id, workspace_of
from mlops.monitoring.evidently_state import WorkspaceState
from mlops.monitoring.evidently_ui import evidently_app
from mlops.platform import Platform
from mlops.store.store import Store
from tests.evidently_ui import RunningUi
from tests.mlops.gateway.test_drift import made as made

DOOR = "http://127.0.0.1:24999"
ALPHA, BETA = project_id("alpha"), project_id("beta")
READ, CLOSED = "read", "closed"
ROUTES = {
    "GET /": READ,
    "GET /projects/{path:path}": READ,
    "GET /{file_path:path}": READ,
    "GET /api/version": READ,
    "GET /api/llm_judges/templates": READ,
    "GET /api/projects": READ,
    "GET /api/v2/projects": READ,
    "GET /api/projects/{project_id:uuid}/info": READ,
    "GET /api/projects/{project_id:uuid}/reports": READ,
    "GET /api/projects/{project_id:uuid}/snapshots": READ,
    "GET /api/projects/{project_id:uuid}/reload": READ,
    "GET /api/projects/{project_id:uuid}/{snapshot_id:uuid}/data": READ,
    "GET /api/projects/{project_id:uuid}/{snapshot_id:uuid}/download": READ,
    "GET /api/projects/{project_id:uuid}/{snapshot_id:uuid}/metadata": READ,
    "GET /api/projects/{project_id:uuid}/{snapshot_id:uuid}/graphs_data/{graph_id:str}": READ,
    "GET /api/v2/dashboards/{project_id:uuid}": READ,
    "GET /api/v2/snapshots/{project_id:uuid}/metrics": READ,
    "GET /api/v2/snapshots/{project_id:uuid}/labels": READ,
    "GET /api/v2/snapshots/{project_id:uuid}/label_values": READ,
    "POST /api/v2/snapshots/{project_id:uuid}/data_series_batch": READ,
    "GET /api/datasets": READ,
    "GET /api/prompts": READ,
    "GET /api/artifacts": READ,
    # Nothing of these is ever written here, and whose it would be is not to be seen from the address.
    "GET /api/projects/search/{project_name:str}": CLOSED,
    "GET /api/v2/projects/models/additional": CLOSED,
    "GET /api/artifacts/{artifact_id:uuid}": CLOSED,
    "GET /api/artifacts/by-name/{name:str}": CLOSED,
    "GET /api/artifacts/{artifact_id:uuid}/versions": CLOSED,
    "GET /api/artifacts/{artifact_id:uuid}/versions/{version:str}": CLOSED,
    "GET /api/artifacts/artifact-versions/{artifact_version_id:uuid}": CLOSED,
    "GET /api/prompts/{prompt_id:uuid}": CLOSED,
    "GET /api/prompts/by-name/{name:str}": CLOSED,
    "GET /api/prompts/{prompt_id:uuid}/versions": CLOSED,
    "GET /api/prompts/{prompt_id:uuid}/versions/{version:str}": CLOSED,
    "GET /api/prompts/prompt-versions/{prompt_version_id:uuid}": CLOSED,
    "GET /api/datasets/{dataset_id:uuid}": CLOSED,
    "GET /api/datasets/{dataset_id:uuid}/download": CLOSED,
    "GET /api/datasets/{dataset_id:uuid}/metadata": CLOSED,
    "GET /api/datasets/{dataset_id:uuid}/data_definition": CLOSED,
    "GET /api/v1/traces/list": CLOSED,
}
"""What only reads. All others change something, and are refused."""
IN_QUERY = ("/api/datasets", "/api/prompts", "/api/artifacts")
QUERY = {
    "metrics": "tags=[]&metadata={}",
    "labels": "tags=[]&metadata={}&metric_type=x",
    "label_values": "tags=[]&metadata={}&metric_type=x&label=y",
}


@pytest.fixture
def app(
    platform: Platform, add_project: Callable[..., str], evidently_ui: RunningUi, compiled_templates: None
) -> FastAPI:
    """The gateway, which shows the UI at a door of its own."""
    add_project("alpha")
    add_project("beta")
    platform.addresses = replace(platform.addresses, evidently=DOOR)
    platform.evidently = EvidentlyClient(evidently_ui.url, evidently_ui.secret)
    return create_app(platform)


@pytest.fixture
def at_door(client_of: Callable[[str], TestClient]) -> Callable[[str], TestClient]:
    def client(token: str) -> TestClient:
        made = client_of(token)
        made.base_url = DOOR
        return made

    return client


@pytest.fixture
def alpha_at_door(at_door: Callable[[str], TestClient]) -> TestClient:
    return at_door("token-of-alpha")


@pytest.fixture
def admin_at_door(at_door: Callable[[str], TestClient]) -> TestClient:
    return at_door("token-of-the-admin")


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """All that Evidently's app has."""
    folder: Path = tmp_path_factory.mktemp("workspace")
    with warnings.catch_warnings(action="ignore"):
        app = evidently_app(folder, WorkspaceState(folder))
    found = [(method, route.path) for route in app.routes for method in route.methods if method != "OPTIONS"]
    assert len(found) > 60
    return sorted(found)


def filled(path: str, project: object, number: int) -> str:
    """The route with a project's ids in it."""
    name = path.rpartition("/")[2]
    path = path.replace("{project_id:uuid}", str(project)).replace("{path:path}", f"{project}/reports")
    path = path.replace("{file_path:path}", "favicon.ico")
    path = re.sub(r"\{\w+:uuid\}", str(snapshot_id(number)), path)
    path = re.sub(r"\{\w+:str\}", "name", path)
    query = f"project_id={project}" if path in IN_QUERY else QUERY.get(name, "")
    return f"{path}?{query}" if query else path


def is_of_a_project(path: str) -> bool:
    return "{project_id" in path or "{path:" in path or path in IN_QUERY


def test_each_of_evidentlys_routes_is_known_and_answers_its_own_project_alone(
    routes: list[tuple[str, str]], alpha_at_door: TestClient, admin_at_door: TestClient
) -> None:
    reads = {key for key in ROUTES if key.startswith("GET")} | {"HEAD /{file_path:path}"}
    assert {f"{method} {path}" for method, path in routes if method in ("GET", "HEAD")} == reads
    for method, path in routes:
        kind = ROUTES.get(f"{method} {path}", READ if method == "HEAD" else "write")
        body = {"series_filter": []} if method == "POST" else None
        own = alpha_at_door.request(method, filled(path, ALPHA, 1), json=body)
        others = alpha_at_door.request(method, filled(path, BETA, 4), json=body)
        admins = admin_at_door.request(method, filled(path, BETA, 4), json=body)
        told = (method, path, own.status_code, others.status_code, admins.status_code)
        if kind == "write":
            assert told[2:] == (403, 403, 403), told
            assert "shows what the platform wrote" in own.json()["error"]["message"]
        elif kind == CLOSED:
            assert told[2:] == (404, 404, 404), told
        elif is_of_a_project(path):
            assert others.status_code == 404, told
            no_graph = "graphs_data" in path
            assert (own.status_code in (200, 201), admins.status_code in (200, 201)) == (
                not no_graph, not no_graph,
            ), told  # fmt: skip
        else:
            assert own.status_code == 200, told
            assert str(BETA) not in own.text


def test_viewers_read_by_post_there(
    at_door: Callable[[str], TestClient], viewer: TestClient, routes: list[tuple[str, str]]
) -> None:
    reader = at_door("token-of-a-viewer")
    for path in (
        path for method, path in routes if ROUTES.get(f"{method} {path}") == READ and method == "POST"
    ):
        assert reader.post(filled(path, ALPHA, 1), json={"series_filter": []}).is_success, path
        assert reader.post(filled(path, BETA, 4), json={"series_filter": []}).status_code == 404, path


def test_strangers_get_nothing(anonymous: TestClient, routes: list[tuple[str, str]]) -> None:
    anonymous.base_url = DOOR
    for method, path in routes:
        answer = anonymous.request(method, filled(path, ALPHA, 1))
        assert answer.status_code == 401, (method, path)
    for path in ("/health", "/static/tokens.css"):  # open at the gateway
        assert anonymous.get(path).status_code == 404
    page = anonymous.get(f"/projects/{ALPHA}?x=1", headers={"Accept": "text/html"})
    assert page.status_code == 303
    to_login = anonymous.get(page.headers["location"])
    gateway = to_login.headers["location"]
    assert gateway.startswith("http://127.0.0.1:")
    assert gateway.endswith(f"/login?next=%2Fevidently%2Fprojects%2F{ALPHA}%3Fx%3D1")


def test_lists_hold_what_the_caller_may_see(alpha_at_door: TestClient, admin_at_door: TestClient) -> None:
    for path in ("/api/projects", "/api/v2/projects"):
        assert [each["name"] for each in alpha_at_door.get(path).json()] == ["alpha"]
        assert {each["name"] for each in admin_at_door.get(path).json()} >= {"alpha", "beta"}


def test_no_spelling_leads_to_another_project(alpha_at_door: TestClient, subtests: pytest.Subtests) -> None:
    for path in [
        f"/api/projects/{BETA}/snapshots",
        f"/api/projects/{str(BETA).upper()}/snapshots",
        f"/api/projects/{ALPHA}/../{BETA}/snapshots",
        f"/api/projects/{ALPHA}/%2e%2e/{BETA}/snapshots",
        f"/api/projects/{ALPHA}%2f..%2f{BETA}/snapshots",
        f"//api/projects/{BETA}/snapshots",
        f"/api/projects/{BETA}/snapshots/",
        f"/api/datasets?project_id={ALPHA}x",
        f"/api/datasets?project_id={BETA}&project_id={ALPHA}",
        "/api/datasets",
        f"/projects/{BETA}",
        f"/projects/{BETA}/reports/{snapshot_id(4)}",
        "/static/js/..%2f..%2fapi.js",
        "/schema/openapi.json",
    ]:
        with subtests.test(path=path):
            answer = alpha_at_door.get(path)
            assert answer.status_code == 404
            assert answer.json()["error"]["type"] == "NotFound"


def test_a_second_project_in_the_query_is_not_passed_on(alpha_at_door: TestClient) -> None:
    answer = alpha_at_door.get(f"/api/datasets?project_id={ALPHA}&project_id={BETA}")
    assert (answer.status_code, answer.json()) == (200, {"datasets": []})


def test_pages_are_guarded_and_ask_no_foreign_host(alpha_at_door: TestClient) -> None:
    page = alpha_at_door.get(f"/projects/{ALPHA}/reports")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-eval'" not in policy
    assert re.search(r"script-src 'self' 'sha256-[\w+/=]{44}';", policy)
    assert "manifest" not in page.text
    assert re.findall(r'(?:src|href)="(?!/)', page.text) == []
    assert page.headers["x-content-type-options"] == "nosniff"
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert alpha_at_door.get(asset).status_code == 200, asset
    foreign = alpha_at_door.get("/", headers={"Origin": "http://127.0.0.1:1"})
    assert foreign.status_code == 403


def test_the_gateway_leads_there_while_it_runs(alpha: TestClient, services: list[ServiceStatus]) -> None:
    off = alpha.get("/evidently/")
    assert off.status_code == 503
    assert "mlops:evidently" in off.json()["error"]["remedy"]
    page = alpha.get("/evidently/", headers={"Accept": "text/html"})
    assert (page.status_code, "efficientai-toolkit mlops:evidently" in page.text) == (503, True)
    services.append(ServiceStatus("evidently", ServiceState.HEALTHY))
    there = alpha.get(f"/evidently/projects/{ALPHA}")
    assert (there.status_code, there.headers["location"]) == (303, f"{DOOR}/projects/{ALPHA}")
    page = alpha.get("/evidently/", headers={"Accept": "text/html"})
    assert page.headers["refresh"] == f"0; url={DOOR}/"
    services[-1] = ServiceStatus("evidently", ServiceState.STARTING)
    assert alpha.get("/evidently/").status_code == 503


@pytest.fixture
def stopped(platform: Platform, free_port: int, app: FastAPI) -> None:
    assert platform.evidently is not None
    platform.evidently._url = f"http://127.0.0.1:{free_port}"


@pytest.mark.usefixtures("stopped")
def test_a_ui_that_is_gone_is_503(alpha_at_door: TestClient) -> None:
    answer = alpha_at_door.get("/api/projects")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "ServiceUnavailable")
    page = alpha_at_door.get("/")
    assert (page.status_code, page.headers["refresh"]) == (503, "3")
    assert "mlops:evidently" in page.text


def test_a_wrong_secret_is_a_fault_of_ours(alpha_at_door: TestClient, platform: Platform) -> None:
    assert platform.evidently is not None
    platform.evidently._headers = {}
    answer = alpha_at_door.get("/api/projects")
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "ServiceError")


def test_a_body_that_is_too_large_is_413(alpha_at_door: TestClient) -> None:
    path = f"/api/v2/snapshots/{ALPHA}/data_series_batch"
    assert alpha_at_door.post(path, content=b"x" * (2**24 + 1)).status_code == 413
    assert alpha_at_door.post(path, content=b"{").status_code == 400


def test_a_report_says_where_it_is_in_the_ui(
    alpha: TestClient,
    made: int,
    services: list[ServiceStatus],
    platform: Platform,
    store: Store,
    tmp_path: Path,
) -> None:
    path = f"/api/projects/alpha/drift/{made}"
    platform.drift._folder = tmp_path
    assert alpha.get(path).json()["evidently"] == ""
    services.append(ServiceStatus("evidently", ServiceState.HEALTHY))
    url = f"{platform.addresses.gateway}/evidently/projects/{ALPHA}/reports/{snapshot_id(made)}"
    assert alpha.get(path).json()["evidently"] == url, "it is on its way"
    store.drift.paged(made)
    assert alpha.get(path).json()["evidently"] == "", "one of before there was a workspace"
    kept = workspace_of(tmp_path) / str(ALPHA) / "snapshots" / f"{snapshot_id(made)}.json"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert alpha.get(path).json()["evidently"] == url
