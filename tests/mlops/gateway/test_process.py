"""The gateway as the supervisor runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from mlops.config import MLOpsConfig
from mlops.installation import Installation

HEAVY = ("ray", "mlflow", "bentoml", "torch", "evidently", "dvc", "pandas", "numpy")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(MLOpsConfig(home=tmp_path / "home"))
    made.prepare()
    made.choose_ports(["gateway", "mlflow", "postgres"])
    return made


@pytest.fixture
def gateway(installation: Installation) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the process with settings; it ends with the test."""
    started = []

    def start(**settings: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "MLOPS_HOME": str(installation.root), **settings}
        command = [sys.executable, "-m", "mlops.gateway"]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _wait_for(url: str, seconds: float = 60.0) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return httpx.get(url, trust_env=False)
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the gateway did not start"
            time.sleep(0.1)


def test_serves_seeds_the_admin_and_drains_on_sigterm(installation, gateway, store, database_url) -> None:
    process = gateway(MLOPS_DATABASE_URL=database_url)
    health = _wait_for(f"{installation.gateway_url}/health")
    assert (health.json()["status"], health.json()["pid"]) == ("ok", process.pid)
    headers = {"Authorization": f"Bearer {installation.secret('admin_token')}"}
    deadline = time.monotonic() + 60
    while (answer := httpx.get(f"{installation.gateway_url}/api/me", headers=headers)).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert answer.json()["role"] == "admin"
    assert "server" not in answer.headers
    services = httpx.get(f"{installation.gateway_url}/api/services", headers=headers).json()
    assert {row["state"] for row in services} == {"stopped"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (0, -signal.SIGTERM)


def test_answers_who_was_taken_before_sigterm_and_takes_nobody_after(installation, gateway) -> None:
    process = gateway()
    _wait_for(f"{installation.gateway_url}/health")
    door = urlsplit(installation.gateway_url)
    new, kept = (HTTPConnection(door.hostname, door.port, timeout=10) for _ in range(2))
    new.connect()
    assert _asked(kept) == (200, None)
    process.send_signal(signal.SIGTERM)
    _wait_until_refused((door.hostname, door.port))
    assert [_asked(caller) for caller in (new, kept)] == [(200, "close")] * 2
    assert process.wait(60) in (0, -signal.SIGTERM)


def _asked(caller: HTTPConnection) -> tuple[int, str | None]:
    """The status of an answer, and what it says of the connection."""
    caller.request("GET", "/health")
    answer = caller.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")


def _wait_until_refused(address: tuple[str, int]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("it still takes connections")


def test_who_says_nothing_does_not_keep_it(installation, gateway) -> None:
    process = gateway()
    _wait_for(f"{installation.gateway_url}/health")
    door = urlsplit(installation.gateway_url)
    with socket.create_connection((door.hostname, door.port)) as silent:
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        silent.settimeout(30)
        assert silent.recv(1) == b""
    assert process.wait(60) in (0, -signal.SIGTERM)


def test_lives_without_postgres_and_says_so(installation, gateway) -> None:
    process = gateway()
    assert _wait_for(f"{installation.gateway_url}/health").status_code == 200
    headers = {"Authorization": "Bearer x"}
    answer = httpx.get(f"{installation.gateway_url}/api/me", headers=headers)
    assert answer.status_code == 503
    assert answer.json()["error"]["fields"]["service"] == "postgres"
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def test_before_set_up_it_says_what_to_run(gateway, installation) -> None:
    (installation.secrets_dir / "session_key").unlink()
    process = gateway()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"mlops:setup" in errors


def test_imports_nothing_heavy() -> None:
    code = (
        "import sys, mlops.gateway.__main__, mlops.services.status;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
