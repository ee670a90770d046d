"""What is kept for a time only: the inference log, and the traffic's windows."""

from __future__ import annotations

import logging
import time

from mlops.store.store import Store

log = logging.getLogger(__name__)

EVERY_S = 600.0


class Housekeeping:
    """Drops what is older than it shall be kept, every few minutes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._due = 0.0

    def look(self) -> None:
        """Do what is due. Raises `ServiceUnavailable`."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + EVERY_S
        self._store.traffic.forget_old()
        for project in self._store.projects.all():
            name = project.project_name
            gone = self._store.inferences.forget_old(name, self._store.projects.serving(name).log_days)
            if gone:
                log.info("%s inferences of %s were older than it keeps them", gone, name)
