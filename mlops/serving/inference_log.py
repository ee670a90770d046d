"""What of the answers goes into the log: sampled, limited, and held in bounded memory until it is written."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.entities import Deployment

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogCounts:
    """What became of the inferences that were to be logged, since the gateway began."""

    written: int
    """That Postgres took."""
    dropped: int
    """That were dropped, since they could not be written in time."""
    waiting: int
    """That are held until they are written."""


class InferenceLog:
    """The rows that wait to be written. Where more come than may be held, the oldest go, and are counted."""

    MOST_PER_S = 50
    """Inferences of one endpoint a second; more are not looked at."""
    MOST_BYTES = 16 * 1024 * 1024
    """Of features that wait, some 2,000 to 50,000 inferences."""
    _ROW_BYTES = 300

    def __init__(self) -> None:
        self.written = self.dropped = 0
        self._rows: deque[Row] = deque()
        self._bytes = 0
        self._second = 0
        self._seen: Counter[Hashable] = Counter()

    @property
    def counts(self) -> LogCounts:
        """What became of them so far."""
        return LogCounts(self.written, self.dropped, len(self._rows))

    def wants(self, endpoint: Hashable, share: float) -> bool:
        """Whether this inference is one of the share, and of those that may be looked at in this second."""
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._seen.clear()
        if self._seen[endpoint] >= self.MOST_PER_S or random.random() >= share:  # noqa: S311 - no secret
            return False
        self._seen[endpoint] += 1
        return True

    def offer(
        self, deployment: Deployment, request_id: str, status: int, latency_s: float, features: str | None
    ) -> None:
        """Keep one until it is written; `features` is JSON."""
        self._keep(
            {
                "at": datetime.now(UTC),
                "project": deployment.project,
                "model": deployment.model,
                "version": deployment.version,
                "side": deployment.side.value,
                "request_id": request_id,
                "status": status,
                "latency_s": latency_s,
                "features": features,
            }
        )

    def take(self) -> list[Row]:
        """All that wait; they are the caller's then."""
        rows, self._rows, self._bytes = list(self._rows), deque(), 0
        return rows

    def put_back(self, rows: list[Row]) -> None:
        """Keep what could not be written, before what came meanwhile."""
        for row in [*rows, *self.take()]:
            self._keep(row)

    def _keep(self, row: Row) -> None:
        self._rows.append(row)
        self._bytes += self._size(row)
        while self._bytes > self.MOST_BYTES:
            self._bytes -= self._size(self._rows.popleft())
            self.dropped += 1

    def _size(self, row: Row) -> int:
        return self._ROW_BYTES + len(row["features"] or "")
