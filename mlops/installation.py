"""What set-up keeps under MLOPS_HOME: folders, secrets and the ports that were chosen."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from mlops.config import MLOpsConfig
from mlops.errors import ConfigError, PortTaken

LOOPBACK = "127.0.0.1"

SECRETS = (
    "postgres_password",
    "mlflow_admin_password",
    "mlflow_flask_key",
    "ray_token",
    "replica_secret",
    "admin_token",
    "evidently_secret",
    "session_key",
)

# Kept outside Ray's worker range (10002–19999), its client port and direct ingress (from 30000).
_PORTS = range(20100, 29900)
_SHORT_PREFIX = "mlops-"


class Installation:
    """One MLOPS_HOME. Creating the object touches nothing; `prepare` makes what is missing."""

    def __init__(self, config: MLOpsConfig) -> None:
        self.config = config
        # One spelling: it marks our processes, and Postgres reports the resolved path.
        self.root = config.home.expanduser().resolve()
        self.postgres_dir = self.root / "postgres"
        self.mlflow_dir = self.root / "mlflow"
        self.artifacts_dir = self.root / "artifacts"
        self.bentos_dir = self.root / "bentos"
        self.drift_dir = self.root / "drift"
        self.remotes_dir = self.root / "remotes"
        self.journal_dir = self.root / "journal"
        self.logs_dir = self.root / "logs"
        self.run_dir = self.root / "run"
        self.secrets_dir = self.root / "secrets"
        self._ports_file = self.root / "ports.json"

    # -- set-up ---------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the folders (0700) and the missing secrets (0600); safe to repeat.

        Raises `ConfigError` when MLOPS_HOME cannot be written, or holds something else.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._refuse_foreign()
            self.root.chmod(0o700)
            for folder in (
                self.secrets_dir,  # first: it tells that the folder is ours
                self.mlflow_dir,
                self.artifacts_dir,
                self.bentos_dir,
                self.drift_dir,
                self.remotes_dir,
                self.journal_dir,
                self.logs_dir,
                self.run_dir,
            ):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"MLOPS_HOME={self.root}: {error.strerror or error}",
                remedy="Set MLOPS_HOME to a folder you may write, with some GB free.",
                setting="MLOPS_HOME",
            ) from error
        for name in SECRETS:
            self.make_secret(name)

    def _refuse_foreign(self) -> None:
        # MLOPS_HOME=/tmp must not lock everybody out of /tmp. Looked at in this order, since another
        # set-up may be at work here: whatever it has made, it has made the secrets' folder before.
        holds_something = any(self.root.iterdir())
        if holds_something and not self.secrets_dir.is_dir():
            raise ConfigError(
                f"MLOPS_HOME={self.root} holds something that is not ours",
                remedy="Set MLOPS_HOME to a folder of its own, new or empty.",
                setting="MLOPS_HOME",
            )

    @property
    def is_prepared(self) -> bool:
        """Whether set-up has been here."""
        return (self.secrets_dir / SECRETS[-1]).is_file()

    # -- secrets --------------------------------------------------------------------------------

    def secret_file(self, name: str) -> Path:
        """The 0600 file that holds the secret `name`."""
        return self.secrets_dir / name

    def make_secret(self, name: str) -> str:
        """Return the secret `name`, generating it first where there is none."""
        path = self.secret_file(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32), replace=False)
        return self.secret(name)

    def secret(self, name: str) -> str:
        """Read the secret `name`; raises `ConfigError` before set-up, and for an empty file."""
        try:
            kept = self.secret_file(name).read_text(encoding="utf-8").strip()
        except OSError as error:
            made_by = "mlops:register <folder>" if name.startswith("project.") else "mlops:setup"
            raise ConfigError(
                f"no secret {name!r} in {self.secrets_dir}",
                remedy=f"Run `efficientai-toolkit {made_by}` as the user who owns MLOPS_HOME.",
                secret=name,
            ) from error
        if not kept:  # it would let everyone in
            raise ConfigError(
                f"{self.secret_file(name)} is empty",
                remedy="Delete it: the secret is made anew at the next `mlops:start` or `mlops:register`.",
                secret=name,
            )
        return kept

    def identity(self) -> str:
        """Tells installations apart that share a database or a Ray cluster; stays when MLOPS_HOME is moved.
        Raises `ConfigError` before set-up."""
        return hashlib.sha256(b"installation:" + self.secret("replica_secret").encode()).hexdigest()[:12]

    def project_secret_name(self, project: str, kind: str) -> str:
        """Name of a project's secret; `kind` is `token` (gateway) or `mlflow` (its service account)."""
        return f"project.{project}.{kind}"

    def channel_secret_name(self, project: str, name: str) -> str:
        """Name of a secret that an alert channel names, of a project or ("") of the platform."""
        return self.project_secret_name(project, f"alerts.{name}") if project else f"alerts.{name}"

    # -- a short folder -------------------------------------------------------------------------

    def short_dir(self) -> Path:
        """A folder with a short path for Ray's sockets (at most 104 bytes on macOS), made and recorded
        when it is missing."""
        record = self.run_dir / "short_dir"
        if record.is_file() and _is_own_short_dir(known := Path(record.read_text())):
            return known
        base = Path("/tmp")  # noqa: S108 - mkdtemp makes it private; $TMPDIR is too long on macOS
        made = Path(tempfile.mkdtemp(prefix=_SHORT_PREFIX, dir=base if base.is_dir() else None))
        write_private(record, str(made))
        return made

    # -- ports ----------------------------------------------------------------------------------

    def ports(self) -> dict[str, int]:
        """The recorded ports; empty before the first start."""
        try:
            ports = {str(k): int(v) for k, v in json.loads(self._ports_file.read_text()).items()}
            if not all(0 < port < 65536 for port in ports.values()):
                raise ValueError("a port is out of range")
            return ports
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{self._ports_file} is damaged: {error}",
                remedy="Delete it: ports are chosen anew at the next `mlops:start`.",
            ) from error

    def choose_ports(self, names: Iterable[str]) -> dict[str, int]:
        """Choose and record a port for each name: the setting's, else the recorded one if it is
        free, else a free one; those of other names stay recorded. Raises `PortTaken` when a setting's
        port is another program's, and `ConfigError` when two settings demand the same one."""
        recorded = self.ports()
        chosen = dict.fromkeys(names, 0)
        for name in chosen:
            if wanted := int(getattr(self.config, f"{name}_port", 0)):
                self._check_wanted(name, wanted, chosen)
                chosen[name] = wanted
        for name in chosen:
            port = chosen[name] or recorded.get(name, 0)
            if chosen[name] == 0 and (not port or port in chosen.values() or not _is_free(port)):
                port = _free_port(taken=set(chosen.values()) | set(recorded.values()))
            chosen[name] = port
        write_private(self._ports_file, json.dumps(recorded | chosen, indent=1))
        return chosen

    def _check_wanted(self, name: str, port: int, chosen: dict[str, int]) -> None:
        setting = f"MLOPS_{name.upper()}_PORT"
        other = next((known for known in chosen if chosen[known] == port), None)
        if other is not None:
            raise ConfigError(
                f"{setting}={port} is also MLOPS_{other.upper()}_PORT",
                remedy="Give each service a port of its own, or unset one of the two.",
                setting=setting,
            )
        if not _is_free(port):
            raise PortTaken(name, port, setting)

    def _port(self, name: str) -> int:
        try:
            return self.ports()[name]
        except KeyError:
            raise ConfigError(
                f"no port of {name} is recorded in {self.root}",
                remedy="Run `efficientai-toolkit mlops:start`.",
                service=name,
            ) from None

    # -- addresses ------------------------------------------------------------------------------

    @property
    def gateway_url(self) -> str:
        """The gateway's URL."""
        return f"http://{LOOPBACK}:{self._port('gateway')}"

    @property
    def evidently_url(self) -> str:
        """Where the gateway shows Evidently's UI; empty until a start has chosen its port."""
        return self._url_of("evidently")

    @property
    def evidently_ui_url(self) -> str:
        """Where Evidently's UI answers the gateway; empty until a start has chosen its port."""
        return self._url_of("evidently_ui")

    def _url_of(self, name: str) -> str:
        port = self.ports().get(name)
        return f"http://{LOOPBACK}:{port}" if port else ""

    @property
    def mlflow_url(self) -> str:
        """MLflow's URL, embedded or elsewhere, without credentials."""
        return (self.config.mlflow_uri or f"http://{LOOPBACK}:{self._port('mlflow')}").rstrip("/")

    def mlflow_admin(self) -> tuple[str, str]:
        """MLflow's administrator: (user, password)."""
        if self.config.mlflow_uri:
            if self.config.mlflow_password is None:
                raise ConfigError(
                    "MLOPS_MLFLOW_URI is set without MLOPS_MLFLOW_PASSWORD",
                    remedy="Set MLOPS_MLFLOW_USERNAME and MLOPS_MLFLOW_PASSWORD to its administrator's.",
                    setting="MLOPS_MLFLOW_PASSWORD",
                )
            return self.config.mlflow_username, self.config.mlflow_password.get_secret_value()
        return "admin", self.secret("mlflow_admin_password")

    def data_remote(self, namespace: str) -> str:
        """Where a project's data is pushed to: a path of its own below the platform's remote."""
        return f"{self.config.data_remote or self.remotes_dir}/{namespace}"

    def database_url(self, database: str = "mlops") -> str:
        """URL of a database, with its password: never print it, never put it into arguments."""
        if self.config.database_url is not None:
            parts = urlsplit(self.config.database_url.get_secret_value())
            return urlunsplit(parts._replace(scheme="postgresql", path=f"/{database}"))
        password = quote(self.secret("postgres_password"), safe="")
        # The user's PGSSLMODE and the like are for other servers; GSS is not safe after a fork on macOS.
        options = "sslmode=disable&gssencmode=disable"
        return f"postgresql://mlops:{password}@{LOOPBACK}:{self._port('postgres')}/{database}?{options}"

    @property
    def ray_address(self) -> str:
        """`host:port` of Ray's GCS."""
        return self.config.ray_address or f"{LOOPBACK}:{self._port('ray')}"

    def ray_token(self) -> str:
        """The token every Ray client sends."""
        if self.config.ray_address:
            return self.config.ray_token.get_secret_value() if self.config.ray_token else ""
        return self.secret("ray_token")


def write_private(path: Path, text: str, *, durable: bool = True, replace: bool = True) -> None:
    """Write `text` to `path` at once or not at all, readable by its owner alone (0600); `durable`
    also brings it to the disk before it returns. Without `replace` a file that is there stays: of two
    that write at once, the first wins."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if replace:
            part.replace(path)
        else:
            try:
                path.hardlink_to(part)
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _is_own_short_dir(path: Path) -> bool:
    # It is removed as a whole at a stop, and anyone may make folders in /tmp once it is gone.
    return (
        path.is_absolute()
        and path.name.startswith(_SHORT_PREFIX)
        and path.is_dir()
        and not path.is_symlink()
        and path.stat().st_uid == os.geteuid()
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    for _ in range(1000):
        port = secrets.choice(_PORTS)
        if port not in taken and _is_free(port):
            return port
    raise ConfigError("no free port was found", remedy="Close some programs that listen on 127.0.0.1.")
