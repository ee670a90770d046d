"""One project's way into an MLflow server: bound calls, bounded waiting, our errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlops.binding.context import AUTH_NAME, Binding, bind
from mlops.errors import ConfigError, InvalidInput, MLOpsError, ServiceUnavailable, Unauthorized

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's own defaults retry for four minutes against a server that is down, print addresses that lack the
# workspace, and draw a bar for five small files. What the user has set stays.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 2,
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": 1,
    "MLFLOW_HTTP_REQUEST_TIMEOUT": 60,
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": True,
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": False,
}

_NO_PROXY = ("no_proxy", "NO_PROXY")
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

# Another workspace's things are hidden by the workspace or by permission: both mean "not here".
_NOT_HERE = {"RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED", "NOT_FOUND", "ENDPOINT_NOT_FOUND"}
_BAD_VALUE = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST"}


class MLflowSession:
    """Calls to one server as one account; thread-safe, and light until the first call."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client of the server; use it inside `calls` or `bound` alone."""
        from mlflow import MlflowClient

        use_server(self.binding.url)
        return MlflowClient(tracking_uri=self.binding.url, registry_uri=self.binding.url)

    @contextmanager
    def bound(self) -> Iterator[MlflowClient]:
        """Bind this context to the account and yield the client; MLflow's errors pass."""
        with bind(self.binding):
            yield self.client

    @contextmanager
    def calls(
        self, missing: MLOpsError, field: str = "request", value: object = ""
    ) -> Iterator[MlflowClient]:
        """Like `bound`, with MLflow's errors translated.

        Raises `missing` for what is not in the project, `InvalidInput(field, value)` for what the
        server refuses, `ServiceUnavailable` when it does not answer, `Unauthorized` for a bad password.
        """
        try:
            with self.bound() as client:
                yield client
        except MLOpsError:
            raise
        except Exception as error:
            translated = _translated(error, missing, field, value)
            if translated is None:
                raise
            raise translated from error


def is_loopback(url: str) -> bool:
    """Whether the URL's server is on this machine: no proxy has to see what is sent to it."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def use_server(url: str) -> None:
    """Make MLflow take its credentials from the binding, for `url` among others, and reach a server on
    this machine without a proxy.

    These are settings of the process, made through MLflow's own accessors; their values are equal for
    all projects of an installation, so that no project's call changes another's. Raises `ConfigError`
    when MLFLOW_TRACKING_AUTH is someone else's, or when the plug-in is not installed.
    """
    from mlflow import environment_variables as settings
    from mlflow.tracking.request_auth.registry import _request_auth_provider_registry as providers

    name, *servers = (settings.MLFLOW_TRACKING_AUTH.get() or AUTH_NAME).split()
    if name != AUTH_NAME:
        raise ConfigError(
            f"MLFLOW_TRACKING_AUTH={name!r} keeps the project's credentials from MLflow",
            remedy="Unset MLFLOW_TRACKING_AUTH in this process.",
            setting="MLFLOW_TRACKING_AUTH",
        )
    if url not in servers:
        settings.MLFLOW_TRACKING_AUTH.set(" ".join([AUTH_NAME, *servers, url]))
    if is_loopback(url):
        _pass_by_proxy(urlsplit(url).hostname or "")
    for setting, value in _DEFAULTS.items():
        variable = getattr(settings, setting)
        if not variable.is_set():
            variable.set(value)
    if not any(provider.get_name().split()[0] == AUTH_NAME for provider in providers):
        raise ConfigError(
            "MLflow does not know this package's plug-ins",
            remedy="Install efficientai-toolkit anew: its entry points are missing or old.",
        )


def _pass_by_proxy(host: str) -> None:
    # `requests` has no other way to be told. Programs read one of the two or both: both get the same.
    stated = ",".join(os.environ.get(name, "") for name in _NO_PROXY)
    hosts = [*filter(None, (each.strip() for each in stated.split(","))), *_LOOPBACK_HOSTS, host]
    merged = "*" if "*" in hosts else ",".join(dict.fromkeys(hosts))
    os.environ.update(dict.fromkeys(_NO_PROXY, merged))


def _translated(error: Exception, missing: MLOpsError, field: str, value: object) -> MLOpsError | None:
    from mlflow.exceptions import MlflowException
    from requests import HTTPError, RequestException

    if isinstance(error, HTTPError):  # MLflow's artifact calls
        return _of_status(error.response.status_code if error.response is not None else 503, missing)
    if _is_caused_by(error, RequestException):
        return ServiceUnavailable("mlflow", _first_line(error))
    if not isinstance(error, MlflowException):
        return None
    if error.error_code in _NOT_HERE:
        return missing
    if error.error_code in _BAD_VALUE:
        return InvalidInput(field, value, error.message)
    if error.error_code == "UNAUTHENTICATED":
        return Unauthorized()
    if error.error_code == "TEMPORARILY_UNAVAILABLE":
        return ServiceUnavailable("mlflow", _first_line(error))
    return None


def _of_status(status: int, missing: MLOpsError) -> MLOpsError | None:
    if status in (403, 404):
        return missing
    if status == 401:
        return Unauthorized()
    return ServiceUnavailable("mlflow", f"status {status}") if status >= 500 else None


def _is_caused_by(error: BaseException, kind: type[Exception]) -> bool:
    # MLflow raises its own error inside `except`, without `from`.
    cause = error.__cause__ or error.__context__
    return isinstance(error, kind) or isinstance(cause, kind)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
