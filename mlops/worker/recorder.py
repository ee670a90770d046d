"""Brings what the supervisor saw of the services into the database, and writes down what follows from it."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from mlops.entities import Observation
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.services.observing import is_complete, observations, observations_dir
from mlops.services.record import write_records
from mlops.store.store import Store

log = logging.getLogger(__name__)

EVERY_S = 1.0
PUBLISH_S = 10.0
"""How often the services' records are worked out anew where nothing happened."""
_MOST = 100
"""Files taken in a round: after a long outage of Postgres there are many."""


class ProbeRecorder:
    """A thread of its own, which needs no lock: what two of them record counts once, and each installation
    has its own. `start` and `stop` bound its life."""

    def __init__(self, store: Store, installation: Installation) -> None:
        self._store = store
        self._installation = installation
        self._folder = observations_dir(installation)
        self._recorded: dict[Path, Observation] = {}
        """What of the files that stay is in the database."""
        self._migrated = False
        self._publish_due = 0.0
        self._unreachable = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin; the tables need not be there yet."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that goes on."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Record what is new, and publish what follows; raises `ServiceUnavailable`, `OSError`."""
        if not self._migrated:
            self._store.upgrade()
            self._migrated = True
        if self._record() or time.monotonic() >= self._publish_due:
            self._publish_due = time.monotonic() + PUBLISH_S
            name = self._installation.identity()
            write_records(self._installation, self._store.probes.records(name, datetime.now(UTC)))

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self.look()
            except ServiceUnavailable as error:
                if not self._unreachable:
                    log.warning("what the supervisor sees waits in %s: %s", self._folder, error.message)
                self._unreachable = True
            except Exception:
                log.exception("a round of the recorder failed")
            else:
                self._unreachable = False

    def _record(self) -> bool:
        """Whether there was anything new."""
        waiting = dict(islice(observations(self._folder), _MOST))
        new = {path: each for path, each in waiting.items() if self._recorded.get(path) != each}
        if new:
            self._store.probes.put(self._installation.identity(), list(new.values()))
        now = datetime.now(UTC)
        complete = {path for path, each in waiting.items() if is_complete(each, now)}
        for path in complete:
            path.unlink(missing_ok=True)
        self._recorded = {path: each for path, each in waiting.items() if path not in complete}
        return bool(new)
