"""The settings of the platform, built once at the edge and passed in."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from mlops.errors import ConfigError

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_DATA_SCHEMES = ("s3", "gs", "azure")
_LEAST_INTERVAL_S = 0.1
_HOST_PORT = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


class MLOpsConfig(BaseSettings):
    """Settings, each from `MLOPS_<NAME>` in the environment; docs/settings.md lists them."""

    model_config = SettingsConfigDict(
        env_prefix="MLOPS_",
        # An empty variable is an unset one: MLOPS_HOME="" must not mean the current folder.
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    home: Path = Field(default_factory=lambda: platformdirs.user_data_path("efficientai-toolkit"))
    """Folder of everything the platform keeps: databases, artifacts, secrets, logs."""

    database_url: SecretStr | None = None
    """A Postgres elsewhere for the platform's own database (`postgresql://user:password@host/mlops`);
    probed, not started. MLflow's database `mlflow` is kept beside it on the same server."""

    mlflow_uri: str | None = None
    """An MLflow server elsewhere (with workspaces and basic auth); probed, not started."""

    mlflow_username: str = "admin"
    """MLflow's administrator, needed to register projects."""

    mlflow_password: SecretStr | None = None
    """The administrator's password, for an MLflow elsewhere; the embedded one's is generated."""

    ray_address: str | None = None
    """A Ray cluster elsewhere (`host:port` of its GCS); probed, not started."""

    ray_token: SecretStr | None = None
    """The token of the Ray cluster elsewhere; the embedded one's is generated."""

    gateway_port: int = Field(default=0, ge=0, le=65535)
    """The gateway's port; 0 chooses a free one and keeps it."""

    mlflow_port: int = Field(default=0, ge=0, le=65535)
    """The embedded MLflow's port; 0 chooses a free one and keeps it."""

    postgres_port: int = Field(default=0, ge=0, le=65535)
    """The embedded Postgres' port; 0 chooses a free one and keeps it."""

    mlflow_workers: int = Field(default=1, ge=1, le=64)
    """Worker processes of the embedded MLflow; each holds about 200 MB."""

    ray_dashboard: bool = False
    """Whether the embedded Ray starts its own dashboard (about 200 MB more)."""

    otlp_endpoint: str | None = None
    """An OpenTelemetry collector (`http://host:4318`) that gets a trace of each inference: the gateway's part
    and the replica's. Replicas that run already go on as they began."""

    alert_channels: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Channels that every project and the platform may tell alerts by, as JSON:
    `{"team": {"kind": "webhook", "url": "https://…"}}`; docs/alerts.md has what each kind states."""

    alert_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of the inside that alerts may be sent into, as JSON (`["10.0.0.0/8"]`): without it public
    addresses alone."""

    alert_ca_file: Path | None = None
    """PEM certificates of authorities that receivers of alerts may have, besides the usual ones."""

    start_timeout_s: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """How long `mlops:start` waits for every service to be healthy, in seconds."""

    flush_timeout_s: float = Field(default=60.0, ge=0, allow_inf_nan=False)
    """How long the end of a run waits until the server has everything, in seconds; a server that cannot be
    reached is waited for at most one. What is left then is sent later, and nothing is lost."""

    capture_output: bool = True
    """Whether what a run prints is kept as its log."""

    hardware_interval_s: float = Field(default=5.0, ge=0, le=86400, allow_inf_nan=False)
    """How often a run samples its machine, in seconds, 0.1 at the least; 0 turns it off."""

    powermetrics: bool = False
    """Whether the sampling asks macOS' powermetrics too, through `sudo -n`, which never prompts: it must be
    allowed to without a password. Ignored elsewhere."""

    tracking_backend: str = "mlflow"
    """Where runs are tracked: `mlflow`, or `memory` for tests."""

    registry_backend: str = "mlflow"
    """Where model versions are registered: `mlflow`, or `memory` for tests."""

    data_backend: str = "dvc"
    """How data is versioned: `dvc`, or `local` for tests."""

    data_remote: str | None = None
    """Where the projects' data is pushed to: a folder, or `s3://bucket/prefix`, `gs://…`, `azure://…` (extras
    `s3`, `gcs`, `azure`); each project has a path of its own below it. By default a folder in MLOPS_HOME.
    It takes effect at registration."""

    data_remote_options: dict[str, SecretStr] = Field(default_factory=dict)
    """What DVC is to know of that remote besides, as JSON: `{"endpointurl": "http://minio:9000",
    "access_key_id": "…", "secret_access_key": "…"}` for S3. Registration writes it into the project's
    untracked DVC configuration (0600); the storage's own environment variables serve as well."""

    data_lock_wait_s: float = Field(default=60.0, ge=0, allow_inf_nan=False)
    """How long a data command waits for another process that holds DVC's lock, or git's, in seconds."""

    @classmethod
    def load(cls, **overrides: object) -> MLOpsConfig:
        """Read the environment; raises `ConfigError` naming the variable, its value and the rule."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except SettingsError as error:
            named = re.search(r'field "(\w+)"', str(error))  # nothing but its text says which
            name = "MLOPS_" + (named[1].upper() if named else "…")
            raise ConfigError(
                f"{name}=(not shown): is no JSON",
                remedy=f'Set it as docs/settings.md shows, such as {{"key": "value"}}, or unset {name}.',
                setting=name,
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0]) if first["loc"] else "…"
            name = "MLOPS_" + field.upper()
            value = "(not shown)" if field in _SECRET else _ACCOUNT.sub("//…@", repr(first.get("input")))
            raise ConfigError(
                f"{name}={value}: {first['msg'].removeprefix('Value error, ')}",
                remedy=f"Set {name} to a valid value, or unset it; docs/settings.md lists them.",
                setting=name,
            ) from None

    def secret_values(self) -> list[str]:
        """What settings hold that must not be shown, as it is: passwords, tokens, options of a remote."""
        held: list[SecretStr | None] = [
            self.mlflow_password,
            self.ray_token,
            *self.data_remote_options.values(),
        ]
        found = [each.get_secret_value() for each in held if each is not None]
        if self.database_url is not None:
            found.append(urlsplit(self.database_url.get_secret_value()).password or "")
        return [each for each in found if each]

    @field_validator("home")
    @classmethod
    def _check_home(cls, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError as error:
            raise ValueError("begins with the home folder of an unknown user") from error

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = _parts(value.get_secret_value())
            if parts.scheme not in _POSTGRES or not parts.hostname:
                raise ValueError("must be like postgresql://user:password@host:5432/mlops")
            if parts.path not in ("", "/", "/mlops"):
                raise ValueError("must name the database mlops, or none: MLflow's is mlflow beside it")
        return value

    @field_validator("mlflow_uri")
    @classmethod
    def _check_mlflow_uri(cls, value: str | None) -> str | None:
        if value is not None:
            parts = _parts(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be like http://host:5000")
            if parts.username is not None:
                raise ValueError("must hold no account: that is MLOPS_MLFLOW_USERNAME and …_PASSWORD")
        return value

    @field_validator("data_remote")
    @classmethod
    def _check_data_remote(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, is_url, rest = value.partition("://")
        if not is_url:
            if not Path(value).expanduser().is_absolute():
                raise ValueError("must be an absolute folder, or a URL")
            return str(Path(value).expanduser())
        if scheme not in _DATA_SCHEMES:
            raise ValueError(
                f"must begin with {', '.join(f'{each}://' for each in _DATA_SCHEMES)}, or be a folder"
            )
        if rest.startswith("/") or not rest or "@" in rest.partition("/")[0]:
            raise ValueError("must name a bucket, and no account: that belongs to MLOPS_DATA_REMOTE_OPTIONS")
        return value.rstrip("/")

    @field_validator("data_remote_options")
    @classmethod
    def _check_data_remote_options(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if ours := sorted({"url", "verify", "worktree", "version_aware"} & value.keys()):
            raise ValueError(f"may not hold {ours[0]}: the platform sets it")
        return value

    @field_validator("hardware_interval_s")
    @classmethod
    def _check_hardware_interval(cls, value: float) -> float:
        if 0 < value < _LEAST_INTERVAL_S:
            raise ValueError(f"must be 0, or {_LEAST_INTERVAL_S} seconds or more")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_otlp_endpoint(cls, value: str | None) -> str | None:
        if value is not None:
            parts = _parts(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be like http://host:4318")
            if parts.username is not None:
                raise ValueError("must hold no account: OTEL_EXPORTER_OTLP_HEADERS is read for that")
        return value

    @field_validator("ray_address")
    @classmethod
    def _check_ray_address(cls, value: str | None) -> str | None:
        if value is not None:
            found = _HOST_PORT.fullmatch(value)
            if found is None or not 0 < int(found[1]) < 65536:
                raise ValueError("must be the host:port of a Ray head's GCS; ray:// addresses are not taken")
        return value


_SECRET = {"database_url", "mlflow_password", "ray_token", "alert_channels", "data_remote_options"}
_ACCOUNT = re.compile(r"//[^/]*@")


def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    _ = parts.port  # raises ValueError for what is no port
    return parts
