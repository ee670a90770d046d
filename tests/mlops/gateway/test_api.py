"""The JSON API and inference, as callers see them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from mlops.entities import (
    Availability,
    Restart,
    RestartCause,
    ServiceRecord,
    ServiceState,
    ServiceStatus,
    Side,
)
from mlops.gateway.bodies import MAX_BODY_BYTES
from mlops.platform import Platform
from mlops.store.store import Store

PREDICT = "/projects/alpha/models/depth/predict"


def _error(answer) -> dict:
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"type", "message", "remedy", "fields"}
    return error


def test_health_names_its_process(anonymous: TestClient) -> None:
    import os

    health = anonymous.get("/health").json()
    assert (health["status"], health["pid"]) == ("ok", os.getpid())


def test_health_tells_everybody_how_the_services_are_and_nothing_more(
    anonymous: TestClient, admin: TestClient, services: list[ServiceStatus]
) -> None:
    now = datetime.now(UTC)
    day, month = Availability(0.995, 432.0, 1.0), Availability(None, 0.0, 0.0)
    restart = Restart("postgres", now, RestartCause.KILLED, "exited with -9: words of its log")
    services[0] = ServiceStatus(
        "postgres", ServiceState.UNHEALTHY, "a password was refused", 4711, "127.0.0.1:5432", 3, now,
        ServiceRecord(now, 2, (restart,), day, day, month),
    )  # fmt: skip
    time.sleep(1.1)  # what is told may be a second old
    told = anonymous.get("/health").json()
    assert told["services"] == [
        {
            "name": "postgres", "state": "unhealthy", "restarts_day": 2,
            "last_restarts": [{"at": now.isoformat().replace("+00:00", "Z"), "cause": "killed"}],
            "availability": {"day": 0.995, "week": 0.995, "month": None},
            "observed": {"day": 1.0, "week": 1.0, "month": 0.0},
            "recorded_at": now.isoformat().replace("+00:00", "Z"),
        }
    ]  # fmt: skip
    assert datetime.fromisoformat(told["as_of"]) >= now
    for secret in ("4711", "5432", "password", "words"):
        assert secret not in json.dumps(told)
    (whole,) = admin.get("/api/services").json()
    assert (whole["pid"], whole["record"]["restarts"][0]["detail"]) == (4711, restart.detail)
    assert whole["record"]["day"] == {"share": 0.995, "down_s": 432.0, "observed": 1.0}


def test_health_answers_at_once_when_the_services_cannot_be_read(
    anonymous: TestClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> list[ServiceStatus]:
        raise OSError("the status file is gone")

    monkeypatch.setattr(platform, "_services", fail)
    time.sleep(1.1)
    told = anonymous.get("/health").json()
    assert told["status"] == "ok"


def test_services_and_projects(admin: TestClient) -> None:
    assert admin.get("/api/services").json()[0]["state"] == "healthy"
    project = admin.get("/api/projects/alpha").json()
    assert project["serving_endpoint"] == "/projects/alpha"
    assert _error(admin.get("/api/projects/gamma"))["type"] == "ProjectNotFound"


def test_deploy_read_undeploy(alpha: TestClient, store) -> None:
    path = "/api/projects/alpha/deployments/depth"
    assert alpha.get(path).status_code == 404
    wanted = alpha.put(path, json={"version": 3, "replicas": 2})
    assert wanted.status_code == 202
    assert (wanted.json()["version"], wanted.json()["replicas"], wanted.json()["state"]) == (3, 2, "pending")
    assert wanted.json()["url"] == f"{str(alpha.base_url).rstrip('/')}{PREDICT}"
    assert datetime.fromisoformat(wanted.json()["created_at"]).tzinfo is not None
    assert alpha.get(path).json() == wanted.json()
    assert alpha.delete(path).status_code == 202
    assert alpha.get(path).json()["state"] == "stopping"
    entries = [(entry.who, entry.action, entry.project) for entry in store.audit.latest()]
    assert entries == [("alpha", "undeploy", "alpha"), ("alpha", "deploy", "alpha")]


def test_bad_deployment_names_the_field(alpha: TestClient, store, subtests: pytest.Subtests) -> None:
    for body in [
        {},
        [],
        None,
        {"version": 0},
        {"version": "3"},
        {"version": True},
        {"version": 2**31},
        {"version": 1, "replicas": 0},
        {"version": 1, "replicas": 10_000},
        {"version": 1, "unknown": 1},
    ]:
        with subtests.test(body=body):
            answer = alpha.put("/api/projects/alpha/deployments/depth", json=body)
            assert answer.status_code == 422
            assert _error(answer)["type"] == "InvalidInput"
            assert _error(answer)["fields"]["problems"][0]["field"]
            assert store.deployments.all() == []


def test_unsafe_model_names_are_refused(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for name in ["-x", "a..b", "a%20b", "a%00b", "a%0ab", "a;b", "%24(id)", "a" * 101, "%3Fx"]:
        with subtests.test(name=name):
            answer = alpha.put(f"/api/projects/alpha/deployments/{name}", json={"version": 1})
            assert answer.status_code == 422
            assert _error(answer)["type"] == "InvalidName"
            predicted = alpha.post(f"/projects/alpha/models/{name}/predict", json={"inputs": {}})
            assert (predicted.status_code, _error(predicted)["type"]) == (422, "InvalidName")


def test_unsafe_project_names_are_refused(admin: TestClient, subtests: pytest.Subtests) -> None:
    for name in ["-x", "Alpha", "default", "a--b", "a%00", "a.b", "%3Fx", "a%20b"]:
        with subtests.test(name=name):
            answer = admin.get(f"/api/projects/{name}")
            assert (answer.status_code, _error(answer)["type"]) == (422, "InvalidName")


def test_encoded_paths_reach_nothing(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for name in ["%2e%2e", "alpha%2f..%2fbeta", "..%2f..%2fhealth", "a%2fb"]:
        with subtests.test(name=name):
            for path in (f"/api/projects/{name}", f"/projects/{name}/models/depth/predict"):
                assert alpha.get(path).status_code in (403, 404, 405, 422), path
                assert alpha.post(path, json={}).status_code in (403, 404, 405, 422), path


def test_predict_passes_outputs_through(alpha: TestClient, serve: Callable[..., int], replica_server) -> None:
    replica = replica_server()
    serve("alpha", "depth", replica.url, version=3)
    answer = alpha.post(PREDICT, json={"inputs": {"x": [1, 2]}}, headers={"X-Request-Id": "mine-1"})
    assert (answer.status_code, answer.json()) == (200, {"outputs": {"y": [2, 4]}})
    assert answer.headers["x-model-version"] == "3"
    assert answer.headers["x-request-id"] == "mine-1"
    assert replica.requests[0]["x-request-id"] == "mine-1"
    assert "authorization" not in replica.requests[0]


def test_a_file_comes_through_as_it_is(alpha: TestClient, serve, replica_server) -> None:
    replica = replica_server()
    serve("alpha", "depth", replica.url)
    body = b'{"inputs": {"x": [1]}}'
    answer = alpha.post(PREDICT, content=body, headers={"Content-Type": "text/x-log"})
    assert answer.status_code == 200
    assert replica.requests[0]["content-type"] == "text/x-log"


def test_the_inference_log_is_read_by_its_project(alpha: TestClient, store: Store) -> None:
    row = {
        "at": datetime.now(UTC), "project": "alpha", "model": "depth", "version": 3, "side": "canary",
        "request_id": "r-1", "status": 200, "latency_s": 0.25, "features": '{"rows": 1}',
    }  # fmt: skip
    store.inferences.add([row, row | {"request_id": "r-2"}])
    path = "/projects/alpha/models/depth/inferences"
    (found,) = alpha.get(path, params={"count": 1}).json()
    assert {key: found[key] for key in ("request_id", "version", "side", "features")} == {
        "request_id": "r-2", "version": 3, "side": "canary", "features": {"rows": 1},
    }  # fmt: skip
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert alpha.get(path, params={"since": later}).json() == []
    assert alpha.get(path.replace("alpha", "beta")).status_code == 403
    for wrong in ({"count": 0}, {"count": 10_001}, {"count": "many"}, {"since": "noon"}):
        assert alpha.get(path, params=wrong).status_code == 422, wrong


def test_unsafe_request_id_is_replaced(alpha: TestClient) -> None:
    answer = alpha.get("/api/me", headers={"X-Request-Id": "a b\tc"})
    assert answer.headers["x-request-id"] not in ("", "a b\tc")


def test_models_own_error_passes_through(alpha: TestClient, serve, replica_server) -> None:
    serve("alpha", "depth", replica_server().url)
    answer = alpha.post(PREDICT, json={"inputs": {"wrong": 1}})
    assert answer.status_code == 422
    assert _error(answer)["message"] == "x: 2 columns, not 3"


def test_broken_replica_is_a_bad_gateway(alpha: TestClient, serve, replica_server) -> None:
    serve("alpha", "depth", replica_server().url)
    answer = alpha.post(PREDICT, json={"inputs": {"broken": 1}})
    assert (answer.status_code, _error(answer)["type"]) == (502, "ServiceError")


def test_replica_down_is_503_with_retry_after(alpha: TestClient, serve, free_port: int) -> None:
    serve("alpha", "depth", f"http://127.0.0.1:{free_port}")
    answer = alpha.post(PREDICT, json={"inputs": {"x": [1]}})
    assert (answer.status_code, _error(answer)["type"]) == (503, "ServiceUnavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_second_replica_is_used(alpha: TestClient, serve, replica_server, free_port: int) -> None:
    living = replica_server()
    serve("alpha", "depth", f"http://127.0.0.1:{free_port}", living.url)
    for _ in range(4):
        assert alpha.post(PREDICT, json={"inputs": {"x": [1]}}).status_code == 200
    assert len(living.requests) == 4


def test_a_caller_may_wait_for_less(alpha: TestClient, serve, replica_server) -> None:
    serve("alpha", "depth", replica_server().url)
    answer = alpha.post(PREDICT, json={"inputs": {"hang": 1}}, headers={"X-Request-Timeout": "0.1"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "no answer within 0.1 s" in _error(answer)["message"]


def test_a_time_out_that_is_none_is_refused(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for stated in ["0", "-1", "61", "nan", "soon", ""]:
        with subtests.test(stated=stated):
            answer = alpha.post(PREDICT, json={"inputs": {}}, headers={"X-Request-Timeout": stated})
            assert answer.status_code == 422
            assert "X-Request-Timeout" in _error(answer)["message"]


def test_a_caller_who_hangs_up_is_not_waited_for(alpha: TestClient, serve, replica_server) -> None:
    serve("alpha", "depth", replica_server().url)
    body = [{"type": "http.request", "body": b'{"inputs": {"hang": 1}}', "more_body": False}]
    answered: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0 if body else 0.2)
        return body.pop() if body else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answered.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in alpha.headers.items()]
    scope = {
        "type": "http", "method": "POST", "path": PREDICT, "raw_path": PREDICT.encode(), "query_string": b"",
        "headers": [*headers, (b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        "root_path": "", "scheme": "http", "http_version": "1.1", "client": ("127.0.0.1", 1),
    }  # fmt: skip
    assert alpha.portal is not None
    alpha.portal.call(alpha.app, scope, receive, send)
    assert answered[0]["status"] == 499
    under_way = 'mlops_inferences_under_way{model="depth",project="alpha"'
    (line,) = (line for line in alpha.get("/metrics").text.splitlines() if line.startswith(under_way))
    assert line.endswith(" 0.0")


def test_hanging_replica_meets_the_deadline(alpha: TestClient, serve, replica_server) -> None:
    serve("alpha", "depth", replica_server().url)
    # It would answer by itself, some time after the deadline.
    answer = alpha.post(PREDICT, json={"inputs": {"hang": 1, "x": [1]}})
    assert (answer.status_code, _error(answer)["type"]) == (503, "ServiceUnavailable")
    assert "2 s" in _error(answer)["message"]


def test_not_deployed_is_404(alpha: TestClient) -> None:
    answer = alpha.post(PREDICT, json={"inputs": {}})
    assert (answer.status_code, _error(answer)["type"]) == (404, "DeploymentNotFound")


def test_large_bodies_are_refused_announced_or_not(alpha: TestClient, serve, replica_server) -> None:
    replica = replica_server()
    serve("alpha", "depth", replica.url)
    announced = alpha.post(PREDICT, content=b"x" * (MAX_BODY_BYTES + 1))
    assert announced.status_code == 413
    assert "16 MB" in _error(announced)["message"]
    chunked = alpha.post(PREDICT, content=(b"x" * 2**20 for _ in range(17)))
    assert chunked.status_code == 413
    assert replica.requests == []
    fits = b'{"inputs": {"x": [1]}' + b" " * (MAX_BODY_BYTES - 22) + b"}"
    assert alpha.post(PREDICT, content=fits).status_code == 200


def test_every_answer_carries_the_guards(anonymous: TestClient, alpha: TestClient) -> None:
    for answer in (anonymous.get("/health"), anonymous.get("/api/me"), alpha.get("/"), alpha.get("/nowhere")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-request-id"]
        assert answer.headers["cache-control"] == "no-store"


def test_unknown_paths_and_methods_have_the_one_shape(alpha: TestClient) -> None:
    assert _error(alpha.get("/nowhere"))["type"] == "NotFound"
    assert alpha.delete("/api/projects").status_code == 405
    assert _error(alpha.delete("/api/projects"))["message"]


def test_openapi_is_there_for_the_authenticated(alpha: TestClient) -> None:
    paths = alpha.get("/openapi.json").json()["paths"]
    assert PREDICT.replace("alpha", "{project}").replace("depth", "{model}") in paths
    assert "/login" not in paths


ONE = "/api/projects/alpha/deployments/depth"


def test_a_canary_is_weighed_promoted_and_rolled_back(alpha: TestClient, serve, store) -> None:
    serve("alpha", "depth", "http://127.0.0.1:1", version=1)
    wanted = alpha.put(ONE, json={"version": 2, "side": "canary", "weight": 10, "why": "a new head"})
    assert (wanted.status_code, wanted.json()["side"], wanted.json()["weight"]) == (202, "canary", 10)
    serve("alpha", "depth", "http://127.0.0.1:2", version=2, side=Side.CANARY, weight=10)
    assert alpha.post(f"{ONE}/weight", json={"weight": 25}).json()["weight"] == 25
    assert alpha.get(ONE).json()["version"] == 1, "the champion"
    promoted = alpha.post(f"{ONE}/promote", json={"why": "it is better"}).json()
    assert (promoted["version"], promoted["side"]) == (2, "champion")
    assert alpha.post(f"{ONE}/rollback", json={}).json()["version"] == 1
    assert alpha.post(f"{ONE}/promote", json={"version": 2}).json()["version"] == 2
    assert alpha.delete(f"{ONE}/previous").json()["state"] == "stopping"
    told = [(entry.who, entry.action, entry.detail.get("why")) for entry in reversed(store.audit.latest())]
    assert told == [
        ("alpha", "deploy", "a new head"),
        ("alpha", "weigh", None),
        ("alpha", "promote", "it is better"),
        ("alpha", "rollback", None),
        ("alpha", "promote", None),
        ("alpha", "end", None),
    ]


def test_what_no_endpoint_can_do_is_named(alpha: TestClient, store, subtests: pytest.Subtests) -> None:
    for method, path, body, status, kind in [
        ("POST", "promote", {}, 404, "DeploymentNotFound"),
        ("POST", "rollback", {}, 404, "DeploymentNotFound"),
        ("POST", "weight", {"weight": 5}, 404, "DeploymentNotFound"),
        ("POST", "weight", {"weight": 101}, 422, "InvalidInput"),
        ("POST", "weight", {}, 422, "InvalidInput"),
        ("POST", "promote", {"version": 0}, 422, "InvalidInput"),
        ("POST", "promote", {"unknown": 1}, 422, "InvalidInput"),
        ("DELETE", "canary", None, 404, "DeploymentNotFound"),
        ("DELETE", "champion", None, 422, "InvalidInput"),
        ("DELETE", "nothing", None, 422, "InvalidInput"),
        ("PUT", "", {"version": 1, "side": "canary"}, 422, "InvalidInput"),
        ("PUT", "", {"version": 1, "side": "previous"}, 422, "InvalidInput"),
    ]:
        with subtests.test(method=method, path=path, body=body):
            answer = alpha.request(method, f"{ONE}/{path}".rstrip("/"), json=body)
            assert (answer.status_code, _error(answer)["type"]) == (status, kind)
            assert store.deployments.all() == []
            assert store.audit.latest() == []


def test_the_routing_key_chooses_the_side(alpha: TestClient, serve, replica_server) -> None:
    serve("alpha", "depth", replica_server().url, version=1)
    serve("alpha", "depth", replica_server().url, version=2, side=Side.CANARY, weight=50)

    def version(key: str) -> str:
        headers = {"X-MLOps-Routing-Key": key}
        answer = alpha.post(PREDICT, json={"inputs": {"x": [1]}}, headers=headers)
        return answer.headers["X-Model-Version"]

    assert {version(f"unit {number}") for number in range(20)} == {"1", "2"}
    assert len({version("unit 7") for _ in range(20)}) == 1
