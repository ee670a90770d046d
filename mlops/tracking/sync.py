"""Delivering by hand what no living process delivers: `mlops:sync`, and the worker for everybody.

Safe beside anything: a run is delivered under its lock, by the same repeatable steps as by its own process.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mlops.errors import JournalError, MLOpsError, ServiceUnavailable
from mlops.tracking import pending
from mlops.tracking.backoff import pause_s
from mlops.tracking.delivery import Delivery
from mlops.tracking.pending import PendingRun, PendingState
from mlops.tracking.rest import ServerRefusal
from mlops.tracking.run_folder import RunFolder
from mlops.tracking.server import MLflowServer

_log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
_TRIES = 8
"""So often one run is tried in a row, before the others have their turn."""
_ABANDONED_S = 3600.0
"""So old must a half-made folder be until nobody can be making it any more."""


@dataclass(frozen=True)
class Progress:
    """Where a sync stands."""

    run: PendingRun
    runs_done: int
    runs: int
    bytes_done: int
    bytes: int
    waiting_for: str = ""
    """What keeps it from going on, for now."""


@dataclass(frozen=True)
class Left:
    """A run that could not be delivered."""

    run: PendingRun
    error: MLOpsError


@dataclass(frozen=True)
class Summary:
    """What a sync did."""

    delivered: tuple[PendingRun, ...] = ()
    """As they were before, but with what the server refused of them."""
    left: tuple[Left, ...] = ()
    held: tuple[PendingRun, ...] = ()
    """Of living processes, which deliver them themselves."""


def sync(
    journal: Path,
    server: MLflowServer,
    *,
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Summary:
    """Deliver every run in a project's folder of journals that no living process holds, each in this
    thread. A server that does not answer is waited for up to `timeout_s` seconds; for as long as
    something arrives there is no limit."""
    _sweep(journal)
    return _Sync(journal, server, timeout_s, progress).run()


class _Patience:
    """How long nothing at all may work, with growing pauses."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.worked()

    def worked(self) -> None:
        self._since, self._failures = time.monotonic(), 0

    def wait(self) -> bool:
        """Pause; False, at once, when the time is over. One request may have taken it all: then there
        is a second try."""
        left = self._since + self._timeout_s - time.monotonic()
        if left <= 0 and (self._failures or not self._timeout_s):
            return False
        self._failures += 1
        time.sleep(max(0.0, min(left, pause_s(self._failures))))
        return True


class _Sync:
    def __init__(
        self, journal: Path, server: MLflowServer, timeout_s: float, progress: Callable[[Progress], None]
    ) -> None:
        self._journal = journal
        self._server = server
        self._patience = _Patience(timeout_s)
        self._progress = progress
        runs = pending.status(journal)  # oldest first: a parent before its children
        self._waiting = [run for run in runs if run.state in (PendingState.ENDED, PendingState.KILLED)]
        self._held = [run for run in runs if run.state is PendingState.WRITING]
        self._left = [
            Left(
                run,
                JournalError(journal / run.key, run.problem, remedy="Look at it, then mend or delete it."),
            )
            for run in runs
            if run.state is PendingState.DAMAGED
        ]
        self._delivered: list[PendingRun] = []
        self._runs = len(self._waiting)
        self._bytes = sum(run.bytes for run in self._waiting)
        self._bytes_done = 0

    def run(self) -> Summary:
        while self._waiting:
            failed = [left for run in self._waiting if (left := self._try(run)) is not None]
            self._left += [left for left in failed if not _may_pass(left.error)]
            passing = [left for left in failed if _may_pass(left.error)]
            if passing and not self._patience.wait():
                self._left += passing
                break
            self._waiting = [left.run for left in passing]
        return Summary(tuple(self._delivered), tuple(self._left), tuple(self._held))

    def _try(self, run: PendingRun) -> Left | None:
        folder = RunFolder(self._journal / run.key)
        try:
            delivery = Delivery(folder, self._server)
        except MLOpsError as error:
            if folder.path.exists():
                return Left(run, error)
            self._arrived(run, folder)  # by another sync
            return None
        try:
            return self._deliver(run, delivery)
        finally:
            delivery.release()

    def _deliver(self, run: PendingRun, delivery: Delivery) -> Left | None:
        folder = delivery.folder
        trouble: MLOpsError | None = None
        for _ in range(_TRIES):
            try:
                while delivery.step():
                    self._patience.worked()
                    self._tell(run, max(0, run.bytes - pending.unsent(folder)))
            except MLOpsError as error:
                trouble = error
            except Exception as error:  # noqa: BLE001 - another run's records must not depend on it
                _log.debug("run %s cannot be delivered", run.key, exc_info=True)
                return Left(run, MLOpsError(f"{type(error).__name__}: {error}"))
            else:
                if delivery.finished:
                    self._patience.worked()
                    self._arrived(run, folder)
                    return None
                if pending.is_held(folder):
                    break
                continue  # somebody had only looked whether it is held
            self._tell(run, 0, trouble.message)
            if not _may_pass(trouble) or not self._patience.wait():
                return Left(run, trouble)
        if trouble is not None:
            return Left(run, trouble)
        self._held.append(run)  # a process has taken it meanwhile
        return None

    def _arrived(self, run: PendingRun, folder: RunFolder) -> None:
        self._delivered.append(replace(run, refused=len(pending.refused(folder))))
        self._bytes_done += run.bytes
        self._tell(run, 0)

    def _tell(self, run: PendingRun, sent: int, waiting_for: str = "") -> None:
        done = self._bytes_done + sent
        self._progress(
            Progress(run, len(self._delivered), self._runs, min(done, self._bytes), self._bytes, waiting_for)
        )


def _may_pass(error: MLOpsError) -> bool:
    """Whether it may go away by itself."""
    cause = error.__cause__
    return isinstance(error, ServiceUnavailable) or (isinstance(cause, ServerRefusal) and cause.status >= 500)


def _sweep(journal: Path) -> None:
    """Remove what a process that was killed in the middle of making or closing a folder left."""
    for path in (*journal.glob(".done-*"), *journal.glob(".new-*")):
        lock = RunFolder(path).open_lock()
        if lock is None:  # its process lives
            continue
        try:
            _clear(path)
        finally:
            os.close(lock)


def _clear(path: Path) -> None:
    closing = path.name.startswith(".done-")
    if closing and RunFolder(path).segments():  # a forked child has begun one that moment
        path.rename(path.with_name(path.name.removeprefix(".done-")))
    elif closing or time.time() - (path / "lock").stat().st_mtime > _ABANDONED_S:
        shutil.rmtree(path, ignore_errors=True)
