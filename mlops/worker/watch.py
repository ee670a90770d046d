"""The watch: judges the rules of alerts and has what is found told, in a thread of its own, so that neither
waits for Ray. It holds a lock of its own in Postgres: of several workers one watches."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from mlops.errors import ServiceUnavailable
from mlops.monitoring.alerts import evaluate
from mlops.monitoring.readings import Facts
from mlops.monitoring.rules import all_rules
from mlops.store.store import Store
from mlops.worker.deliveries import Deliveries
from mlops.worker.presence import Presence

log = logging.getLogger(__name__)

EVERY_S = 1.0


class Watch:
    """`start` and `stop` bound its life."""

    def __init__(
        self, store: Store, presence: Presence, facts: Callable[[], Facts], deliveries: Deliveries
    ) -> None:
        self._store = store
        self._presence = presence
        self._facts = facts
        self._deliveries = deliveries
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin; the tables are there."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being told this moment."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._deliveries.close()
        self._presence.let_go()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                if self._presence.hold():
                    self._look()
            except ServiceUnavailable as error:
                log.warning("alerts wait: %s", error.message)
            except Exception:
                log.exception("a round of the watch failed")

    def _look(self) -> None:
        stated = {name: each.rules for name, each in self._store.projects.alerting().items()}
        evaluate(all_rules(stated, self._store.alert_rules.all()), self._facts(), self._store.alerts)
        self._deliveries.look()
