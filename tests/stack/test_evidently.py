"""Evidently's UI on the whole stack: asked for, killed, seen through the gateway, and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from mlops.entities import ServiceState, ServiceStatus
from mlops.installation import Installation
from mlops.services.names import EVIDENTLY, SERVICES
from mlops.services.sockets import listeners
from mlops.services.status import read_status
from tests.stack.test_end_to_end import toolkit


def until(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def ui(stack: Installation) -> ServiceStatus | None:
    return next((each for each in read_status(stack) if each.name == EVIDENTLY), None)


def test_it_runs_on_request_survives_a_kill_and_ends(stack: Installation) -> None:
    assert {each.name for each in read_status(stack)} == set(SERVICES)
    headers = {"Authorization": f"Bearer {stack.secret('admin_token')}"}
    with httpx.Client(headers=headers, trust_env=False, timeout=60) as client:
        assert client.get(f"{stack.gateway_url}/evidently/").status_code == 503

        done = toolkit(stack, "mlops:evidently", "--json")
        assert done.returncode == 0, done.stderr
        link = json.loads(done.stdout)["url"]
        assert link.startswith(f"{stack.gateway_url}/login?ticket=")
        assert link.endswith("&next=/evidently/")
        answer = client.get(f"{stack.gateway_url}/evidently/")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{stack.evidently_url}/")
        assert client.get(f"{stack.evidently_url}/api/version").json()["version"].startswith("0.7.")
        assert httpx.get(f"{stack.evidently_url}/api/version", trust_env=False).status_code == 401
        assert httpx.get(f"{stack.evidently_ui_url}/api/version", trust_env=False).status_code == 403
        assert {each.address for each in listeners(stack) if each.service == EVIDENTLY} == {"127.0.0.1"}
        assert toolkit(stack, "mlops:status").returncode == 0
        again = toolkit(stack, "mlops:evidently", "--no-open")
        assert again.returncode == 0, "it runs already"

        before = ui(stack)
        assert before is not None
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: (now := ui(stack)) and now.restarts == 1 and now.state is ServiceState.HEALTHY)
        assert client.get(f"{stack.evidently_url}/api/projects").status_code == 200

        stopped = toolkit(stack, "mlops:evidently", "--stop")
        assert (stopped.returncode, stopped.stdout) == (0, "Stopped.\n")
        until(lambda: ui(stack) is None)
        assert client.get(f"{stack.gateway_url}/evidently/").status_code == 503
        assert client.get(f"{stack.evidently_url}/api/projects").status_code == 503

    def told() -> set[str]:
        health = httpx.get(f"{stack.gateway_url}/health", trust_env=False).json()
        return {each["name"] for each in health["services"]}

    until(lambda: EVIDENTLY not in told())  # it answers at once, with what it saw last


def test_one_that_cannot_start_is_told_and_not_tried_for_ever(stack: Installation) -> None:
    port = urlsplit(stack.evidently_ui_url).port
    assert port is not None
    with socket.create_server(("127.0.0.1", port)):
        done = toolkit(stack, "mlops:evidently", "--no-open")
    assert done.returncode == 7
    assert "mlops:logs evidently" in done.stderr
    until(lambda: ui(stack) is None)
    assert toolkit(stack, "mlops:status").returncode == 0
