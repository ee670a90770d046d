"""What the endpoints answered since the gateway started, and what of it was logged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import HistogramMetricFamily, Metric

from mlops.gateway.metrics.families import counter, gauge
from mlops.serving.inference_log import LogCounts
from mlops.serving.load import Load
from mlops.store.traffic import EDGES_S

_LABELS = ("project", "model", "version", "side")
_HISTOGRAMS = (
    ("mlops_inference_seconds", "Time until a replica answered."),
    ("mlops_inference_queue_seconds", "Time that inferences waited in a replica."),
    ("mlops_inference_batch_requests", "Inferences that a call of the model answered."),
)


def inference_families(loads: Iterable[Load]) -> Iterator[Metric]:
    """Requests, errors, latencies and requests under way, by deployment."""
    rows = [(_labels(load), load) for load in loads]
    yield counter(
        "mlops_inferences",
        "Inferences answered.",
        _LABELS,
        [(labels, load.traffic.requests) for labels, load in rows],
    )
    yield counter(
        "mlops_inference_errors",
        "Inferences that failed by no fault of the caller.",
        _LABELS,
        [(labels, load.traffic.errors) for labels, load in rows],
    )
    yield counter(
        "mlops_inferences_refused",
        "Inferences refused at once, which would have waited too long.",
        _LABELS,
        [(labels, load.refused) for labels, load in rows],
    )
    yield gauge(
        "mlops_inferences_under_way",
        "Inferences that replicas work on now.",
        _LABELS,
        [(labels, load.under_way) for labels, load in rows],
    )
    seconds, queue, batch = (HistogramMetricFamily(name, text, labels=_LABELS) for name, text in _HISTOGRAMS)
    for labels, load in rows:
        seconds.add_metric(labels, _cumulated(EDGES_S, load.traffic.latencies), sum_value=load.seconds)
        for family, found in ((queue, load.work.queue), (batch, load.work.batch)):
            family.add_metric(labels, _cumulated(found.edges, found.counts), sum_value=found.total)
    yield from (seconds, queue, batch)


def log_families(counts: LogCounts) -> Iterator[Metric]:
    """What became of the inferences that were to be logged, of all projects together."""
    yield counter("mlops_inferences_logged", "Inferences written to the log.", (), [((), counts.written)])
    yield counter(
        "mlops_inferences_unlogged",
        "Inferences dropped from the log, which could not be written in time.",
        (),
        [((), counts.dropped)],
    )
    yield gauge(
        "mlops_inferences_log_waiting",
        "Inferences held until they are written to the log.",
        (),
        [((), counts.waiting)],
    )


def _labels(load: Load) -> tuple[str, ...]:
    of = load.deployment
    return of.project, of.model, str(of.version), of.side.value


def _cumulated(edges: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    ends = [*(str(edge) for edge in edges), "+Inf"]
    total, buckets = 0, []
    for end, count in zip(ends, counts, strict=True):
        total += count
        buckets.append((end, float(total)))
    return buckets
