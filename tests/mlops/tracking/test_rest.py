"""What a server's answers mean to us."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mlops.errors import ServiceUnavailable, Unauthorized
from mlops.tracking.rest import Rest, ServerRefusal


class Server(http.server.ThreadingHTTPServer):
    """Answers everything with one status and one body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body = 200, b"{}"
        self.seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append({**self.headers, "path": self.path})
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def client(server: Server) -> Iterator[Rest]:
    made = Rest(lambda: server.url, "team-a", "team-a", "pa:ss")
    yield made
    made._session().close()


def test_a_call_names_workspace_and_account(
    server: Server, client: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.body = b'{"run": {"a": 1}}'
    assert client.call("GET", "/runs/get", query={"run_id": "a&b"}) == {"run": {"a": 1}}
    (seen,) = server.seen
    assert seen["path"] == "/api/2.0/mlflow/runs/get?run_id=a%26b"
    assert seen["X-MLFLOW-WORKSPACE"] == "team-a"
    assert seen["Authorization"] == "Basic dGVhbS1hOnBhOnNz"


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_server_that_is_busy_is_tried_again(server: Server, client: Rest, status: int) -> None:
    server.status = status
    with pytest.raises(ServiceUnavailable, match=str(status)):
        client.call("POST", "/runs/log-batch", b"{}")


def test_an_account_that_is_not_known(server: Server, client: Rest) -> None:
    server.status, server.body = 401, b"You are not authenticated."
    with pytest.raises(Unauthorized):
        client.call("GET", "/runs/get")


@pytest.mark.parametrize(
    ("status", "code", "missing"),
    [
        (400, "INVALID_PARAMETER_VALUE", False),
        (403, "PERMISSION_DENIED", True),
        (404, "RESOURCE_DOES_NOT_EXIST", True),
        (500, "INTERNAL_ERROR", False),
    ],
)
def test_a_refusal_has_its_code(server: Server, client: Rest, status: int, code: str, missing: bool) -> None:
    server.status, server.body = status, json.dumps({"error_code": code, "message": "no"}).encode()
    with pytest.raises(ServerRefusal, match=f"{code}: no") as caught:
        client.call("GET", "/runs/get")
    assert (caught.value.status, caught.value.missing) == (status, missing)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"text"', b"null"])
def test_a_refusal_without_mlflows_json(server: Server, client: Rest, body: bytes) -> None:
    server.status, server.body = 404, body
    with pytest.raises(ServerRefusal, match="HTTP_404"):
        client.call("GET", "/runs/get")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"half'])
def test_an_answer_that_is_no_json_confirms_nothing(server: Server, client: Rest, body: bytes) -> None:
    server.body = body
    with pytest.raises(ServiceUnavailable, match="no JSON"):
        client.call("POST", "/runs/log-batch", b"{}")


def test_a_database_in_trouble_is_tried_again(server: Server, client: Rest) -> None:
    server.status, server.body = 400, b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "db"}'
    with pytest.raises(ServiceUnavailable):
        client.call("GET", "/runs/get")


def test_a_server_that_is_down_or_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        client = Rest(lambda: f"http://127.0.0.1:{port}", "a", "a", "a")
        with pytest.raises(ServiceUnavailable, match="timed out"), client.within(0.2):
            client.call("GET", "/runs/get")
        client._session().close()
    with pytest.raises(ServiceUnavailable, match="refused"):
        client.call("GET", "/runs/get")
    client._session().close()
