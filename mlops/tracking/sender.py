"""The process's one sender: a thread that delivers journals, and one that brings them to the disk.

A process has one sender, whichever clients live in it: it has one network, one exit and one fork, and a
thread for each run would fight the program for the interpreter. A forked child begins with none, and
gets its own when it writes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlops.errors import MLOpsError, ServiceUnavailable
from mlops.tracking.backoff import pause_s
from mlops.tracking.delivery import Delivery
from mlops.tracking.journal import RunJournal
from mlops.tracking.rest import Rest

_log = logging.getLogger(__name__)

_PAUSE_S = 0.5
"""Between two rounds: what comes in meanwhile is sent together."""
_SYNC_S = 0.5
_PORTION = 20
"""Requests for one run before the next run has its turn."""


class _Pace:
    """When a delivery is tried, and what hindered it."""

    def __init__(self) -> None:
        self.not_before = 0.0
        self.failures = 0
        self.failed_at = 0.0
        self.error: MLOpsError | None = None

    def failed(self, error: MLOpsError) -> None:
        """Wait longer each time."""
        self.failures += 1
        self.failed_at = time.monotonic()
        self.not_before = self.failed_at + pause_s(self.failures)
        self.error = error

    def worked(self) -> None:
        """The server answers."""
        self.failures, self.not_before, self.error = 0, 0.0, None


class Sender:
    """Delivers what is added until each is finished; thread-safe."""

    def __init__(self) -> None:
        self._paces: dict[Delivery, _Pace] = {}
        self._changed = threading.Condition()
        self._hurry = False
        self._busy: Delivery | None = None
        self._threads: list[threading.Thread] = []

    def add(self, delivery: Delivery) -> None:
        """Begin to deliver."""
        if delivery.journal is not None:
            delivery.journal.on_segment = lambda: current().adopt(delivery)
        with self._changed:
            self._paces[delivery] = _Pace()
            self._start_threads()
            self._hurry = True
            self._changed.notify_all()

    def adopt(self, delivery: Delivery) -> None:
        """Go on with a delivery that was added before a fork; nothing to do for one that is here."""
        if delivery not in self._paces:
            self.add(Delivery(delivery.folder, delivery.server, delivery.journal))

    def hand_over(self, folder: Path, timeout_s: float) -> None:
        """Let go of a run that an earlier process left, so that this one can go on with it; waits for a
        request that is under way, at most `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            for each in [each for each in self._paces if each.journal is None and each.folder.path == folder]:
                while self._busy is each and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._busy is not each and self._paces.pop(each, None) is not None:
                    each.release()

    def abandon(self) -> None:
        """Let go of everything, as a forked child must."""
        for each in self._paces:
            each.abandon()

    def flush(self, journal: RunJournal, done: Callable[[], bool], timeout_s: float, down_s: float) -> bool:
        """Hurry the run, and wait until `done()`: at most `timeout_s`, and at most `down_s` for a server
        that cannot be reached. Returns whether it is done."""
        begun = time.monotonic()
        pace, rest = self._pace_of(journal), self._rest_of(journal)
        with self._changed:
            pace.not_before = 0.0
            self._hurry = True
            self._changed.notify_all()
        while not done():  # outside the lock: it takes the journal's
            waited = time.monotonic() - begun
            # A server that answers, if only by a fault, is busy and not down.
            failed = pace.error is not None and pace.failed_at > begun
            down = failed and (rest is None or rest.silent_since(begun) >= down_s)
            if down or waited >= timeout_s:
                return False
            with self._changed:
                self._changed.wait(0.02)
        return True

    def trouble(self, journal: RunJournal) -> MLOpsError | None:
        """What hinders the run's delivery now."""
        return self._pace_of(journal).error

    def _pace_of(self, journal: RunJournal) -> _Pace:
        with self._changed:
            found = [pace for each, pace in self._paces.items() if each.journal is journal]
        return found[0] if found else _Pace()

    def _rest_of(self, journal: RunJournal) -> Rest | None:
        with self._changed:
            found = [each.server.rest for each in self._paces if each.journal is journal]
        return found[0] if found else None

    # -- threads --------------------------------------------------------------------------------

    def _start_threads(self) -> None:
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._deliver_for_ever, name="mlops-sender", daemon=True),
                threading.Thread(target=self._sync_for_ever, name="mlops-sync", daemon=True),
            ]
            for thread in self._threads:
                thread.start()

    def _deliver_for_ever(self) -> None:
        while True:
            with self._changed:
                if not self._hurry:
                    self._changed.wait(None if not self._paces else _PAUSE_S)
                self._hurry = False
                due = [each for each, pace in self._paces.items() if pace.not_before <= time.monotonic()]
            for delivery in due:
                with self._changed:
                    if delivery not in self._paces:
                        continue
                    self._busy = delivery
                more = self._deliver(delivery)
                with self._changed:
                    self._busy = None
                    self._hurry |= more
                    if delivery.finished:
                        self._paces.pop(delivery, None)
                    self._changed.notify_all()
                if delivery.finished and delivery.journal is not None:
                    _sync(delivery.journal)  # gives back what it holds open

    def _deliver(self, delivery: Delivery) -> bool:
        pace = self._paces[delivery]
        try:
            for _ in range(_PORTION):
                more = delivery.step()
                with self._changed:
                    pace.worked()
                    self._changed.notify_all()
                if not more:
                    return False
        except MLOpsError as error:
            self._note(delivery, pace, error)
            return False
        except Exception as error:  # noqa: BLE001 - the thread must live: another run's records depend on it
            _log.exception("run %s cannot be delivered", delivery.opening.key)
            self._note(delivery, pace, MLOpsError(f"{type(error).__name__}: {error}"))
            return False
        return True

    def _note(self, delivery: Delivery, pace: _Pace, error: MLOpsError) -> None:
        with self._changed:
            pace.failed(error)
            if isinstance(error, ServiceUnavailable):  # so will the other runs of that server find it
                for other, its in self._paces.items():
                    if other.server.rest is delivery.server.rest and other.journal is None:
                        its.not_before = max(its.not_before, pace.not_before)
            self._changed.notify_all()

    def _sync_for_ever(self) -> None:
        while True:
            time.sleep(_SYNC_S)
            for journal in self._journals():
                _sync(journal)

    def _journals(self) -> list[RunJournal]:
        with self._changed:
            return [each.journal for each in self._paces if each.journal is not None]


def _sync(journal: RunJournal) -> None:
    try:
        journal.sync()
    except OSError as error:
        _log.warning("the journal %s does not reach the disk: %s", journal.folder.path, error)


_sender = Sender()


def current() -> Sender:
    """The sender of this process."""
    return _sender


def _after_fork_in_child() -> None:
    global _sender
    _sender.abandon()
    _sender = Sender()


os.register_at_fork(after_in_child=_after_fork_in_child)
