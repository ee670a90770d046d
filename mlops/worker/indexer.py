"""Keeps the index of runs in a thread of its own, so that it waits for nothing that the loop waits for. It
holds a lock of its own in Postgres: of several workers one writes."""

from __future__ import annotations

import logging
import threading

from mlops.errors import ServiceUnavailable
from mlops.worker.index import RunIndex
from mlops.worker.presence import Presence

log = logging.getLogger(__name__)

EVERY_S = 0.4
"""Between two rounds, or `_SHARE` times what the last one took: however many runs there are, the processor is
not theirs."""
_SHARE = 4
LONGEST_PAUSE_S = 10.0


class Indexer:
    """`start` and `stop` bound its life."""

    def __init__(self, presence: Presence, index: RunIndex) -> None:
        self._presence = presence
        self._index = index
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Begin; the tables are there."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being written this moment."""
        self._stop.set()
        self._index.halt()
        if self._thread.is_alive():
            self._thread.join()
        self._presence.let_go()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                if self._presence.hold():
                    self._index.update()
            except ServiceUnavailable as error:
                log.warning("the index of runs waits: %s", error.message)
            except Exception:
                log.exception("a round of the index of runs failed")
            pause = min(max(EVERY_S, _SHARE * self._index.took_s), LONGEST_PAUSE_S)
