"""A run that is being written, and its end whatever happens."""

from __future__ import annotations

import atexit
import contextlib
import html
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Protocol

from mlops.entities import Run, RunStatus
from mlops.errors import InvalidInput, MLOpsError, RunEnded
from mlops.hardware.sampler import HardwareSampler
from mlops.tracking import output, printed
from mlops.tracking.base import RunTracker
from mlops.tracking.output import Output

_log = logging.getLogger(__name__)

_LONGEST_ERROR = 5000


class Current(Protocol):
    """Which run the verbs of a project write to: `mlops.current_run`."""

    def begin(self, run: ActiveRun) -> ActiveRun | None:
        """Begin a run, in a block or left open; returns the run whose block we are in."""

    def enter(self, run: ActiveRun) -> None:
        """Make a run that was begun the context's."""

    def leave(self, run: ActiveRun) -> None:
        """End what `begin` and `enter` began."""


class ActiveRun:
    """A run that this program writes.

    With `with` it belongs to the context and ends with the block; without, to the whole process until
    `finish()`, or the program's end.
    """

    def __init__(
        self,
        run: Run,
        tracking: RunTracker,
        current: Current,
        printed_to: Output | None,
        hardware: HardwareSampler,
    ) -> None:
        """`run` as it was started or resumed; `printed_to` keeps what it prints, `hardware` samples the
        machine meanwhile. Use `client.start_run`."""
        self.key = run.key
        """Permanent, and known before any server is."""
        self.project = run.project
        self.name = run.name
        self.tracking = tracking
        self.write_metrics = tracking.metric_writer(run.key)
        """Records metrics at a step: the tracker's own verb, since a training loop calls it most."""
        self.hardware = hardware
        """Samples the machine while the run is written."""
        self._run = run
        self._current = current
        self._output = printed_to
        self.outer: ActiveRun | None = None
        """The run of the block in which it was started."""
        self._status = RunStatus.RUNNING
        self._ending = threading.RLock()
        self._process = os.getpid()
        self._thread = threading.current_thread()
        self._in_block = False
        self._shared = run.key in _open
        """Whether another block of this process has the run open, which is then the one to end it."""
        self._left = ExitStack()
        if not self._shared:
            _open[run.key] = self

    # -- what it is -----------------------------------------------------------------------------

    @property
    def mlflow_id(self) -> str | None:
        """MLflow's id; None until the run was delivered."""
        if self._run.mlflow_id is None:
            self._look()
        return self._run.mlflow_id

    @property
    def id(self) -> str:
        """MLflow's id once there is one, else the key; every verb takes either."""
        return self.mlflow_id or self.key

    @property
    def url(self) -> str:
        """Its page in MLflow's own UI; empty until it is there."""
        if not self._run.url:
            self._look()
        return self._run.url

    @property
    def status(self) -> RunStatus:
        """RUNNING, or how it ended here."""
        return self._status

    def __repr__(self) -> str:
        known = " ".join(part for part in (self.id, self.url) if part)
        return f"<run {self.name!r} of {self.project}, {self.status}: {known}>"

    def _repr_html_(self) -> str:
        """For notebooks: a link to its page, once there is one."""
        name = html.escape(self.name)
        link = (
            f'<a href="{html.escape(self.url)}" target="_blank">{name}</a>' if self.url else f"<b>{name}</b>"
        )
        return f"run {link} of {html.escape(self.project)}, {self.status} <code>{html.escape(self.id)}</code>"

    def _look(self) -> None:
        with contextlib.suppress(MLOpsError):  # it may be forgotten here: what is known stays
            self._run = self.tracking.snapshot(self.key)

    # -- its life -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make it the run that the verbs of its project write to. Called once, by `client.start_run`."""
        self.outer = self._current.begin(self)
        if self._output is not None:
            printed.listen(self._output)
        if self.outer is None:
            self._left.enter_context(self.tracking.activate(self.key, process=True))
        if not self._shared and self.tracking.owns(self.key):  # else another one samples for it
            self.hardware.start()

    def __enter__(self) -> ActiveRun:
        """Make it the run of this context instead of the whole process."""
        if self._status is not RunStatus.RUNNING:
            raise RunEnded(self.project, self.key)
        self._in_block = True
        self._left.close()
        self._current.enter(self)
        self._left.enter_context(self.tracking.activate(self.key))
        if self._output is not None:
            self._left.enter_context(printed.printing_to(self._output))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: FINISHED, FAILED with the error's text as tag `mlops.error`, or KILLED when the block
        was cancelled or interrupted. A forked child only leaves."""
        self._release()
        self._end(_status_after(error), error)

    def finish(self, status: RunStatus | str = RunStatus.FINISHED) -> None:
        """End a run that was started without `with`; once it has ended, nothing. Raises `InvalidInput`
        for what is no status to end with."""
        ended = RunStatus.__members__.get(str(status), RunStatus.RUNNING)
        if ended is RunStatus.RUNNING:
            raise InvalidInput(
                "status", str(status), "does not end a run", remedy="Use FINISHED, FAILED or KILLED."
            )
        self._end(ended, None)

    def replaced(self) -> None:
        """End it because another run of its project starts, as when a notebook's cell is run twice."""
        _log.warning(
            "run %r (%s) was still open: it is finished, since another one starts", self.name, self.key
        )
        self._end(RunStatus.FINISHED, None)

    @property
    def left_open_here(self) -> bool:
        """Whether a new run of this thread replaces it: its own thread's, or one's that is gone."""
        return self._thread is threading.current_thread() or not self._thread.is_alive()

    def at_exit(self) -> None:
        """End it with the program."""
        error = None if self._in_block else _uncaught()
        status = RunStatus.KILLED if self._in_block else _status_after(error)
        self._end(status, error)

    def _end(self, status: RunStatus, error: BaseException | None) -> None:
        with self._ending:
            if self._status is not RunStatus.RUNNING:
                return
            self._status = status
        if not self._in_block:  # whose variables are given back where it is left
            self._release()
        if self._process != os.getpid():
            self._leave(status)
        elif not self._shared:
            with _noted_on(error):
                self._record_end(status, error)

    def _release(self) -> None:
        self._current.leave(self)
        with contextlib.suppress(ValueError):  # a generator that another thread closed: it has no context
            self._left.close()

    def _leave(self, status: RunStatus) -> None:
        # A forked child: the run is its parent's, and what the child wrote is delivered there.
        with contextlib.suppress(MLOpsError):
            self.tracking.end_run(self.key, status)

    def _record_end(self, status: RunStatus, error: BaseException | None) -> None:
        """Whatever of it fails, or is interrupted, the run is ended."""
        with ExitStack() as steps:  # the last one first
            steps.callback(_open.pop, self.key, None)
            steps.callback(self._record_status, status)
            steps.callback(self._keep_output, error)
            steps.callback(self.hardware.stop)
            if isinstance(error, Exception | SystemExit) and status is RunStatus.FAILED:
                text = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
                self.tracking.log(self.key, tags={"mlops.error": text})

    def _record_status(self, status: RunStatus) -> None:
        try:
            self._run = self.tracking.end_run(self.key, status)
        except MLOpsError:
            raise
        except BaseException:
            # Interrupted, mostly while it waited for the delivery; the end is recorded before that.
            with contextlib.suppress(RunEnded):
                self.tracking.end_run(self.key, status)
            raise

    def _keep_output(self, error: BaseException | None) -> None:
        if self._output is None:
            return
        if error is not None and self._in_block:  # Python prints it behind the block
            self._output.write("".join(traceback.format_exception(error)), "stderr")
        printed.leave(self._output)
        log = self._output.folder
        with contextlib.suppress(OSError):  # the run's folder may be gone: ended by another process
            if (whole := output.collect(log, log / "whole")) is not None:
                self.tracking.log_artifact(self.key, whole)
        output.forget(log)


_open: dict[str, ActiveRun] = {}
"""The runs this process has to end, by their keys: its exit is one, whichever clients live in it."""


def is_open(key: str) -> bool:
    """Whether a run is being written by this process."""
    return key in _open


def _status_after(error: BaseException | None) -> RunStatus:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return RunStatus.FINISHED
    if isinstance(error, Exception | SystemExit):
        return RunStatus.FAILED
    return RunStatus.KILLED  # interrupted, cancelled, or a generator that is closed


def _uncaught() -> BaseException | None:
    """What the program dies of; in a prompt or a notebook it lives on."""
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return None
    error: BaseException | None = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error


@contextmanager
def _noted_on(leading: BaseException | None) -> Iterator[None]:
    """What goes wrong while `leading` passes becomes a note on it, and does not take its place."""
    try:
        yield
    except MLOpsError as error:
        if leading is None:
            raise
        leading.add_note(f"the run's record is incomplete: {error.message}")


def _end_all_at_exit() -> None:
    for run in reversed(list(_open.values())):
        try:
            run.at_exit()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the others must end, too
            _log.warning("run %r (%s) did not end as it should: %r", run.name, run.key, error)


atexit.register(_end_all_at_exit)
