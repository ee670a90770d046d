"""The index of runs: how long it takes to fill, to answer, and to follow MLflow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from mlops.client import MLOpsClient
from mlops.installation import Installation
from mlops.store.run_query import RunQuery
from mlops.store.store import Store
from mlops.worker.index import RunIndex
from mlops.worker.indexer import Indexer
from mlops.worker.presence import INDEX_LOCK, Presence
from tests.bench import runs_fill
from tests.bench.result import Comparison, Measure, Result, p95
from tests.bench.tracking_server import PROJECT, Server

PROJECTS = 50
LATEST = 100
ANSWER_MS, SEEN_S, RATIO = 150.0, 2.0, 1 / 50
_METRIC = "loss"

QUESTIONS: tuple[RunQuery, ...] = (
    RunQuery.of(),
    RunQuery.of(project=["p7"]),
    RunQuery.of(project=["p7", "p8", "p9"]),
    RunQuery.of(state=["RUNNING"]),
    RunQuery.of(state=["FAILED"], project=["p7"]),
    RunQuery.of(sort=["metric:loss"]),
    RunQuery.of(sort=["-metric:loss.max"], project=["p7"]),
    RunQuery.of(tag=["stage=prod"], sort=["metric:loss"], state=["FAILED"]),
    RunQuery.of(tag=["sweep=7"], sort=["metric:loss"]),
    RunQuery.of(param=["param1=3"], sort=["metric:loss.min"]),
    RunQuery.of(metric=["loss<0.001"]),
    RunQuery.of(metric=["loss<0.5", "metric3.max>0.9"]),
    RunQuery.of(metric=["loss<0.01"], sort=["-metric:metric2"]),
    RunQuery.of(text="lora"),
    RunQuery.of(text="mixer 4711"),
    RunQuery.of(text="nothing"),
    RunQuery.of(since="2023-12-01T00:00+00:00", until="2023-12-02T00:00+00:00", sort=["metric:loss"]),
    RunQuery.of(project=["p7"], metric=["loss<0.5"], tag=["stage=prod"], sort=["-metric:metric4"]),
)


@dataclass(frozen=True)
class Same:
    """One question over all projects, asked of both."""

    name: str
    query: RunQuery
    asked: dict[str, object]
    """Of MLflow's API, in each workspace."""
    key: Callable[[dict[str, Any]], float]
    """By which a run of MLflow's answer stands, the least first."""
    bar: float | None = None


def run(quick: bool) -> Iterator[Result]:
    """One filling, then questions, MLflow's own answer, and how soon a logged value is there."""
    runs, rounds, logged = (2_000, 3, 5) if quick else (50_000, 20, 50)
    with Server.running() as server:
        installation = server.installation
        runs_fill.fill(installation.database_url("mlflow"), PROJECTS, runs)
        store = Store(installation.database_url("mlops"))
        runs_fill.register(store, PROJECTS)
        index = RunIndex(store, installation.database_url("mlflow"))
        data = f"index of {runs:,} runs in {PROJECTS} projects"
        yield Measure(f"{data}: filled", "s", [_seconds(index.update)], None)
        yield Measure(f"{data}: a round that finds nothing", "ms", _times(index.update, rounds), None)
        yield from _questions(data, store, rounds)
        yield from _against_mlflow(data, store, installation, rounds)
        yield from _seen(data, store, installation, index, logged)
        store.close()


def _questions(data: str, store: Store, rounds: int) -> Iterator[Result]:
    for query in QUESTIONS:
        store.runs.search(query)
    times = [_seconds(partial(store.runs.search, query)) * 1000 for _ in range(rounds) for query in QUESTIONS]
    name = f"{data}: {len(QUESTIONS)} questions for 100 runs"
    yield Measure(f"{name}, p50", "ms", [statistics.median(times)], ANSWER_MS)
    yield Measure(f"{name}, p95", "ms", [p95(times)], ANSWER_MS)
    names = _times(store.runs.names, rounds)
    yield Measure(f"{data}: names of metrics, params and tags", "ms", names, ANSWER_MS)


