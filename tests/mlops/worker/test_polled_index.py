"""The index of runs of an MLflow elsewhere: pages, sweeps, counts, and a server that does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from mlflow.entities import Metric

from mlops.entities import ProjectWorkspace
from mlops.errors import ServiceUnavailable
from mlops.store.indexed_runs import MetricSummary
from mlops.store.run_query import RunQuery
from mlops.store.store import Store
from mlops.tracking.rest import Rest
from mlops.worker import polled_index
from mlops.worker.indexer import Index
from mlops.worker.mlflow_api import _storable
from mlops.worker.polled_index import PolledIndex
from tests.mlops.tracking.proxy import Exchange, Proxy, answer

from .conftest import Api, Runs

HOSTILE = "<script>alert('é')</script>\"; DROP TABLE runs; --"


@pytest.fixture
def source(api: Api) -> Api:
    """A server elsewhere."""
    return api


@pytest.fixture
def proxy(api: Api) -> Iterator[Proxy]:
    """The server, as the index reaches it."""
    made = Proxy(api._server.url)
    yield made
    made.close()


@pytest.fixture
def index(api: Api, proxy: Proxy, store: Store) -> PolledIndex:
    """It asks through the proxy, and counts what goes on in each round."""

    def rest_of(workspace: ProjectWorkspace) -> Rest:
        namespace = workspace.namespace
        return Rest(lambda: proxy.url, namespace, namespace, api.passwords[namespace])

    return PolledIndex(store, proxy.url, rest_of, recount_s=0.0)


@pytest.fixture
def log(api: Api, experiment: str) -> Callable[..., str]:
    """Makes a run with values of `loss`, or of other metrics as well, that has ended."""

    def make(
        name: str, *values: float, into: str = "", start: int = 1000, is_over: bool = True, also: str = ""
    ) -> str:
        run = str(api.client.create_run(into or experiment, start, run_name=name).info.run_id)
        each = [(key, value, step) for key in ("loss", *also.split()) for step, value in enumerate(values)]
        api.client.log_batch(run, [Metric(key, value, step, step) for key, value, step in each])
        if is_over:
            api.client.set_terminated(run)
        return run

    return make


def losses(store: Store) -> dict[str, MetricSummary]:
    return {run.name: run.metrics["loss"] for run in store.runs.stream(RunQuery())}


def test_pages_find_what_is_new_and_a_sweep_the_rest(
    api: Api,
    log: Callable[..., str],
    index: PolledIndex,
    look: Callable[[], Runs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, size in {"NEWEST": 2, "RUNNING": 2, "ALL": 3, "NAMED": 2}.items():
        monkeypatch.setattr(polled_index, name, size)
    runs = [log(f"old {n}", 0.1, start=n + 1) for n in range(4)]
    assert len(look()) == 4
    for n in range(3):
        log(f"going {n}", 0.1, start=n + 50, is_over=False)
        log(f"new {n}", 0.1, start=n + 60)
    api.client.delete_run(runs[0])
    api.client.set_tag(runs[1], "note", HOSTILE)
    found = look()
    assert len(found) == 10
    assert "note" not in found["old 1"].tags, "nothing tells of it"
    index._sweep_due.clear()
    found = look()
    assert len(found) == 9
    assert found["old 1"].tags["note"] == HOSTILE
    api.client.set_terminated(found["going 1"].id, "FAILED")
    assert look()["going 1"].is_over
    api.client.delete_run(found["new 2"].id)
    assert "new 2" not in look(), "the newest are seen to go"


def test_a_round_costs_a_handful_of_requests(
    log: Callable[..., str], index: Index, proxy: Proxy, store: Store
) -> None:
    for n in range(12):
        log(f"run {n}", 0.5, 0.1, 0.3, also="acc")
    index.update()
    assert len(proxy.lines) <= 7, "experiments, runs, models, versions, and two metrics of all runs"
    assert set(losses(store).values()) == {MetricSummary(0.3, 0.1, 0.5, 2, 2, 3)}
    proxy.lines.clear()
    assert index.update() == 0
    assert len(proxy.lines) <= 5


def test_what_a_server_does_not_tell_is_told_and_tried_again(
    api: Api,
    log: Callable[..., str],
    index: PolledIndex,
    proxy: Proxy,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(polled_index, "ALL", 2)
    for n in range(3):
        log(f"run {n}", 0.5, start=n + 1)

    def cuts_later_pages(exchange: Exchange) -> bool:
        return "/runs/search" in exchange.line and b"page_token" in exchange.body

    proxy.fault = cuts_later_pages
    calm = index.pause_s
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="mlflow"):
            index.update()
    assert len(losses(store)) == 2, "the newest of a reading that ended in its middle"
    assert index.pause_s > 3 * calm
    found = store.freshness.of()
    assert (found.indexed_at, found.is_away) == (None, True)
    assert caplog.text.count("of project indexed are not read") == 1
    proxy.fault = None
    index.update()
    assert len(losses(store)) == 3
    assert (store.freshness.of().failing, index.pause_s) == ((), calm)

    log("another's", 0.5, into=api.add_project("other"))
    other = store.projects.get("other").namespace
    password, api.passwords[other] = api.passwords[other], "wrong"
    index.update()
    found = store.freshness.of()
    (failing,) = found.failing
    assert (failing.project, failing.read_at, found.is_away) == ("other", None, False)
    assert "account" in failing.problem
    assert store.freshness.of(["indexed"]).failing == ()
    api.passwords[other] = password
    index.update()
    assert losses(store).keys() == {"run 0", "run 1", "run 2", "another's"}

    odd = {
        "no <b>disk</b>": answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "no <b>disk</b>"}'),
        "not understood": answer(200, b'{"experiments": [true]}'),
    }
    for told, raw in odd.items():
        proxy.fault = lambda exchange, raw=raw: exchange.answer(raw) or True
        index.update()
        assert [told in each.problem for each in store.freshness.of().failing] == [True, True], told
    assert len(losses(store)) == 4, "what was known stays"


def test_values_are_counted_once_and_long_runs_at_their_end(
    api: Api, log: Callable[..., str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.worker.mlflow_api.MOST_VALUES", 4)
    index = PolledIndex(store, api._server.url, api.rest)  # counts what goes on once a minute
    log("long", 0.5, 0.1, 0.9, 0.8, 0.7, 0.6, 0.2, 0.3, 0.4)
    going = log("going", 0.5, 0.1, 0.9, 0.8, 0.7, is_over=False)
    short = log("short", 0.5, 0.1, 0.4, is_over=False)
    index.update()
    assert losses(store) == {
        "long": MetricSummary(0.4, 0.1, 0.9, 8, 8, 9),
        "going": MetricSummary(0.7, 0.7, 0.7, 4, 4, 0),
        "short": MetricSummary(0.4, 0.1, 0.5, 2, 2, 3),
    }
    api.client.log_metric(short, "loss", 0.9, timestamp=3, step=3)
    index.update()
    assert losses(store)["short"] == MetricSummary(0.9, 0.1, 0.9, 3, 3, 0)
    for run in (going, short):
        api.client.set_terminated(run)
    index.update()
    assert losses(store)["going"] == MetricSummary(0.7, 0.1, 0.9, 4, 4, 5)
    assert losses(store)["short"] == MetricSummary(0.9, 0.1, 0.9, 3, 3, 4)


def test_values_that_are_not_told_are_those_that_were_seen(
    log: Callable[..., str], index: Index, proxy: Proxy, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def has_no_such_route(exchange: Exchange) -> bool:
        if "get-history" in exchange.line:
            exchange.answer(answer(404))
        return "get-history" in exchange.line

    proxy.fault = has_no_such_route
    log("run", 0.5, 0.1)
    index.update()
    assert losses(store) == {"run": MetricSummary(0.1, 0.1, 0.1, 1, 1, 1)}
    assert "values of metric 'loss' are not read" in caplog.text


def test_what_postgres_does_not_take_is_replaced() -> None:
    odd = {"a\0": ["\ud800x", "é", 1, None, {"b": "\0"}]}
    assert _storable(odd) == {"a?": ["?x", "é", 1, None, {"b": "?"}]}
