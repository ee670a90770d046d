"""The embedded MLflow server: native workspaces, basic auth, on the embedded Postgres."""

from __future__ import annotations

import configparser
import io
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlops.installation import LOOPBACK, Installation, write_private
from mlops.services.base import Service
from mlops.services.probes import http_probe


def service(installation: Installation, port: int) -> Service:
    """The service; writes its 0600 auth file.

    `mlflow server` runs uvicorn as its child; the database URL and the keys go by environment and
    file, since arguments are readable by any user of the machine.
    """
    auth_file = installation.mlflow_dir / "auth.ini"
    database, password = _database(installation)
    _write_auth(database, auth_file)
    return Service(
        name="mlflow",
        command=[
            *(sys.executable, "-m", "mlflow", "server"),
            *("--host", LOOPBACK, "--port", str(port)),
            *("--workers", str(installation.config.mlflow_workers)),
            *("--app-name", "basic-auth", "--enable-workspaces", "--serve-artifacts"),
            *("--uvicorn-opts", "--no-access-log"),
            *("--artifacts-destination", installation.artifacts_dir.as_uri()),
        ],
        env={
            "MLFLOW_BACKEND_STORE_URI": database,
            **({"PGPASSWORD": password} if password else {}),
            "MLFLOW_AUTH_CONFIG_PATH": str(auth_file),
            "MLFLOW_AUTH_ADMIN_PASSWORD": installation.secret("mlflow_admin_password"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": installation.secret("mlflow_flask_key"),
            # Starts some nine processes of 266 MB, and runs code that callers name (threat 2).
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Its default of 15 connections makes many programs at once wait 30 s for one, and then fail.
            "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "10",
            "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "40",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"{LOOPBACK}:*,localhost:*",
        },
        probe=http_probe(f"http://{LOOPBACK}:{port}/health", port),
        address=f"http://{LOOPBACK}:{port}",
        after=() if installation.config.database_url else ("postgres",),
        cwd=installation.mlflow_dir,
    )


def _database(installation: Installation) -> tuple[str, str]:
    """SQLAlchemy's URL of the database without its password, and the password, which libpq takes by itself:
    MLflow writes the URL into its log when a workspace is deleted."""
    url = urlsplit(installation.database_url("mlflow"))
    account, _, address = url.netloc.rpartition("@")
    user, _, password = account.partition(":")
    bare = url._replace(scheme="postgresql+psycopg", netloc=f"{user}@{address}" if user else address)
    return bare.geturl(), unquote(password)


def _write_auth(database: str, path: Path) -> None:
    ini = configparser.ConfigParser(interpolation=None)
    ini["mlflow"] = {
        "default_permission": "NO_PERMISSIONS",
        # MLflow reads the file with interpolation on, where a percent sign is written twice.
        "database_uri": database.replace("%", "%%"),
        "admin_username": "admin",
        "grant_default_workspace_access": "false",
        # PBKDF2 once a minute instead of at every request.
        "auth_cache_ttl_seconds": "60",
    }
    text = io.StringIO()
    ini.write(text)
    write_private(path, text.getvalue())
