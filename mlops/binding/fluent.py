"""MLflow's fluent API, made to follow the context instead of the thread.

MLflow keeps its active runs per thread and works in thread pools that know no context. Inside
`current_run` its stack of active runs belongs to the context (another thread that runs in a copy of
the context writes into the same run), and its pools take the context of whoever submits. Outside,
MLflow works as it always does.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

import wrapt

from mlops.binding.context import Binding, bind, bind_process, current_binding, process_binding


class ContextExecutor(ThreadPoolExecutor):
    """A thread pool whose tasks see the context of their submitter."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `ThreadPoolExecutor.submit`, in a copy of the caller's context."""
        return super().submit(copy_context().run, fn, *args, **kwargs)


class _Runs:
    """The active runs of one thread in one context; MLflow changes the list in place."""

    def __init__(self, make: Callable[[], Any], runs: list[Any] | None = None) -> None:
        """`make` gives MLflow's entity of the run; it is called when MLflow first asks."""
        self.thread, self.process = threading.get_ident(), os.getpid()
        self.make = make
        self._runs = runs

    @property
    def runs(self) -> list[Any]:
        """MLflow's active runs."""
        if self._runs is None:
            import mlflow

            self._runs = [mlflow.ActiveRun(self.make())]
        return self._runs


_active: ContextVar[_Runs | None] = ContextVar("mlops_active_runs", default=None)
_of_process: list[tuple[Binding, _Runs]] = []
"""The runs left open, as in a notebook, whose cells share no context; the last counts."""


_awaited: list[str] = []
"""Modules whose import is being watched for."""


def _held() -> _Runs | None:
    if (active := _active.get()) is not None:
        return active
    binding = process_binding()
    return next((runs for bound, runs in reversed(_of_process) if bound == binding), None)


class _ContextStack:
    """Stands in for the `threading.local` in which MLflow keeps its active runs."""

    def __init__(self, threads: threading.local) -> None:
        self._threads = threads

    @property
    def value(self) -> tuple[list[Any], int]:
        held = _held()
        if held is None:
            return self._threads.value  # type: ignore[no-any-return]
        if held is _active.get() and held.thread != threading.get_ident():
            process, held = held.process, _Runs(held.make, list(held.runs))
            held.process = process
            _active.set(held)
        return held.runs, held.process

    @value.setter
    def value(self, new: tuple[list[Any], int]) -> None:
        held = _held()
        if held is None:
            self._threads.value = new
        else:
            held._runs, held.process = new


@contextmanager
def current_run(make: Callable[[], Any], binding: Binding) -> Iterator[None]:
    """Make a run the one active run of this context, at the server of `binding`; `make` gives MLflow's
    entity of it, when MLflow asks.

    MLflow's tracking URI is a setting of the process: it is set to the server's and stays so.
    """
    with bind(binding):
        _follow()
        token = _active.set(_Runs(make))
        try:
            yield
        finally:
            _active.reset(token)


@contextmanager
def process_run(make: Callable[[], Any], binding: Binding) -> Iterator[None]:
    """Make a run the active one of the whole process, wherever no context has its own: for notebooks.

    While such runs of several workspaces are open none of them is, and MLflow's calls outside a context
    raise.
    """
    held = binding, _Runs(make)
    with bind_process(binding):
        _of_process.append(held)
        _follow()
        try:
            yield
        finally:
            _of_process.remove(held)


def _follow() -> None:
    # At once where MLflow is imported, else when it is.
    if "mlflow" in sys.modules:
        _prepare(sys.modules["mlflow"])
    elif not _awaited:
        _awaited.append("mlflow")
        wrapt.register_post_import_hook(_prepare, "mlflow")


def _prepare(mlflow: Any) -> None:
    from mlflow.tracking import fluent
    from mlflow.utils.autologging_utils import client, metrics_queue

    from mlops.binding.session import use_server

    current = current_binding()
    # Of several workspaces none is current; their servers must be known all the same, to refuse a call.
    for binding in [current] if current else [bound for bound, _ in _of_process]:
        use_server(binding.url)
        if mlflow.get_tracking_uri() != binding.url:
            mlflow.set_tracking_uri(binding.url)
    runs = fluent._active_run_stack
    if not isinstance(runs.thread_local, _ContextStack):
        runs.thread_local = _ContextStack(runs.thread_local)
    for module, pool in (
        (client, "_AUTOLOGGING_QUEUEING_CLIENT_THREAD_POOL"),
        (metrics_queue, "_thread_pool"),
    ):
        old = getattr(module, pool)
        if not isinstance(old, ContextExecutor):
            setattr(module, pool, ContextExecutor(old._max_workers, thread_name_prefix="mlflow-autolog"))
