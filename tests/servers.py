"""A real MLflow server and two projects registered on it, as fixtures."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import pytest

from mlops.tracking.admin import MLflowAdmin


@dataclass(frozen=True)
class Server:
    """An MLflow server and its administrator."""

    url: str
    username: str
    password: str


@dataclass(frozen=True)
class Account:
    """One project on the server: its namespace is also the name of its service account."""

    project: str
    namespace: str
    url: str
    username: str
    password: str
    experiment_id: str

    def settings(self) -> dict[str, str]:
        """What the MLflow adapters are constructed with."""
        return asdict(self)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`mlflow server` with the platform's flags, on SQLite, for this test process alone."""
    folder = tmp_path_factory.mktemp("mlflow")
    password, port = secrets.token_urlsafe(24), _free_port()
    server = Server(f"http://127.0.0.1:{port}", "admin", password)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            _command(folder, port),
            env=_environment(folder, password),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(server.url, process, folder / "server.log")
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _command(folder: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server", "--enable-workspaces", "--app-name", "basic-auth"),
        *("--workers", "1", "--host", "127.0.0.1", "--port", str(port)),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]


def _environment(folder: Path, password: str) -> dict[str, str]:
    auth = folder / "auth.ini"
    auth.touch(mode=0o600)
    auth.write_text(
        "[mlflow]\n"
        "default_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\n"
        "admin_username = admin\n"
        f"admin_password = {password}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "grant_default_workspace_access = false\n"
        "auth_cache_ttl_seconds = 60\n"
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return kept | {
        "MLFLOW_AUTH_CONFIG_PATH": str(auth),
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(24),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"mlflow server did not start:\n{log.read_text()[-4000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def mlflow_accounts(mlflow_server: Server) -> tuple[Account, Account]:
    """Two projects registered on the server."""
    admin = MLflowAdmin(
        url=mlflow_server.url, username=mlflow_server.username, password=mlflow_server.password
    )
    made = []
    for project in ("contract-a", "contract-b"):
        namespace = f"{project}-{secrets.token_hex(3)}"
        password = secrets.token_urlsafe(24)
        experiment = admin.prepare_project(namespace, password)
        made.append(Account(project, namespace, mlflow_server.url, namespace, password, experiment))
    return made[0], made[1]
