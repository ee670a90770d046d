"""What is deployed, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import InfoMetricFamily, Metric

from mlops.entities import Deployment, DeploymentState
from mlops.gateway.metrics.families import gauge, one_of

_LABELS = ("project", "model", "version", "side")


def deployment_families(deployments: Iterable[Deployment], replicas: Mapping[int, int]) -> Iterator[Metric]:
    """State, replicas and weight by deployment; `replicas` has how many of each deployment listen. Of several
    that only their ids tell apart, the newest."""
    newest: dict[tuple[str, ...], Deployment] = {}
    for each in sorted(deployments, key=lambda each: each.id):
        newest[each.project, each.model, str(each.version), each.side.value] = each
    yield _info(newest)
    yield gauge(
        "mlops_deployment_state",
        "1 for the state that the deployment is in, 0 for the others.",
        (*_LABELS, "state"),
        [row for labels, each in newest.items() for row in one_of(labels, DeploymentState, each.state)],
    )
    yield gauge(
        "mlops_deployment_replicas",
        "Replicas that listen.",
        _LABELS,
        [(labels, replicas.get(each.id, 0)) for labels, each in newest.items()],
    )
    yield gauge(
        "mlops_deployment_replicas_wanted",
        "Replicas that are to run; of one that grows, the least.",
        _LABELS,
        [(labels, each.replicas) for labels, each in newest.items()],
    )
    yield gauge(
        "mlops_deployment_replicas_most",
        "Replicas that it may grow to.",
        _LABELS,
        [(labels, each.most_replicas or each.replicas) for labels, each in newest.items()],
    )
    yield gauge(
        "mlops_deployment_weight_ratio",
        "Of the callers, the part that a canary answers.",
        _LABELS,
        [(labels, each.weight / 100) for labels, each in newest.items()],
    )


def _info(deployments: Mapping[tuple[str, ...], Deployment]) -> Metric:
    family = InfoMetricFamily("mlops_deployment", "The package that is deployed.", labels=_LABELS)
    for labels, each in deployments.items():
        family.add_metric(labels, {"bento": each.bento})
    return family
