"""Traces of inferences: gateway and replica, as an OpenTelemetry collector gets them."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from starlette.testclient import TestClient

from mlops.gateway.app import create_app
from mlops.platform import Addresses, Platform
from mlops.serving.replica import ReplicaOptions
from mlops.serving.replica import create_app as create_replica
from mlops.serving.routing import Router
from mlops.store.store import Store
from mlops.traces import Traces
from tests.mlops.conftest import ADMIN, REPLICA_SECRET
from tests.mlops.serving.test_replica import Sum

PREDICT = "/projects/alpha/models/depth/predict"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLERS = {"Authorization": f"Bearer {ADMIN}", "traceparent": f"00-{TRACE}-{PARENT}-01"}


class Collector:
    """Keeps the spans it gets, with the service that sent them."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.raw = b""
        keeper = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                keeper.take(self.path, body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        self.raw += body
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = attributes_of(part.resource)["service.name"]
            self.spans += [(service, span) for scope in part.scope_spans for span in scope.spans]

    def until(self, count: int) -> dict[str, Span]:
        """The spans by `service: name`, when there are that many."""
        deadline = time.monotonic() + 30
        while len(self.spans) < count:
            assert time.monotonic() < deadline, self.spans
            time.sleep(0.05)
        return {f"{service}: {span.name}": span for service, span in self.spans}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def attributes_of(part: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
        for pair in part.attributes
    }


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def replica(collector: Collector) -> Iterator[str]:
    """A real replica's application, which sums the rows of `x`."""
    app: Any = create_replica(Sum(), ReplicaOptions(REPLICA_SECRET, otlp_endpoint=collector.url))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def traced(store: Store, database_url: str, add_project: Callable[..., str], serve: Callable[..., int]):
    """Starts a gateway that serves alpha's depth and sends its traces to an endpoint."""
    add_project("alpha")

    def start(endpoint: str, *urls: str) -> FastAPI:
        serve("alpha", "depth", *urls, version=4)
        traces = Traces(endpoint, "mlops-gateway")
        router = Router(
            store, database_url=database_url, replica_secret=REPLICA_SECRET, deadline_s=2.0, traces=traces
        )
        addresses = Addresses("http://127.0.0.1:1")
        return create_app(
            Platform(store, router, list, addresses, session_key="key", admin_token=ADMIN, traces=traces)
        )

    return start


def test_a_callers_trace_leads_through_gateway_and_replica(
    traced, collector: Collector, replica: str
) -> None:
    with TestClient(traced(collector.url, replica), base_url="http://127.0.0.1:1") as client:
        body = {"inputs": {"x": [[2, 3]]}}
        answer = client.post(PREDICT, json=body, headers=CALLERS | {"X-Request-Id": "hole-7"})
        assert answer.json()["outputs"]["sum"] == [5.0]
        found = collector.until(3)
    whole, asked = found["mlops-gateway: inference"], found["mlops-gateway: ask replica"]
    answered = found["mlops-replica: answer"]
    assert {span.trace_id.hex() for span in (whole, asked, answered)} == {TRACE}
    assert whole.parent_span_id.hex() == PARENT
    assert (asked.parent_span_id, answered.parent_span_id) == (whole.span_id, asked.span_id)
    assert (whole.kind, asked.kind, answered.kind) == (
        Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER,
    )  # fmt: skip
    told = attributes_of(whole)
    assert (told["mlops.project"], told["mlops.model"]) == ("alpha", "depth")
    assert (told["http.response.status_code"], told["mlops.version"]) == (200, 4)
    assert told["mlops.request_id"] == attributes_of(answered)["mlops.request_id"] == "hole-7"
    assert attributes_of(asked)["mlops.side"] == "champion"
    assert attributes_of(asked)["url.full"] == replica
    assert attributes_of(answered)["mlops.batch_requests"] == 1
    assert attributes_of(answered)["mlops.model_s"] > 0
    for secret in (ADMIN, REPLICA_SECRET):
        assert secret.encode() not in collector.raw


def test_what_fails_is_an_error_in_its_trace(traced, collector: Collector, replica_server) -> None:
    gone = replica_server()
    gone.status = 503
    with TestClient(traced(collector.url, gone.url), base_url="http://127.0.0.1:1") as client:
        assert client.post(PREDICT, json={"inputs": {}}, headers=CALLERS).status_code == 503
        found = collector.until(2)
    whole = found["mlops-gateway: inference"]
    assert whole.status.code == Status.STATUS_CODE_ERROR
    assert "none of its 1 replicas takes more" in whole.status.message


def test_a_collector_that_is_not_there_costs_no_answer(traced, replica: str, free_port: int) -> None:
    app = traced(f"http://127.0.0.1:{free_port}", replica)
    with TestClient(app, base_url="http://127.0.0.1:1") as client:
        body = {"inputs": {"x": np.ones((1, 2)).tolist()}}
        assert client.post(PREDICT, json=body, headers=CALLERS).status_code == 200


def test_without_a_collector_nothing_is_traced() -> None:
    traces = Traces()
    with traces.span("anything", "SERVER", {}) as span:
        assert span is None
        assert traces.headers() == {}
    traces.close()
