"""What is kept for a time only: the inference log and its ground truths, the traffic's windows, alerts, drift
reports and what was seen of the services."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from mlops.monitoring import drift_files
from mlops.store.store import Store

log = logging.getLogger(__name__)

EVERY_S = 600.0
SOON_S = 5.0
"""Until the next look where one could not delete all that is due."""


class Housekeeping:
    """Drops what is older than it shall be kept, every few minutes, and makes room for what comes."""

    def __init__(self, store: Store, drift_dir: Path | None = None) -> None:
        self._store = store
        self._drift_dir = drift_dir
        self._due = 0.0

    def look(self) -> None:
        """Do what is due. Raises `ServiceUnavailable`."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + EVERY_S
        self._store.traffic.forget_old()
        self._store.alerts.forget_old()
        self._store.probes.forget_old()
        self._store.drift.forget_old()
        if self._drift_dir is not None:
            drift_files.forget(self._drift_dir, self._store.drift)
        self._store.retention.make_room()
        names = [project.project_name for project in self._store.projects.all()]
        days = {name: self._store.projects.serving(name).log_days for name in names}
        self._store.ground_truths.forget(days)
        gone = self._store.retention.forget(days)
        if gone.partitions:
            log.info("dropped what no project keeps of the inference log: %s", ", ".join(gone.partitions))
        if gone.rows:
            log.info("%s inferences were older than their projects keep them", gone.rows)
        if not gone.finished:
            self._due = time.monotonic() + SOON_S
