"""MLflow's fluent API, made to follow the context instead of the thread.

MLflow keeps its active runs per thread and works in thread pools that know no context. Inside
`current_run` its stack of active runs belongs to the context (another thread that runs in a copy of
the context writes into the same run), and its pools take the context of whoever submits. Outside,
MLflow works as it always does.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any


class ContextExecutor(ThreadPoolExecutor):
    """A thread pool whose tasks see the context of their submitter."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `ThreadPoolExecutor.submit`, in a copy of the caller's context."""
        return super().submit(copy_context().run, fn, *args, **kwargs)


# (thread, process, active runs): MLflow changes the list in place, so another thread takes a copy.
_active: ContextVar[tuple[int, int, list[Any]] | None] = ContextVar("mlops_active_runs", default=None)


class _ContextStack:
    """Stands in for the `threading.local` in which MLflow keeps its active runs."""

    def __init__(self, threads: threading.local) -> None:
        self._threads = threads

    @property
    def value(self) -> tuple[list[Any], int]:
        held = _active.get()
        if held is None:
            return self._threads.value  # type: ignore[no-any-return]
        thread, process, runs = held
        if thread != threading.get_ident():
            runs = list(runs)
            _active.set((threading.get_ident(), process, runs))
        return runs, process

    @value.setter
    def value(self, new: tuple[list[Any], int]) -> None:
        if _active.get() is None:
            self._threads.value = new
        else:
            _active.set((threading.get_ident(), new[1], new[0]))


@contextmanager
def current_run(run: Any, url: str) -> Iterator[None]:
    """Make `run` (MLflow's entity) the one active run of this context, on the server at `url`.

    MLflow's tracking URI is a setting of the process: it is set to `url` and stays so.
    """
    import mlflow

    _follow_context()
    if mlflow.get_tracking_uri() != url:
        mlflow.set_tracking_uri(url)
    token = _active.set((threading.get_ident(), os.getpid(), [mlflow.ActiveRun(run)]))
    try:
        yield
    finally:
        _active.reset(token)


def _follow_context() -> None:
    from mlflow.tracking import fluent
    from mlflow.utils.autologging_utils import client, metrics_queue

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
