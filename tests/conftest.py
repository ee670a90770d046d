"""Fixtures shared by every test: real servers, started once, on free ports, in temporary folders."""

from __future__ import annotations

import gc
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops.config import MLOpsConfig
from mlops.installation import Installation
from mlops.services import control, postgres
from tests.evidently_ui import evidently_ui
from tests.servers import mlflow_accounts, mlflow_server
from tests.shared_servers import SharedServers

if TYPE_CHECKING:
    import mlflow

__all__ = ["evidently_ui", "mlflow_accounts", "mlflow_server"]

# Records are compared as wholes; the sampling of hardware, which adds to them, has tests of its own.
os.environ["MLOPS_HARDWARE_INTERVAL_S"] = "0"


def pytest_configure(config: pytest.Config) -> None:
    """A plugin of the whole session: hooks of this file are not called for fixtures of the session."""
    config.pluginmanager.register(SharedServers())


def pytest_collection_finish() -> None:
    """Keep what was imported out of every later collection of garbage: a fifth of a gateway test's time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def database_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation of which only Postgres runs, with the databases `mlops` and `mlflow`."""
    installation = Installation(MLOpsConfig(home=tmp_path_factory.mktemp("home")))
    installation.prepare()
    postgres.initialise(installation)
    port = installation.choose_ports(["postgres"])["postgres"]
    service = postgres.service(installation, port)
    with (installation.logs_dir / "postgres.log").open("wb") as log:
        process = subprocess.Popen(service.command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(lambda: service.probe(frozenset([process.pid])), installation.logs_dir / "postgres.log")
        postgres.create_databases(installation.database_url)
        yield installation
    finally:
        process.send_signal(service.stop_signal)
        process.wait(20)


@pytest.fixture(scope="session")
def database_url(database_installation: Installation) -> str:
    """URL of a real, empty, unmigrated database `mlops` (one for each test process)."""
    return database_installation.database_url("mlops")


@pytest.fixture(scope="session")
def mlflow_database_url(database_installation: Installation) -> str:
    """URL of the database `mlflow`, which MLflow makes its tables in when `mlflow_database` is used."""
    return database_installation.database_url("mlflow")


@pytest.fixture(scope="session")
def mlflow_database(mlflow_database_url: str) -> mlflow.MlflowClient:
    """MLflow's client straight on its database.

    Its stores are opened here, once a process: MLflow refuses to open a registry without workspaces
    where there are models of one already, and tests write such rows.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow

    url = mlflow_database_url.replace("postgresql:", "postgresql+psycopg:")
    client = mlflow.MlflowClient(tracking_uri=url)
    client.search_registered_models(max_results=1)
    return client


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The whole stack, started as `mlops:start` does and stopped as `mlops:stop` does."""
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    installation = Installation(MLOpsConfig(home=private / "home"))
    try:
        control.start(installation)
        yield installation
    finally:
        control.stop(installation)


def _wait(probe, log: Path, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while (problem := probe()) is not None:
        if time.monotonic() > deadline:
            pytest.fail(f"{problem}\n{log.read_text()}")
        time.sleep(0.05)
