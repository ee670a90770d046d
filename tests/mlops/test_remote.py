"""The gateway as its clients see it, over real HTTP: what each answer becomes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from mlops import errors
from mlops.entities import DeploymentState, Side
from mlops.remote import Gateway

ROW: dict[str, Any] = {
    "id": 4,
    "project": "alpha",
    "model": "net",
    "version": 2,
    "state": "running",
    "replicas": 1,
    "side": "champion",
    "weight": 0,
    "url": "http://127.0.0.1:1/projects/alpha/models/net/predict",
    "created_at": "2026-01-02T03:04:05+00:00",
    "updated_at": "2026-01-02T03:04:06+00:00",
    "bento": "net:1",
    "error": "",
}


@dataclass
class Server:
    """Answers every request with `status` and `body`, after `delay_s`, and notes what was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    delay_s: float = 0.0
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, body: object, status: int = 200) -> None:
        self.body, self.status = json.dumps(body).encode(), status


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.asked.append((self.command, self.path, headers, self.rfile.read(length)))
            time.sleep(found.delay_s)
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the caller waited no longer
                self.wfile.write(found.body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def connect() -> Iterator[Callable[..., Gateway]]:
    made: list[Gateway] = []

    def open_gateway(url: str, **settings: float) -> Gateway:
        made.append(Gateway(url, "the-token", **settings))
        return made[-1]

    yield open_gateway
    for gateway in made:
        gateway.close()


@pytest.fixture
def gateway(server: Server, connect: Callable[..., Gateway]) -> Gateway:
    return connect(server.url)


def test_every_call_carries_the_token_and_none_a_proxy(
    server: Server, connect: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.answer([])
    connect(server.url + "/").deployments()
    ((method, path, headers, _),) = server.asked
    assert (method, path, headers["authorization"]) == ("GET", "/api/deployments", "Bearer the-token")


def test_deploy_sends_what_shall_serve_and_reads_the_deployment(server: Server, gateway: Gateway) -> None:
    server.answer(ROW, 202)
    deployment = gateway.deploy(
        "alpha", "net", 2, 1, most_replicas=4, side=Side.CANARY, weight=10, why="new head"
    )
    ((method, path, _, body),) = server.asked
    assert (method, path) == ("PUT", "/api/projects/alpha/deployments/net")
    assert json.loads(body) == {
        "version": 2, "replicas": 1, "most_replicas": 4, "side": "canary", "weight": 10, "why": "new head",
    }  # fmt: skip
    assert deployment.state is DeploymentState.RUNNING
    assert deployment.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (deployment.id, deployment.bento) == (4, "net:1")


def test_undeploy_deletes(server: Server, gateway: Gateway) -> None:
    server.answer([], 202)
    gateway.undeploy("alpha", "net")
    assert server.asked[0][:2] == ("DELETE", "/api/projects/alpha/deployments/net")


def test_names_cannot_leave_their_place_in_the_path(server: Server, gateway: Gateway) -> None:
    server.answer({"outputs": {}})
    gateway.predict("../api", "a/b?c#d", {})
    assert server.asked[0][1] == "/projects/..%2Fapi/models/a%2Fb%3Fc%23d/predict"


def test_deployments_of_one_project_leave_others_out(server: Server, gateway: Gateway) -> None:
    server.answer([ROW, {**ROW, "project": "beta"}])
    assert [row.project for row in gateway.deployments()] == ["alpha", "beta"]
    assert [row.project for row in gateway.deployments("beta")] == ["beta"]


def test_predict_sends_inputs_and_returns_outputs(server: Server, gateway: Gateway) -> None:
    server.answer({"outputs": {"y": [[2.0]]}})
    assert gateway.predict("alpha", "net", {"x": [[1.0]]}) == {"y": [[2.0]]}
    assert json.loads(server.asked[0][3]) == {"inputs": {"x": [[1.0]]}}


def test_bytes_go_as_they_are(server: Server, gateway: Gateway) -> None:
    server.answer({"outputs": {"entry": 1.0}})
    assert gateway.predict("alpha", "net", b"\x00log") == {"entry": 1.0}
    assert server.asked[0][3] == b"\x00log"


def test_inferences_are_read(server: Server, gateway: Gateway) -> None:
    row = {
        "at": "2026-01-02T03:04:05+00:00", "project": "alpha", "model": "net", "version": 3, "side": "shadow",
        "request_id": "r-1", "status": 200, "latency_s": 0.002, "features": {"rows": 1},
    }  # fmt: skip
    server.answer([row])
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    (found,) = gateway.inferences("alpha", "net", 5, moment)
    assert (found.side, found.at.year, found.features) == (Side.SHADOW, 2026, {"rows": 1})
    path = "/projects/alpha/models/net/inferences?count=5&since=2026-01-02T00%3A00%3A00%2B00%3A00"
    assert server.asked[0][:2] == ("GET", path)


@pytest.mark.parametrize(
    "inputs", [{"x": np.zeros(2)}, {"x": float("nan")}, {"x": {1, 2}}, {"x": b"1"}], ids=lambda i: str(i["x"])
)
def test_inputs_that_are_no_json_are_refused_before_anything_is_sent(
    server: Server, gateway: Gateway, inputs: dict[str, Any]
) -> None:
    with pytest.raises(errors.InvalidInput, match="is not JSON"):
        gateway.predict("alpha", "net", inputs)
    assert server.asked == []


def test_a_metric_is_asked_for_by_any_key(server: Server, gateway: Gateway) -> None:
    columns = {"total": 1, "steps": [0], "times": [0], "values": ["NaN"]}
    server.answer(columns)
    assert gateway.metric_history("alpha", "r/1", "a&b/é ..", 10) == columns
    method, path, _, _ = server.asked[0]
    asked = "/api/projects/alpha/runs/r%2F1/metric-history?key=a%26b%2F%C3%A9+..&max_points=10"
    assert (method, path) == ("GET", asked)


def test_ticket_is_the_url(server: Server, gateway: Gateway) -> None:
    server.answer({"url": "http://127.0.0.1:1/login?ticket=x"})
    assert gateway.ticket() == "http://127.0.0.1:1/login?ticket=x"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, errors.Unauthorized()),
        (403, errors.Forbidden("use project 'beta'")),
        (404, errors.DeploymentNotFound("alpha", "net")),
        (409, errors.Conflict("no", project="alpha")),
        (422, errors.InvalidInput("replicas", 9, "too many", remedy="Use fewer.")),
        (502, errors.DeploymentFailed("alpha", "net", 2, "Traceback")),
        (503, errors.ServiceUnavailable("postgres")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_error_of_the_gateway_is_raised_as_it_was(
    server: Server, gateway: Gateway, status: int, error: errors.MLOpsError
) -> None:
    server.answer(error.to_json(), status)
    with pytest.raises(type(error)) as caught:
        gateway.deployments()
    assert (caught.value.message, caught.value.remedy, caught.value.fields) == (
        error.message,
        error.remedy,
        error.fields,
    )


def test_unknown_error_keeps_its_message(server: Server, gateway: Gateway) -> None:
    shape = {"type": "InternalError", "message": "it failed", "remedy": "Look for ab12.", "fields": {}}
    server.answer({"error": shape}, 500)
    with pytest.raises(errors.MLOpsError, match="it failed") as caught:
        gateway.deployments()
    assert type(caught.value) is errors.MLOpsError
    assert caught.value.remedy == "Look for ab12."


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", [b"<html>another program</html>", b"\xff\xfe\x00", b"{"])
def test_answer_that_is_no_json_is_no_gateways(
    server: Server, gateway: Gateway, status: int, body: bytes
) -> None:
    server.status, server.body = status, body
    with pytest.raises(errors.ServiceUnavailable, match=f"answered {status}"):
        gateway.deployments()


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"detail": "Not Found"}'])
def test_refusal_in_another_shape_names_call_and_status(
    server: Server, gateway: Gateway, body: bytes
) -> None:
    server.status, server.body = 404, body
    with pytest.raises(errors.ServiceUnavailable, match="GET /api/deployments answered 404"):
        gateway.deployments()


def test_nobody_listening_is_a_service_that_does_not_answer(connect: Callable[..., Gateway]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(errors.ServiceUnavailable, match="gateway does not answer") as caught:
            connect(url).deployments()
    assert url in caught.value.message
    assert "mlops:start" in caught.value.remedy


def test_slow_answer_is_a_service_that_does_not_answer(
    server: Server, connect: Callable[..., Gateway]
) -> None:
    server.delay_s = 0.5
    with pytest.raises(errors.ServiceUnavailable, match="timed out"):
        connect(server.url, timeout_s=0.05).deployments()


def test_token_is_in_no_message(server: Server, gateway: Gateway) -> None:
    server.status, server.body = 500, b"no"
    with pytest.raises(errors.ServiceUnavailable) as caught:
        gateway.deployments()
    assert "the-token" not in str(caught.value)
    assert "the-token" not in repr(gateway)
