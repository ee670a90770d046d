"""Has drift reports made, those that are asked for and those that are due, one at a time, in a thread of its
own. It holds a lock of its own in Postgres: of several workers one makes them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops.children import Child
from mlops.entities import Deployment, DeploymentState, DriftJob, DriftTrigger, Side
from mlops.errors import DriftReportFailed, MLOpsError, ServiceUnavailable
from mlops.project import Monitoring
from mlops.store.store import Store
from mlops.worker.drift_job import DOWNLOAD, DriftOrder
from mlops.worker.presence import Presence

log = logging.getLogger(__name__)

EVERY_S = 1.0
DUE_S = 5.0
"""Between two looks at which are due."""
LEAST_PAUSE = timedelta(minutes=1)
"""Between two reports of a version by count."""
LONGEST_S = 600.0
"""That one may take."""
_SETTLED = timedelta(seconds=2)
"""After which inferences are in the log."""
_POLL_S = 0.1
_NO_REFERENCE = "ReferenceNotFound"


class DriftReports:
    """`start` and `stop` bound its life."""

    def __init__(
        self,
        store: Store,
        presence: Presence,
        home: Path,
        *,
        download: str = DOWNLOAD,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._store = store
        self._presence = presence
        self._home = home
        self._download = download
        self._longest_s = longest_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._due_at = 0.0
        self._is_first = True

    def start(self) -> None:
        """Begin; the tables are there."""
        self._thread.start()

    def stop(self) -> None:
        """End at once; what is being made is made anew by the next worker."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._presence.let_go()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self._look()
            except ServiceUnavailable as error:
                log.warning("drift reports wait: %s", error.message)
            except Exception:
                log.exception("a round of the drift reports failed")

    def _look(self) -> None:
        if not self._presence.hold():
            self._is_first = True
            return
        if self._is_first:
            self._store.drift.put_back()
            self._is_first = False
        if time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + DUE_S
            ask_for_what_is_due(self._store, datetime.now(UTC))
        job = self._store.drift.claim()
        if job is not None:
            self._make(job)

    def _make(self, job: DriftJob) -> None:
        child = Child("mlops.worker.drift_job", asdict(DriftOrder(job.id, str(self._home), self._download)))
        deadline = time.monotonic() + self._longest_s
        while not child.wait(_POLL_S):
            if self._stop.is_set():
                child.kill()
                return
            if time.monotonic() > deadline:
                said = child.kill()
                what = f"it took longer than {self._longest_s:g} s"
                self._failed(job, DriftReportFailed(what, said, remedy="Ask for a smaller window."))
                return
        ended = child.ended()
        if "error" in ended.answer:
            self._failed(job, MLOpsError.from_json(ended.answer))
        elif ended.code:
            what = f"its process ended with {ended.code}"
            self._failed(job, DriftReportFailed(what, ended.log, remedy="Ask for a smaller window."))

    def _failed(self, job: DriftJob, error: MLOpsError) -> None:
        log.warning("drift report %s of %s/%s: %s", job.id, job.project, job.model, error.message)
        self._store.drift.failed(job.id, str(error), type(error).__name__)


def ask_for_what_is_due(store: Store, now: datetime) -> None:
    """Queue a report of each running champion and canary whose time has come, or that answered enough. One
    whose version has no reference is not tried again. Raises `ServiceUnavailable`."""
    stated, last = store.projects.monitoring(), store.drift.last_by_itself()
    until = now - _SETTLED
    for each in store.deployments.all():
        if each.state is not DeploymentState.RUNNING or each.side not in (Side.CHAMPION, Side.CANARY):
            continue
        for trigger, find in _DUE.items():
            before = last.get((each.project, each.model, each.version, trigger))
            if before is not None and before.error_type == _NO_REFERENCE:
                continue
            since = find(store, each, stated.get(each.project, Monitoring()), before, until)
            if since is not None:
                store.drift.ask(each.project, each.model, each.version, since, until, trigger)


def _by_schedule(
    store: Store, of: Deployment, stated: Monitoring, before: DriftJob | None, until: datetime
) -> datetime | None:
    """From when on the window is, if one is due; none is while there is nothing new."""
    began = of.created_at if before is None else before.until
    if not stated.every_s or until - began < timedelta(seconds=stated.every_s):
        return None
    since = until - timedelta(seconds=stated.window_s)
    return since if _count(store, of, max(since, began), until, 1) else None


def _by_count(
    store: Store, of: Deployment, stated: Monitoring, before: DriftJob | None, until: datetime
) -> datetime | None:
    """From when on the window is, if one is due: where the last one ended, and not before the window that a
    schedule would take."""
    since = until - timedelta(seconds=stated.window_s)
    if before is not None:
        since = max(since, before.until)
        if until - before.until < LEAST_PAUSE:
            return None
    return since if stated.after and _count(store, of, since, until, stated.after) >= stated.after else None


def _count(store: Store, of: Deployment, since: datetime, until: datetime, most: int) -> int:
    return store.inferences.count(of.project, of.model, of.version, since, until, most)


_Due = Callable[[Store, Deployment, Monitoring, DriftJob | None, datetime], datetime | None]
_DUE: dict[DriftTrigger, _Due] = {DriftTrigger.SCHEDULE: _by_schedule, DriftTrigger.COUNT: _by_count}
