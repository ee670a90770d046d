"""The services of the stack, the sources of all these figures, and which build tells them."""

from __future__ import annotations

import platform as python
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

from prometheus_client.core import InfoMetricFamily, Metric

from mlops.entities import ServiceState, ServiceStatus
from mlops.gateway.metrics.families import counter, gauge, one_of

_UP = (ServiceState.HEALTHY, ServiceState.EXTERNAL)


def service_families(services: Sequence[ServiceStatus]) -> Iterator[Metric]:
    """Whether each service is up, its state and its restarts, as the supervisor last saw them."""
    yield gauge(
        "mlops_service_up",
        "Whether the service answers.",
        ("service",),
        [((each.name,), float(each.state in _UP)) for each in services],
    )
    yield gauge(
        "mlops_service_state",
        "1 for the state that the service is in, 0 for the others.",
        ("service", "state"),
        [row for each in services for row in one_of((each.name,), ServiceState, each.state)],
    )
    yield counter(
        "mlops_service_restarts",
        "Restarts since the supervisor began.",
        ("service",),
        [((each.name,), each.restarts) for each in services],
    )


def source_families(answered: Mapping[str, bool]) -> Iterator[Metric]:
    """Whether each source of the other families answered in time; those of one that did not are missing."""
    yield gauge(
        "mlops_source_up",
        "Whether a source of these figures answered in time.",
        ("source",),
        [((source,), float(did)) for source, did in answered.items()],
    )


def build_families() -> Iterator[Metric]:
    """Which version of the toolkit, on which Python."""
    yield InfoMetricFamily(
        "mlops_build",
        "The gateway's build.",
        {"version": version("efficientai-toolkit"), "python": python.python_version()},
    )
