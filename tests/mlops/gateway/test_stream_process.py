"""A stream through the gateway's own server."""

from __future__ import annotations

import json
import threading
import time

import httpx
import pytest
import uvicorn

from mlops.gateway.app import create_app
from mlops.gateway.server import GatewayServer


@pytest.fixture
def server(platform, add_project):
    add_project("alpha")
    add_project("beta")
    app = create_app(platform)
    port = int(platform.addresses.gateway.rpartition(":")[2])
    settings = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None)
    made = GatewayServer(settings, app.state.streams.close)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not (made.started and platform.is_prepared):
        assert time.monotonic() < deadline, "the gateway did not start"
        time.sleep(0.02)
    yield made, thread, app.state.streams
    made.should_exit = True
    thread.join(30)


def test_a_member_is_told_of_its_own_alone_and_a_gateway_that_stops_ends_it(
    server, platform, add_run
) -> None:
    made, thread, streams = server
    headers = {"Authorization": "Bearer token-of-alpha"}
    url = platform.addresses.gateway + "/events"
    with httpx.stream("GET", url, headers=headers, trust_env=False, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        time.sleep(1.5)  # the first look is taken
        add_run("beta", "of-beta")
        time.sleep(1.5)
        add_run("alpha", "of-alpha")
        told = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
        assert told == {"runs": ["alpha"]}
        made.should_exit = True
        assert [line for line in lines if line.startswith("data: ")] == []
    thread.join(30)
    assert not thread.is_alive()
    assert streams.open == 0
