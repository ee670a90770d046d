"""How much of the time the services answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from mlops.entities import ServiceStatus
from mlops.gateway.metrics.families import gauge


def availability_families(services: Sequence[ServiceStatus]) -> Iterator[Metric]:
    """By service and window (`day`, `week`, `month`): of the time in which somebody looked, the part in which
    the service answered. A window in which nobody did is left out."""
    yield gauge(
        "mlops_service_availability_ratio",
        "Of the time that was observed in the window, the part in which the service answered.",
        ("service", "window"),
        [
            ((each.name, window), share)
            for each in services
            if each.record is not None
            for window in ("day", "week", "month")
            if (share := getattr(each.record, window).share) is not None
        ],
    )
