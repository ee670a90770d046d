"""The worker's loop: hold the lock, reconcile, judge canaries, look after journals, beat; and let
the watch over alerts, the drift reports and the index of runs begin."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mlops.errors import ServiceUnavailable
from mlops.store.store import Store
from mlops.worker.alias_mover import AliasMover
from mlops.worker.aliases import AliasFollower
from mlops.worker.guard import CanaryGuard
from mlops.worker.heartbeat import Heartbeat
from mlops.worker.housekeeping import Housekeeping
from mlops.worker.journals import Journals
from mlops.worker.presence import Presence
from mlops.worker.reconcile import Reconciler

log = logging.getLogger(__name__)

SOON_S, CALM_S, ENDPOINTS_S, RETRY_S = 0.25, 2.0, 1.0, 1.0


class Session(Protocol):
    """Whether the model server's session was lost for good, and with it this process' use."""

    lost: bool


class Thread(Protocol):
    """Work beside the loop."""

    def start(self) -> None:
        """Begin."""


class Loop:
    """One worker. `run` returns when `stop` was called (also from a signal handler), or when Ray's
    session was lost: then the process ends, and the supervisor starts the next one."""

    def __init__(
        self,
        store: Store,
        presence: Presence,
        reconciler: Reconciler,
        heartbeat: Heartbeat,
        session: Session | None = None,
        journals: Journals | None = None,
        aliases: AliasFollower | None = None,
        *,
        mover: AliasMover | None = None,
        threads: Sequence[Thread] = (),
        drift_dir: Path | None = None,
    ) -> None:
        """`threads` are begun with it, once the tables are there."""
        self._store = store
        self._presence = presence
        self._reconciler = reconciler
        self._heartbeat = heartbeat
        self._session = session
        self._journals = journals
        self._aliases = aliases
        self._mover = mover
        self._threads = threads
        self._guard = CanaryGuard(store)
        self._housekeeping = Housekeeping(store, drift_dir)
        self._endpoints_due = 0.0
        self._migrated = False
        self._stopping = False

    def stop(self) -> None:
        """End after the step that runs."""
        self._stopping = True

    def run(self) -> None:
        """Step after step; a Postgres or a Ray that does not answer is waited for."""
        while not self._stopping and not (self._session and self._session.lost):
            try:
                self._wait(self._step())
            except ServiceUnavailable as error:
                log.warning("%s", error.message)
                self._heartbeat.tell(ray=None if error.fields.get("service") != "ray" else error.message)
                self._sleep(RETRY_S)

    def _step(self) -> float:
        """One round; returns the seconds until the next is due."""
        if not self._presence.hold():
            self._heartbeat.tell(ray="another worker is at work")
            return CALM_S
        if not self._migrated:
            self._store.upgrade()
            self._migrated = True
            for thread in self._threads:
                thread.start()
        if self._journals is not None:
            self._journals.look()
        self._look_at_endpoints()
        self._heartbeat.tell(ray="ok", deployments=self._reconciler.step())
        return SOON_S if self._reconciler.moving else CALM_S

    def _look_at_endpoints(self) -> None:
        if time.monotonic() < self._endpoints_due:
            return
        self._endpoints_due = time.monotonic() + ENDPOINTS_S
        if self._mover is not None:
            self._mover.look()
        if self._aliases is not None:
            self._aliases.look()
        self._guard.look()
        self._housekeeping.look()

    def _wait(self, seconds: float) -> None:
        # In short pieces, so that a signal is obeyed soon.
        deadline = time.monotonic() + seconds
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            if self._presence.wait(min(left, 0.5)):
                return

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < deadline:
            time.sleep(0.1)
