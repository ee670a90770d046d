"""What a deployment works on and has answered since this gateway began, and what more it can take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlops.entities import Deployment
from mlops.serving.base import MAX_ONGOING
from mlops.serving.work import Work
from mlops.store.traffic import Traffic

_ALWAYS_A_REPLICA = 4
"""Requests that are let in however slow the last ones were: one slow answer must not close the door."""
_SHARE = 0.5
"""Of the time that a caller gives, what waiting may take by our estimate."""
_NEW = 0.1
"""Weight of the newest answer in the running mean."""


@dataclass(slots=True)
class Load:
    """Requests of one deployment."""

    deployment: Deployment
    traffic: Traffic = field(default_factory=Traffic)
    seconds: float = 0.0
    """All its latencies together."""
    under_way: int = 0
    refused: int = 0
    """That were turned away at once, since they would have waited too long."""
    work: Work = field(default_factory=Work)
    _pace: float = 0.0
    """Running mean of an answer's latency divided by the requests under way as it began: by Little's law, the
    seconds from one answer to the next while some wait."""

    def takes(self, left_s: float, replicas: int) -> bool:
        """Whether one more request is likely to be answered in the time that it has left. What cannot be is
        better refused at once than computed for nobody."""
        if self.under_way < _ALWAYS_A_REPLICA * replicas:
            return True
        if self.under_way >= MAX_ONGOING * replicas:
            return False
        return self.under_way * self._pace <= _SHARE * left_s

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, one of the requests under way waits without a replica, and takes no other's place."""
        self.under_way -= 1
        try:
            yield
        finally:
            self.under_way += 1

    def record(self, seconds: float, beside: int, *, failed: bool) -> None:
        """Count a request, that took so long and began with `beside` others under way."""
        self.seconds += seconds
        self.traffic.record(seconds, failed=failed)
        self._pace += _NEW * (seconds / (beside + 1) - self._pace)
