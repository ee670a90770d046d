"""Which project an MLflow call belongs to: bound per context, read by MLflow's plug-ins.

MLflow's own `set_workspace` and its credentials are settings of the process, so two projects in one
process would write into each other's workspace. Here both come from a ContextVar. The classes are
MLflow plug-ins, loaded through the entry points of this distribution; MLflow is not imported here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mlops.errors import NoActiveRun

WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"
AUTH_NAME = "mlops"
"""First word of MLFLOW_TRACKING_AUTH when it names `BoundAuth`; our servers' URLs follow it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where and as whom MLflow is called in this context."""

    url: str
    workspace: str
    username: str
    password: str = field(repr=False)
    experiment_id: str = ""
    """Where MLflow's fluent API opens further runs."""
    tracker: Any = field(default=None, repr=False, compare=False)
    """The project's tracker, inside a run: runs that MLflow begins are begun there."""

    def covers(self, url: str) -> bool:
        """Whether a request to `url` goes to this binding's server, where it was or where it is now."""
        return _is_below(url, self.url) or (self.tracker is not None and _is_below(url, self.tracker.url))


_binding: ContextVar[Binding | None] = ContextVar("mlops_mlflow_binding", default=None)
_of_process: list[Binding] = []
"""The bindings of runs left open, as in a notebook, whose cells share no context."""


@contextmanager
def bind(binding: Binding) -> Iterator[None]:
    """Make every MLflow call of this context the binding's; a new thread starts unbound."""
    token = _binding.set(binding)
    try:
        yield
    finally:
        _binding.reset(token)


@contextmanager
def bind_process(binding: Binding) -> Iterator[None]:
    """Make every MLflow call that no context binds the binding's, while no other workspace's is such."""
    _of_process.append(binding)
    try:
        yield
    finally:
        _of_process.remove(binding)


def current_binding() -> Binding | None:
    """The binding of this context, else the process's, or None."""
    return _binding.get() or process_binding()


def process_binding() -> Binding | None:
    """The last binding of the whole process. None while there are several workspaces': of a call outside
    any context nobody could say whose it is."""
    bindings = list(_of_process)
    return bindings[-1] if len({each.workspace for each in bindings}) == 1 else None


class WorkspaceHeaders:
    """MLflow plug-in `mlflow.request_header_provider`: names the bound workspace."""

    def in_context(self) -> bool:
        """Whether a workspace is bound."""
        return current_binding() is not None

    def request_headers(self) -> dict[str, str]:
        """The workspace's header; `BoundAuth` takes it off requests to other servers."""
        binding = current_binding()
        return {WORKSPACE_HEADER: binding.workspace} if binding else {}


class ProjectExperiment:
    """MLflow plug-in `mlflow.default_experiment_provider`: the bound project's own experiment.

    Without it MLflow would open nested runs in experiment 0, which is not the project's.
    """

    def in_context(self) -> bool:
        """Whether the binding knows its experiment."""
        binding = current_binding()
        return binding is not None and bool(binding.experiment_id)

    def get_experiment_id(self) -> str:
        """Identifier of the project's experiment."""
        binding = current_binding()
        return binding.experiment_id if binding else ""


class BoundAuth:
    """MLflow plug-in `mlflow.request_auth_provider`: the bound account, for our server alone.

    MLflow chooses it by `MLFLOW_TRACKING_AUTH`, whose value is `mlops` and the URLs of our servers.
    An unbound call to one of them raises `NoActiveRun` and sends nothing. MLflow wraps what is raised
    while a request is prepared into its own `MlflowException`, keeping the text alone: so the text
    begins with the error's name.
    """

    def get_name(self) -> str:
        """The whole value of MLFLOW_TRACKING_AUTH where it begins with `mlops`."""
        return " ".join([AUTH_NAME, *_known_servers()])

    def get_auth(self) -> Callable[[Any], Any]:
        """What `requests` calls with each prepared request."""
        return _authorize


def _authorize(request: Any) -> Any:
    binding = current_binding()
    if binding is not None and binding.covers(request.url):
        pair = f"{binding.username}:{binding.password}".encode()
        request.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return request
    if any(_is_below(request.url, server) for server in _known_servers()):
        raise NoActiveRun("*", f"NoActiveRun: MLflow's {request.method} {urlsplit(request.url).path}")
    if binding is not None and request.headers.get(WORKSPACE_HEADER) == binding.workspace:
        del request.headers[WORKSPACE_HEADER]
    return request


def _known_servers() -> list[str]:
    from mlflow.environment_variables import MLFLOW_TRACKING_AUTH

    name, *servers = (MLFLOW_TRACKING_AUTH.get() or AUTH_NAME).split()
    return servers if name == AUTH_NAME else []


def _is_below(url: str, server: str) -> bool:
    try:
        asked, ours = urlsplit(url), urlsplit(server)
        same_origin = _origin(asked) == _origin(ours)
    except ValueError:
        return False
    prefix = ours.path.rstrip("/")
    return same_origin and (asked.path == prefix or asked.path.startswith(f"{prefix}/"))


def _origin(parts: Any) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
