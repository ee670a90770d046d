"""How replicas work, as the gateway counts it for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from mlops.store.traffic import EDGES_S

BATCH_EDGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(slots=True)
class Histogram:
    """Counts by bucket; one more bucket holds what is above the last edge."""

    edges: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0
    """All values together."""

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.edges) + 1)

    def record(self, value: float) -> None:
        """Count one."""
        self.total += value
        self.counts[bisect_left(self.edges, value)] += 1


@dataclass(slots=True)
class Work:
    """How long requests waited in a replica, in s, and how many a call of the model answered together."""

    queue: Histogram = field(default_factory=lambda: Histogram(EDGES_S))
    batch: Histogram = field(default_factory=lambda: Histogram(BATCH_EDGES))

    def record(self, told: str | None) -> None:
        """Count what an answer's `WORK_HEADER` says, if it says something."""
        try:
            waited, together = (told or "").split()
            self.queue.record(float(waited))
            self.batch.record(float(together))
        except ValueError:
            return
