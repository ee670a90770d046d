"""Postgres and MLflow as the platform starts them, without the rest of the stack, and one project."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from mlops.config import MLOpsConfig
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.registration import register
from mlops.services import mlflow, postgres
from mlops.services.base import Service
from mlops.services.probes import http_problem
from mlops.store.store import Store
from mlops.workspace import Workspace
from tests.bench.tracking_child import Child, until

PROJECT = "bench"
_START_S = 120.0

_COUNTS = """
SELECT tags.value, metrics.step, count(*), count(DISTINCT metrics.key),
  count(DISTINCT metrics.key) FILTER (
    WHERE abs(metrics.value - (metrics.step * 0.001 + substr(metrics.key, 2)::int)) < 1e-6)
FROM tags JOIN metrics ON metrics.run_uuid = tags.run_uuid
WHERE tags.key = 'mlops.run_key' AND tags.value = ANY(%s) AND metrics.key ~ '^m[0-9]+$'
GROUP BY tags.value, metrics.step
"""
"""Points, different metrics, and those with the value that `tracking_pace.values` gave them."""


@dataclass(frozen=True)
class Tally:
    """What the server has of what was acknowledged."""

    acknowledged: int
    lost: int
    twice: int


class Server:
    """One MLflow worker on Postgres; use `running`."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.installation = installation
        self.folder = folder
        ports = installation.choose_ports(["postgres", "mlflow", "gateway"])
        self._postgres = postgres.service(installation, ports["postgres"])
        self._mlflow = mlflow.service(installation, ports["mlflow"])
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Server]:
        """With both services up and the project registered; all of it is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            installation = Installation(MLOpsConfig(home=Path(folder) / "home"))
            installation.prepare()
            postgres.initialise(installation)
            server = cls(installation, Path(folder))
            try:
                server._start_postgres()
                server.start_mlflow()
                server._register()
                yield server
            finally:
                server._stop()

    # -- services -------------------------------------------------------------------------------

    def start_mlflow(self) -> None:
        """Start MLflow, and wait until it answers."""
        process = self._spawn(self._mlflow)

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(self._log(self._mlflow).read_text(errors="replace")[-4000:])
            return http_problem(f"{self.installation.mlflow_url}/health") is None

        until(answers, _START_S)

    def kill_mlflow(self) -> None:
        """SIGKILL to MLflow and its worker."""
        process = self._processes.pop("mlflow")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def start_gateway(self) -> None:
        """Start the gateway, and wait until it lets callers in."""
        environment = {"MLOPS_HOME": str(self.installation.root)}
        self._spawn(
            Service("gateway", [sys.executable, "-m", "mlops.gateway"], lambda _: None, env=environment)
        )
        gateway = Workspace.open(PROJECT, self.installation).gateway

        def answers() -> bool:
            try:
                return isinstance(gateway.request("GET", "/api/me"), dict)
            except ServiceUnavailable:
                return False

        until(answers, _START_S)
        gateway.close()

    def _start_postgres(self) -> None:
        process = self._spawn(self._postgres)
        until(lambda: self._postgres.probe(frozenset([process.pid])) is None, _START_S)
        postgres.create_databases(self.installation.database_url)

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        with self._log(service).open("ab") as log:
            process = subprocess.Popen(
                list(service.command),
                env={**kept, **service.env},
                cwd=service.cwd,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes[service.name] = process
        return process

    def _log(self, service: Service) -> Path:
        return self.installation.logs_dir / f"{service.name}.log"

    def _stop(self) -> None:
        if "mlflow" in self._processes:
            self.kill_mlflow()
        if "gateway" in self._processes:
            self._processes["gateway"].terminate()
            self._processes.pop("gateway").wait(60)
        if "postgres" in self._processes:
            process = self._processes.pop("postgres")
            process.send_signal(self._postgres.stop_signal)
            process.wait(60)
        shutil.rmtree(postgres.data_dir(self.installation), ignore_errors=True)  # may lie outside the home

    def _register(self) -> None:
        project = self.folder / "project"
        project.mkdir()
        (project / "project.toml").write_text(f'[project]\nname = "{PROJECT}"\n')
        store = Store(self.installation.database_url())
        store.upgrade()
        register(project, self.installation, store)
        store.close()

    # -- the project ----------------------------------------------------------------------------

    @property
    def journal(self) -> Path:
        """Where the project's runs wait for their delivery."""
        return Workspace.open(PROJECT, self.installation).journal_dir

    def pending(self) -> list[str]:
        """Runs that are not wholly delivered."""
        return [path.name for path in self.journal.glob("[!.]*")] if self.journal.exists() else []

    def drop_journal(self) -> None:
        """Throw away what was not delivered: the next measurement shall not deliver it."""
        shutil.rmtree(self.journal, ignore_errors=True)

    def ours(self, scenario: str, *, flush_s: float = 0.0, **request: object) -> Child:
        """Start a scenario of `tracking_ours`; at a run's end it waits `flush_s` for the server."""
        environment = {
            "MLOPS_HOME": str(self.installation.root),
            "MLOPS_FLUSH_TIMEOUT_S": str(flush_s),
        }
        return Child("tests.bench.tracking_ours", scenario, request, self.folder, environment)

    def theirs(self, scenario: str, **request: object) -> Child:
        """Start a scenario of `tracking_on_mlflow`: plain MLflow, with the project's account."""
        workspace = Workspace.open(PROJECT, self.installation)
        secret = self.installation.project_secret_name(PROJECT, "mlflow")
        environment = {
            "MLFLOW_TRACKING_URI": self.installation.mlflow_url,
            "MLFLOW_TRACKING_USERNAME": workspace.info.namespace,
            "MLFLOW_TRACKING_PASSWORD": self.installation.secret(secret),
            "MLFLOW_WORKSPACE": workspace.info.namespace,
            "MLFLOW_EXPERIMENT_ID": workspace.info.mlflow_experiment_id,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        return Child("tests.bench.tracking_on_mlflow", scenario, request, self.folder, environment)

    # -- what arrived ---------------------------------------------------------------------------

    def points_of(self, mlflow_id: str) -> int:
        """Points of one run in the database."""
        with psycopg.connect(self.installation.database_url("mlflow")) as connection:
            found = connection.execute("SELECT count(*) FROM metrics WHERE run_uuid = %s", [mlflow_id])
            return int(found.fetchone()[0])  # type: ignore[index]

    def tally(self, acknowledged: Mapping[str, int], width: int) -> Tally:
        """Compare the database with the number of acknowledged calls of each run, by its key.

        The steps of a run count from 0, each with the `width` metrics of `tracking_pace.values`; a wrong
        value counts as lost. A call that was made and not acknowledged may be there or not. A second run
        of the same key counts as points there twice.
        """
        with psycopg.connect(self.installation.database_url("mlflow")) as connection:
            rows = connection.execute(_COUNTS, [list(acknowledged)]).fetchall()
        there = sum(right for key, step, _, _, right in rows if step < acknowledged[key])
        expected = width * sum(acknowledged.values())
        twice = sum(count - different for _, _, count, different, _ in rows)
        return Tally(expected, expected - there, twice)
