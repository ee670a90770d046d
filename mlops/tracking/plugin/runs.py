"""The open run that a call to MLflow names, and what the call may do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakSet

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)

from mlops.binding.context import current_binding
from mlops.errors import InvalidInput, MLOpsError, NoActiveRun, NotFound, ServiceUnavailable
from mlops.tracking import open_runs, sender
from mlops.tracking.open_runs import DOWN_S, OpenRun

_SETTLE_S = 10.0
"""The longest wait of a reading call for a server that answers."""

ended_by_mlflow: WeakSet[OpenRun] = WeakSet()
"""Runs that MLflow began, which MLflow's status ends; any other ends with its own block."""


def known_run(run_id: str) -> OpenRun | None:
    """The run of this process with this key or MLflow's id; None when it is not one.

    Raises MLflow's RESOURCE_DOES_NOT_EXIST for a run of a project that the context is not bound to, and
    where the context is bound to none while runs of several are open.
    """
    run = open_runs.find(run_id)
    binding = current_binding()
    if run is None:
        return None
    if binding is None and len(open_runs.workspaces()) > 1:
        refused = NoActiveRun("*", "a call to MLflow")
        raise MlflowException(f"NoActiveRun: {refused}", RESOURCE_DOES_NOT_EXIST)
    if binding is not None and binding.workspace != run.server.workspace:
        raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
    return run


def writable_run(run_id: str) -> OpenRun | None:
    """As `known_run`, for a run whose journal still takes records.

    A thread outside any run may name one while the process has runs of one project open: frameworks write
    from threads of their own. Of two projects nobody could say whose thread it is.
    """
    run = known_run(run_id)
    return None if run is None or run.journal.closed else run


def settle(run: OpenRun) -> bool:
    """Wait until the server has what this process wrote of the run; False when it does not answer."""
    journal, current = run.journal, sender.current()
    hindered = current.trouble(journal) is not None  # known already: one attempt more, and no waiting
    return current.flush(
        journal,
        lambda: journal.mlflow_id is not None and journal.delivered,
        DOWN_S if hindered else _SETTLE_S,
        0 if hindered else DOWN_S,
    )


def at_server(run_id: str) -> str:
    """MLflow's id of a run that may be known by its key, once it has one."""
    run = known_run(run_id)
    if run is not None:
        settle(run)
    return run.id if run is not None else run_id


def mentioned(local_id: str, exchange: Callable[[str], str]) -> str:
    """MLflow's id of what a text mentions. Another project's stays: a text may hold anything, and the
    server decides about it."""
    try:
        return exchange(local_id)
    except MlflowException:
        return local_id


def hindered_run() -> OpenRun | None:
    """The active run of a bound context, while the server does not have all of it."""
    from mlflow import active_run

    active = active_run() if current_binding() is not None else None
    run = writable_run(active.info.run_id) if active is not None else None
    return None if run is None or settle(run) else run


def present_url(url: str) -> str:
    """Where the server that MLflow knows as `url` is now: an embedded one may come back elsewhere."""
    binding = current_binding()
    if binding is None or binding.tracker is None or not binding.covers(url):
        return url
    return str(binding.tracker.url)


@contextmanager
def mlflows_errors() -> Iterator[None]:
    """Errors of this platform as MLflow's own."""
    try:
        yield
    except InvalidInput as error:
        raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from error
    except NotFound as error:
        raise MlflowException(str(error), RESOURCE_DOES_NOT_EXIST) from error
    except ServiceUnavailable as error:
        raise MlflowException(str(error), TEMPORARILY_UNAVAILABLE) from error
    except MLOpsError as error:
        raise MlflowException(str(error), INTERNAL_ERROR) from error
