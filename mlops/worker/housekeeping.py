"""What is kept for a time only: the inference log, and the traffic's windows."""

from __future__ import annotations

import logging
import time

from mlops.errors import ProjectNotFound
from mlops.project import Serving
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
            gone = self._store.inferences.forget_old(name, self._days(name))
            if gone:
                log.info("%s inferences of %s were older than it keeps them", gone, name)

    def _days(self, project: str) -> float:
        try:
            serving = self._store.projects.settings(project).get("serving", {})
        except ProjectNotFound:  # unregistered meanwhile
            return Serving().log_days
        return float(serving.get("log_days", Serving().log_days))
