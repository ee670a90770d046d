"""Settings: each from its variable, each bad value refused by name before anything starts."""

from __future__ import annotations

import os
import traceback
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from mlops.backends import load
from mlops.config import MLOpsConfig
from mlops.errors import BackendUnknown, ConfigError

GOOD = {
    "home": ("/srv/mlops", Path("/srv/mlops")),
    "database_url": ("postgresql://u:p%40w@db.example:5433/mlops", None),
    "mlflow_uri": ("https://mlflow.example/base", "https://mlflow.example/base"),
    "mlflow_username": ("root", "root"),
    "mlflow_password": ("swordfish", None),
    "ray_address": ("10.0.0.7:6379", "10.0.0.7:6379"),
    "ray_token": ("swordfish", None),
    "gateway_port": ("8080", 8080),
    "mlflow_port": ("5000", 5000),
    "postgres_port": ("5432", 5432),
    "mlflow_workers": ("4", 4),
    "ray_dashboard": ("true", True),
    "otlp_endpoint": ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
    "alert_channels": ('{"team": {"kind": "log"}}', {"team": {"kind": "log"}}),
    "alert_networks": ('["10.0.0.0/8"]', (ip_network("10.0.0.0/8"),)),
    "alert_ca_file": ("/tmp/ca.pem", Path("/tmp/ca.pem")),
    "start_timeout_s": ("2.5", 2.5),
    "flush_timeout_s": ("2.5", 2.5),
    "capture_output": ("false", False),
    "hardware_interval_s": ("2.5", 2.5),
    "powermetrics": ("true", True),
    "tracking_backend": ("memory", "memory"),
    "registry_backend": ("memory", "memory"),
    "data_backend": ("local", "local"),
    "data_remote": ("s3://bucket/mlops/", "s3://bucket/mlops"),
    "data_remote_options": (
        '{"endpointurl": "http://minio:9000"}',
        {"endpointurl": SecretStr("http://minio:9000")},
    ),
    "data_lock_wait_s": ("2.5", 2.5),
}