def _against_mlflow(data: str, store: Store, installation: Installation, rounds: int) -> Iterator[Result]:
    with httpx.Client(base_url=installation.mlflow_url, auth=installation.mlflow_admin(), timeout=60) as http:
        for same in SAME:
            _by_api(http, same)
            ours, theirs = [], []
            for _ in range(min(rounds, 5)):
                ours.append(_seconds(partial(store.runs.search, same.query)))
                begun = time.perf_counter()
                found = _by_api(http, same)
                theirs.append(time.perf_counter() - begun)
            if found != [each.id for each in store.runs.search(same.query)[0]]:
                raise RuntimeError(f"the two found different runs for {same.name}")
            yield Comparison(f"{data}: {same.name}", "s", ours, "MLflow's API", theirs, same.bar)


def _by_api(http: httpx.Client, same: Same) -> list[str]:
    """Asks each workspace for as many as are wanted of all, which the caller puts in order."""
    found: list[tuple[float, str]] = []
    for number in range(1, PROJECTS + 1):
        body = {"experiment_ids": [str(1000 + number)], "max_results": LATEST} | same.asked
        answer = http.post(
            "/api/2.0/mlflow/runs/search", json=body, headers={"X-MLFLOW-WORKSPACE": f"p{number}"}
        )
        runs = answer.raise_for_status().json().get("runs", ())  # an empty list is left out
        found += [(same.key(run), run["info"]["run_id"]) for run in runs]
    return [id for _, id in sorted(found)[:LATEST]]


def _newest_first(run: dict[str, Any]) -> float:
    return -float(run["info"]["start_time"])


def _least_loss(run: dict[str, Any]) -> float:
    return next(float(each["value"]) for each in run["data"]["metrics"] if each["key"] == _METRIC)


SAME = (
    Same(
        f"the latest {LATEST} of all",
        RunQuery(limit=LATEST),
        {"order_by": ["attributes.start_time DESC"]},
        _newest_first,
        RATIO,
    ),
    Same(
        f"the {LATEST} of least loss",
        RunQuery.of(sort=["metric:loss"], limit=LATEST),
        {"order_by": ["metrics.loss ASC"]},
        _least_loss,
    ),
    Same(
        f"the latest {LATEST} that failed, of a tag",
        RunQuery.of(state=["FAILED"], tag=["stage=prod"], limit=LATEST),
        {
            "filter": "attributes.status = 'FAILED' AND tags.stage = 'prod'",
            "order_by": ["attributes.start_time DESC"],
        },
        _newest_first,
    ),
    Same(
        f"the latest {LATEST} of a loss below 0.01",
        RunQuery.of(metric=["loss<0.01"], limit=LATEST),
        {"filter": "metrics.loss < 0.01", "order_by": ["attributes.start_time DESC"]},
        _newest_first,
    ),
)


def _seen(
    data: str, store: Store, installation: Installation, index: RunIndex, logged: int
) -> Iterator[Result]:
    client = MLOpsClient.from_project(PROJECT, config=installation.config)
    indexer = Indexer(Presence(installation.database_url("mlops"), INDEX_LOCK), index)
    indexer.start()
    times = []
    with client.start_run():
        for value in range(logged):
            begun = time.perf_counter()
            client.log_metrics({_METRIC: float(value)}, step=value)
            while not _is_there(store, value):
                time.sleep(0.02)
            times.append(time.perf_counter() - begun)
            time.sleep(0.137 * (value % 7))  # not in step with the sender or the thread
    indexer.stop()
    yield Measure(f"{data}: a logged value is seen, p50", "s", [statistics.median(times)], SEEN_S)
    yield Measure(f"{data}: a logged value is seen, p95", "s", [p95(times)], SEEN_S)


def _is_there(store: Store, value: float) -> bool:
    return any(run.metrics.get(_METRIC) == value for run in store.runs.latest(PROJECT))


def _times(work: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each round."""
    return [_seconds(work) * 1000 for _ in range(rounds)]


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
