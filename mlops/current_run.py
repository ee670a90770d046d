"""Which run a client's verbs write to, and how one is started."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar

from mlops.active_run import ActiveRun, is_open
from mlops.entities import Run
from mlops.errors import InvalidInput
from mlops.hardware.reader import Readers
from mlops.hardware.sampler import HardwareSampler
from mlops.tracking import output
from mlops.tracking.base import RunTracker
from mlops.tracking.output import Output

_log = logging.getLogger(__name__)

_left_open: dict[tuple[Hashable, str], list[ActiveRun]] = {}
"""Of each project the runs that were started without a block; the last counts."""


class CurrentRun:
    """Which run a client's verbs write to: the context's, else the one left open for its project."""

    def __init__(self, project: str, place: Hashable) -> None:
        """`place` tells installations apart: clients of one project and place share what is left open,
        since a notebook's cell makes its client anew."""
        self._of_context: ContextVar[ActiveRun | None] = ContextVar(f"mlops_run_{project}", default=None)
        self._left_open = _left_open.setdefault((place, project), [])

    def get(self) -> ActiveRun | None:
        """The run, or None outside any."""
        return self._of_context.get() or (self._left_open[-1] if self._left_open else None)

    def _finish_former(self) -> None:
        """End what this thread left open, outside any block, before another run starts."""
        if self._of_context.get() is None:
            for run in [each for each in self._left_open if each.left_open_here]:
                run.replaced()

    def start(
        self,
        tracking: RunTracker,
        name: str | None,
        *,
        tags: Mapping[str, str],
        experiment_name: str | None,
        run_id: str | None,
        capture_output: bool,
        open_readers: Callable[[], Readers],
        hardware_interval_s: float,
    ) -> ActiveRun:
        """See `MLOpsClient.start_run`."""
        if run_id is not None and (same := self._named_left_open(run_id)):
            return same
        self._finish_former()
        if run_id is None:
            run = tracking.start_run(name, {**self._parent_tag(), **tags}, experiment_name)
        else:
            run = _resume(tracking, run_id, name or experiment_name, tags)
        printed_to = _output_of(tracking, run, resumed=run_id is not None) if capture_output else None
        hardware = HardwareSampler(
            open_readers,
            lambda metrics, tags, step: tracking.log(run.key, metrics=metrics, tags=tags, step=step),
            interval_s=hardware_interval_s,
            started_s=run.started_at.timestamp(),
            past=None if run_id is None else lambda: tracking.past(run.key),
        )
        started = ActiveRun(run, tracking, self, printed_to, hardware)
        started.begin()
        return started

    def _parent_tag(self) -> dict[str, str]:
        parent = self._of_context.get()
        return {"mlflow.parentRunId": parent.id} if parent else {}

    def _named_left_open(self, run_id: str) -> ActiveRun | None:
        """The run of this id if it was left open and we are in no block."""
        named = (run for run in self._left_open if run_id in (run.key, run.id))
        return next(named, None) if self._of_context.get() is None else None

    def begin(self, run: ActiveRun) -> ActiveRun | None:
        """See `Current.begin`."""
        outer = self._of_context.get()
        if outer is None:
            self._left_open.append(run)
        else:
            self._of_context.set(run)
        return outer

    def enter(self, run: ActiveRun) -> None:
        """See `Current.enter`."""
        if run in self._left_open:
            self._left_open.remove(run)
        self._of_context.set(run)

    def leave(self, run: ActiveRun) -> None:
        """See `Current.leave`."""
        if run in self._left_open:
            self._left_open.remove(run)
        if self._of_context.get() is run:
            self._of_context.set(run.outer)


def _output_of(tracking: RunTracker, run: Run, *, resumed: bool) -> Output | None:
    """Where what the run prints is kept; None when another block of this process keeps it, or the disk
    is full. A run that is resumed keeps the log it has, and gets another."""
    if is_open(run.key):
        return None
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"output-{moment}-{os.getpid()}.log" if resumed else output.LOG_NAME
    try:
        return Output(tracking.output_folder(run.key), name)
    except OSError as error:
        _log.warning("what the run prints is not kept: %s", error)
        return None


def _resume(tracking: RunTracker, run_id: str, named: str | None, tags: Mapping[str, str]) -> Run:
    if named is not None:
        raise InvalidInput(
            "run_id", run_id, "keeps its name and experiment", remedy="Give run_id alone, or with tags."
        )
    run = tracking.resume_run(run_id)
    if tags:
        tracking.log(run.key, tags=tags)
    return run
