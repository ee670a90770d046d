"""Families as one text, in the format that the caller reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import ProcessCollector, exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry


@dataclass(frozen=True, slots=True, eq=False)
class _Families(Collector):
    found: Sequence[Metric]

    def collect(self) -> Iterator[Metric]:
        """They."""
        return iter(self.found)


def page(families: Iterable[Metric], accept: str, *, with_process: bool) -> tuple[bytes, str]:
    """The text and its content type: Prometheus' older text where `accept` names it and not OpenMetrics,
    else OpenMetrics. With the figures of this process where they are wanted, and the system has them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families)))
    if with_process:
        ProcessCollector(registry=registry)
    if "text/plain" in accept and "application/openmetrics-text" not in accept:
        plain: bytes = exposition.generate_latest(registry)
        return plain, exposition.CONTENT_TYPE_PLAIN_0_0_4
    text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    return text, openmetrics.CONTENT_TYPE_LATEST
