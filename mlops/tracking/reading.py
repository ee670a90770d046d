"""What is read of one project's runs on an MLflow server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlops.errors import InvalidInput
from mlops.tracking.rest import ServerRefusal
from mlops.tracking.results import MetricPoint, Runs
from mlops.tracking.search import check_max_results, order_clauses
from mlops.tracking.server import MLflowServer, number_of, time_of

_RUNS_PAGE = 1000
_POINTS_PAGE = 25_000


def search_runs(
    server: MLflowServer, filter: str, order_by: str, max_results: int, page_token: str | None
) -> Runs:
    """Runs over all experiments of the project, in as many pages as it takes. Raises `InvalidInput`
    naming what cannot be read: filter, order_by or page_token."""
    check_max_results(max_results)
    experiments = server.experiments()
    found, token = Runs(), page_token or ""
    while experiments and len(found) < max_results:
        size = min(_RUNS_PAGE, max_results - len(found))
        try:
            page = _page(server, experiments, filter, order_by, size, token)
        except ServerRefusal as refusal:
            raise _at_fault(server, experiments, filter, order_by, page_token, refusal) from refusal
        found += [server.read(run) for run in page.get("runs", [])]
        token = page.get("next_page_token", "")
        found.next_token = token or None
        if not token:
            break
    return found


def metric_points(server: MLflowServer, run_id: str, key: str) -> Iterator[MetricPoint]:
    """Every value of a metric by time, read in pages: 25,000 points a second or so."""
    query: dict[str, Any] = {"run_id": run_id, "metric_key": key, "max_results": _POINTS_PAGE}
    while True:
        page = server.rest.call("GET", "/metrics/get-history", query=query)
        for each in page.get("metrics", []):
            yield _point(each)
        token = page.get("next_page_token", "")
        if not token:
            return
        query["page_token"] = token


def _page(
    server: MLflowServer, experiments: list[str], filter: str, order_by: str, size: int, token: str
) -> dict[str, Any]:
    return server.rest.call(
        "POST",
        "/runs/search",
        {
            "experiment_ids": experiments,
            "filter": filter,
            "order_by": order_clauses(order_by),
            "max_results": size,
            "page_token": token,
        },
    )


def _at_fault(
    server: MLflowServer,
    experiments: list[str],
    filter: str,
    order_by: str,
    page_token: str | None,
    refusal: ServerRefusal,
) -> InvalidInput:
    """Asked of the server, each part alone: its messages do not say."""
    for name, value, alone in (
        ("filter", filter, (filter, "", 1, "")),
        ("order_by", order_by, ("", order_by, 1, "")),
        ("page_token", page_token, ("", "", 1, page_token or "")),
    ):
        try:
            _page(server, experiments, *alone)
        except ServerRefusal as again:
            return InvalidInput(name, value, again.message, remedy=_REMEDIES[name])
    return InvalidInput("filter", filter, refusal.message, remedy=_REMEDIES["filter"])


_REMEDIES = {
    "filter": "Write e.g. `metrics.loss < 0.1 and params.model = 'small'`.",
    "order_by": "Write e.g. `metrics.loss ASC`; several with commas.",
    "page_token": "Give the `next_token` of the page before.",
}


def _point(found: dict[str, Any]) -> MetricPoint:
    return MetricPoint(
        int(found.get("step", 0)), time_of(found.get("timestamp", 0)), number_of(found.get("value", 0))
    )
