"""The settings of the platform, built once at the edge and passed in."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mlops.errors import ConfigError


class MLOpsConfig(BaseSettings):
    """Settings, each from `MLOPS_<NAME>` in the environment; docs/settings.md lists them."""

    model_config = SettingsConfigDict(
        env_prefix="MLOPS_", frozen=True, use_attribute_docstrings=True, extra="forbid"
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

    start_timeout_s: float = Field(default=120.0, gt=0)
    """How long `mlops:start` waits for every service to be healthy, in seconds."""

    tracking_backend: str = "mlflow"
    """Where runs are tracked: `mlflow`, or `memory` for tests."""

    registry_backend: str = "mlflow"
    """Where model versions are registered: `mlflow`, or `memory` for tests."""

    data_backend: str = "dvc"
    """How data is versioned: `dvc`, or `local` for tests."""

    @classmethod
    def load(cls, **overrides: object) -> MLOpsConfig:
        """Read the environment; raises `ConfigError` naming the variable, its value and the rule."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors()[0]
            name = "MLOPS_" + str(first["loc"][0]).upper() if first["loc"] else "MLOPS_…"
            raise ConfigError(
                f"{name}={first.get('input')!r}: {first['msg']}",
                remedy=f"Set {name} to a valid value, or unset it; docs/settings.md lists them.",
                setting=name,
            ) from error
