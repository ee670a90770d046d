"""The same tools with their defaults: Postgres, `mlflow server`, `ray start --head`, one deployment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg

from mlops.installation import LOOPBACK, Installation
from mlops.services import postgres, processes

_BIN = Path(sys.executable).parent
_SERVE = Path(__file__).with_name("serving_ray.py")


def memory(
    installation: Installation, folder: Path, measure: Callable[[Path, int | None], list[float]]
) -> list[float]:
    """Idle memory of the defaults, over the same Postgres data and the same model."""
    home = folder / "defaults"
    home.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))},
        **processes.mark(home, "defaults"),
    }
    ports = installation.choose_ports(["postgres", "mlflow", "ray"])
    database = postgres.service(installation, ports["postgres"])
    url = installation.database_url("defaults").replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        _spawn(list(database.command), environment, home / "postgres.log")
        _create_database(installation)
        mlflow = [str(_BIN / "mlflow"), "server", "--host", LOOPBACK, "--port", str(ports["mlflow"])]
        mlflow += ["--artifacts-destination", str(home / "artifacts")]
        _spawn(mlflow, {**environment, "MLFLOW_BACKEND_STORE_URI": url}, home / "mlflow.log")
        ray = [str(_BIN / "ray"), "start", "--head", "--block", "--port", str(ports["ray"])]
        ray += ["--temp-dir", str(installation.short_dir()), "--disable-usage-stats"]
        _spawn(ray, environment, home / "ray.log")
        _answers(f"http://{LOOPBACK}:{ports['mlflow']}/health")
        model = next(installation.bentos_dir.rglob("*.onnx"))
        # The driver ends; what it deployed stays. Its own memory is not counted.
        address = f"{LOOPBACK}:{ports['ray']}"
        subprocess.run(
            [sys.executable, str(_SERVE), address, str(model)], env=environment, check=True, timeout=180
        )
        return measure(home, None)
    except OSError:
        print((home / "mlflow.log").read_text()[-2000:], file=sys.stderr)
        raise
    finally:
        processes.end_all(home)


def _create_database(installation: Installation, seconds: float = 20.0) -> None:
    # A database of its own: MLflow without workspaces does not start on one that has some.
    deadline = time.monotonic() + seconds
    while True:
        try:
            with psycopg.connect(installation.database_url("postgres"), autocommit=True) as connection:
                connection.execute("CREATE DATABASE defaults")
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _spawn(command: list[str], environment: dict[str, str], log: Path) -> None:
    with log.open("wb") as file:
        subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)


def _answers(url: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
