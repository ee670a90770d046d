"""What the endpoints answered since the gateway started, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Response
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from mlops.gateway.auth import Caller
from mlops.platform import Platform
from mlops.serving.load import Load
from mlops.store.traffic import EDGES_S

_LABELS = ("project", "model", "version", "side")


def metrics_routes(platform: Platform) -> APIRouter:
    """GET /metrics."""
    routes = APIRouter(tags=["metrics"])

    @routes.get("/metrics")
    async def metrics(caller: Caller) -> Response:
        """Requests, errors, latencies and requests under way, by deployment, as OpenMetrics text."""
        loads = [load for load in platform.loads() if caller.may_use(load.deployment.project)]
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Loads(loads, platform.unlogged()))
        text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return routes


@dataclass(frozen=True, slots=True, eq=False)
class _Loads(Collector):
    loads: Sequence[Load]
    unlogged: int

    def collect(self) -> Iterator[Metric]:
        """The families."""
        requests = CounterMetricFamily("mlops_inferences", "Inferences answered.", labels=_LABELS)
        errors = CounterMetricFamily(
            "mlops_inference_errors", "Inferences that failed by no fault of the caller.", labels=_LABELS
        )
        seconds = HistogramMetricFamily(
            "mlops_inference_seconds", "Time until a replica answered.", labels=_LABELS
        )
        waiting = GaugeMetricFamily(
            "mlops_inferences_under_way", "Inferences that replicas work on now.", labels=_LABELS
        )
        queue = HistogramMetricFamily(
            "mlops_inference_queue_seconds", "Time that inferences waited in a replica.", labels=_LABELS
        )
        batch = HistogramMetricFamily(
            "mlops_inference_batch_requests",
            "Inferences that a call of the model answered.",
            labels=_LABELS,
        )
        refused = CounterMetricFamily(
            "mlops_inferences_refused",
            "Inferences refused at once, which would have waited too long.",
            labels=_LABELS,
        )
        for load in self.loads:
            of, traffic = load.deployment, load.traffic
            labels = (of.project, of.model, str(of.version), of.side.value)
            requests.add_metric(labels, traffic.requests)
            errors.add_metric(labels, traffic.errors)
            seconds.add_metric(labels, _cumulated(EDGES_S, traffic.latencies), sum_value=load.seconds)
            waiting.add_metric(labels, load.under_way)
            refused.add_metric(labels, load.refused)
            for family, found in ((queue, load.work.queue), (batch, load.work.batch)):
                family.add_metric(labels, _cumulated(found.edges, found.counts), sum_value=found.total)
        unlogged = CounterMetricFamily(
            "mlops_inferences_unlogged",
            "Inferences dropped from the log, which could not be written in time.",
        )
        unlogged.add_metric([], self.unlogged)
        yield from (requests, errors, seconds, waiting, refused, queue, batch, unlogged)


def _cumulated(edges: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    ends = [*(str(edge) for edge in edges), "+Inf"]
    total, buckets = 0, []
    for end, count in zip(ends, counts, strict=True):
        total += count
        buckets.append((end, float(total)))
    return buckets