BAD = [
    ("HOME", "~nobody-of-this-name/x"),
    ("OTLP_ENDPOINT", "collector:4318"),
    ("OTLP_ENDPOINT", "grpc://collector:4317"),
    ("MLFLOW_URI", "mlflow.example:5000"),
    ("MLFLOW_URI", "ftp://mlflow.example"),
    ("MLFLOW_URI", "http://:5000"),
    ("MLFLOW_URI", "http://mlflow.example:port"),
    ("RAY_ADDRESS", "ray.example"),
    ("RAY_ADDRESS", "auto"),
    ("RAY_ADDRESS", "ray://ray.example:10001"),
    ("RAY_ADDRESS", "ray.example:0"),
    ("RAY_ADDRESS", "ray.example:70000"),
    ("GATEWAY_PORT", "http"),
    ("GATEWAY_PORT", "-1"),
    ("MLFLOW_PORT", "65536"),
    ("POSTGRES_PORT", "5432.5"),
    ("MLFLOW_WORKERS", "0"),
    ("MLFLOW_WORKERS", "65"),
    ("RAY_DASHBOARD", "perhaps"),
    ("START_TIMEOUT_S", "0"),
    ("START_TIMEOUT_S", "inf"),
    ("START_TIMEOUT_S", "nan"),
    ("START_TIMEOUT_S", "soon"),
    ("FLUSH_TIMEOUT_S", "-1"),
    ("HARDWARE_INTERVAL_S", "-1"),
    ("HARDWARE_INTERVAL_S", "0.05"),
    ("HARDWARE_INTERVAL_S", "86401"),
    ("HARDWARE_INTERVAL_S", "inf"),
    ("POWERMETRICS", "perhaps"),
    ("FLUSH_TIMEOUT_S", "inf"),
    ("CAPTURE_OUTPUT", "perhaps"),
    ("DATA_REMOTE", "remotes"),
    ("DATA_REMOTE", "ftp://host/path"),
    ("DATA_REMOTE", "s3://"),
    ("DATA_REMOTE", "s3:///prefix"),
    ("DATA_LOCK_WAIT_S", "-1"),
    ("DATA_LOCK_WAIT_S", "inf"),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MLOPS_"):
            monkeypatch.delenv(name)


def test_every_setting_is_tried_here() -> None:
    assert set(GOOD) == set(MLOpsConfig.model_fields)


@pytest.mark.parametrize("field", GOOD)
def test_setting_is_read_from_its_variable(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, expected = GOOD[field]
    monkeypatch.setenv(f"MLOPS_{field.upper()}", given)
    value = getattr(MLOpsConfig.load(), field)
    assert (value.get_secret_value() if expected is None else value) == (
        given if expected is None else expected
    )


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_value_names_variable_value_and_remedy(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MLOPS_{name}", value)
    with pytest.raises(ConfigError) as caught:
        MLOpsConfig.load()
    error = caught.value
    assert error.setting == f"MLOPS_{name}"
    assert f"MLOPS_{name}=" in error.message
    assert value in error.message
    assert f"MLOPS_{name}" in error.remedy


@pytest.mark.parametrize(
    "value",
    ["mysql://u:swordfish@db/x", "u:swordfish@db:5432/x", "postgresql://", "postgresql://u:swordfish@db:x/y"],
)
def test_bad_database_url_is_named_without_its_password(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", value)
    with pytest.raises(ConfigError, match="MLOPS_DATABASE_URL=") as caught:
        MLOpsConfig.load()
    assert "swordfish" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("MLOPS_MLFLOW_URI", "MLOPS_MLFLOW_USERNAME"), ("MLOPS_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS")],
)
def test_address_with_a_password_is_refused_without_showing_it(
    name: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://admin:swordfish@server.example")
    with pytest.raises(ConfigError, match=remedy) as caught:
        MLOpsConfig.load()
    assert "swordfish" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "value", ["swordfish", '["swordfish"]', '{"secret_access_key": 3}', '{"swordfish', '{"url": "swordfish"}']
)
def test_remote_options_that_cannot_be_read_are_named_and_not_shown(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_DATA_REMOTE_OPTIONS", value)
    with pytest.raises(ConfigError, match="MLOPS_DATA_REMOTE_OPTIONS=") as caught:
        MLOpsConfig.load()
    assert caught.value.remedy
    assert "swordfish" not in "".join(traceback.format_exception(caught.value))


def test_an_account_in_the_data_remote_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_DATA_REMOTE", "s3://key:swordfish@bucket")
    with pytest.raises(ConfigError, match="MLOPS_DATA_REMOTE_OPTIONS") as caught:
        MLOpsConfig.load()
    assert "swordfish" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLOPS_ALERT_CHANNELS", "sesame"),
        ("MLOPS_ALERT_CHANNELS", '["sesame"]'),
        ("MLOPS_ALERT_CHANNELS", '{"team": "sesame"}'),
        ("MLOPS_ALERT_NETWORKS", "10.0.0.0/8"),
        ("MLOPS_ALERT_NETWORKS", '["inside"]'),
        ("MLOPS_ALERT_NETWORKS", '["10.0.0.1/8"]'),
    ],
)
def test_bad_alert_settings_are_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name}=") as caught:
        MLOpsConfig.load()
    assert caught.value.setting == name
    assert "sesame" not in "".join(traceback.format_exception(caught.value)), "an address may be a secret"


@pytest.mark.parametrize("capability", ["tracking", "registry", "data"])
def test_unknown_backend_names_its_variable_value_and_those_there_are(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"MLOPS_{capability.upper()}_BACKEND"
    monkeypatch.setenv(variable, "nope")
    with pytest.raises(BackendUnknown, match="'nope'") as caught:
        load(capability, getattr(MLOpsConfig.load(), f"{capability}_backend"))
    assert variable in caught.value.remedy
    assert all(name in caught.value.remedy for name in caught.value.known)


@pytest.mark.parametrize("field", GOOD)
def test_empty_variable_is_an_unset_one(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MLOPS_{field.upper()}", "")
    assert getattr(MLOpsConfig.load(), field) == getattr(MLOpsConfig(), field)
    assert MLOpsConfig.load().home.is_absolute()


def test_secrets_are_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", "postgresql://u:swordfish@db/mlops")
    monkeypatch.setenv("MLOPS_MLFLOW_PASSWORD", "swordfish")
    monkeypatch.setenv("MLOPS_RAY_TOKEN", "swordfish")
    config = MLOpsConfig.load()
    for shown in (repr(config), str(config), str(config.model_dump()), config.model_dump_json()):
        assert "swordfish" not in shown
    assert config.mlflow_password is not None
    assert config.mlflow_password.get_secret_value() == "swordfish"


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLOPS_HOME", "/elsewhere")
    assert MLOpsConfig.load(home=tmp_path).home == tmp_path


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="MLOPS_COLOR"):
        MLOpsConfig.load(color="red")


def test_settings_do_not_change_once_built() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        MLOpsConfig().gateway_port = 80
