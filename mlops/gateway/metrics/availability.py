"""How much of the time the services were up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric

from mlops.gateway.metrics.families import gauge


def availability_families(ratios: Mapping[tuple[str, str], float | None]) -> Iterator[Metric]:
    """By service and window (`day`, `week`, `month`): of the time that was observed, the part that the
    service was up; None where none was."""
    yield gauge(
        "mlops_service_availability_ratio",
        "Of the time that was observed in the window, the part that the service was up.",
        ("service", "window"),
        [(labels, ratio) for labels, ratio in ratios.items() if ratio is not None],
    )
