"""Which services an installation runs, and which it finds elsewhere."""

from __future__ import annotations

import socket
import sys
from urllib.parse import urlsplit

import psycopg

from mlops.installation import LOOPBACK, Installation
from mlops.services import evidently, mlflow, postgres, ray
from mlops.services.base import External, Service
from mlops.services.probes import heartbeat_probe, http_probe, http_problem

_PORTS = ("gateway", "postgres", "mlflow", "ray", "ray_agent", "evidently", "evidently_ui")


def services(installation: Installation) -> list[Service]:
    """What is to be started here; chooses and records the ports."""
    ports = installation.choose_ports(_PORTS)
    config = installation.config
    found = []
    if config.database_url is None:
        found.append(postgres.service(installation, ports["postgres"]))
    if config.mlflow_uri is None:
        found.append(mlflow.service(installation, ports["mlflow"]))
    if config.ray_address is None:
        found.append(ray.service(installation, ports["ray"], ports["ray_agent"]))
    after_database = () if config.database_url else ("postgres",)
    found.append(_worker(installation, after_database))
    found.append(_gateway(ports["gateway"], after_database))
    found.append(evidently.service(installation, ports["evidently_ui"]))
    return found


def externals(installation: Installation) -> list[External]:
    """What settings place elsewhere."""
    config = installation.config
    found = []
    if config.database_url is not None:
        url = installation.database_url("mlops")
        found.append(External("postgres", lambda: _database_problem(url), _host_of(url)))
    if config.mlflow_uri is not None:
        health = f"{installation.mlflow_url}/health"
        found.append(External("mlflow", lambda: http_problem(health), installation.mlflow_url))
    if config.ray_address is not None:
        address = config.ray_address
        found.append(External("ray", lambda: _port_problem(address), address))
    return found


def _worker(installation: Installation, after: tuple[str, ...]) -> Service:
    return Service(
        name="worker",
        command=[sys.executable, "-m", "mlops.worker"],
        probe=heartbeat_probe(installation.run_dir / "worker.json"),
        after=after,
        stop_timeout_s=10.0,
    )


def _gateway(port: int, after: tuple[str, ...]) -> Service:
    return Service(
        name="gateway",
        command=[sys.executable, "-m", "mlops.gateway"],
        listen_port=port,
        probe=http_probe(f"http://{LOOPBACK}:{port}/health", port),
        address=f"http://{LOOPBACK}:{port}",
        after=after,
    )


def _database_problem(url: str) -> str | None:
    try:
        with psycopg.connect(url, connect_timeout=3, application_name="mlops-probe") as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip().splitlines()[0]
    return None


def _port_problem(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
    except (OSError, ValueError) as error:
        return f"{address}: {error}"
    return None


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}"
