"""Keeps the index of runs in a thread of its own, so that it waits for nothing that the loop waits for. It
holds a lock of its own in Postgres: of several workers one writes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from mlops.errors import ServiceUnavailable
from mlops.worker.presence import Presence

if TYPE_CHECKING:
    from mlops.worker.index import RunIndex
    from mlops.worker.polled_index import PolledIndex

log = logging.getLogger(__name__)


class Index(Protocol):
    """Keeps the index of runs and model versions like MLflow, by rounds; used from one thread."""

    @property
    def pause_s(self) -> float:
        """Seconds until the next round is due."""

    def update(self) -> int:
        """One round; returns the number of rows that changed. Raises `ServiceUnavailable` where it could not
        be; what was not finished is done by the next round."""

    def halt(self) -> None:
        """Have `update` end after what it is writing, as if it had been cut short there."""


class Indexer:
    """`start` and `stop` bound its life."""

    def __init__(self, presence: Presence, index: Index) -> None:
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
            pause = self._index.pause_s


if TYPE_CHECKING:
    _by_tables: type[Index] = RunIndex
    _by_polling: type[Index] = PolledIndex
