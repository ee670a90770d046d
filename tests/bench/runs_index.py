"""The index of runs: how long it takes to fill, to answer, and to follow MLflow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

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

QUESTIONS: tuple[dict[str, object], ...] = (
    {},
    {"project": ["p7"]},
    {"project": ["p7", "p8", "p9"]},
    {"state": ["RUNNING"]},
    {"state": ["FAILED"], "project": ["p7"]},
    {"sort": "metric:loss"},
    {"sort": "-metric:loss.max", "project": ["p7"]},
    {"tag": ["stage=prod"], "sort": "metric:loss", "state": ["FAILED"]},
    {"tag": ["sweep=7"], "sort": "metric:loss"},
    {"param": ["param1=3"], "sort": "metric:loss.min"},
    {"metric": ["loss<0.001"]},
    {"metric": ["loss<0.5", "metric3.max>0.9"]},
    {"metric": ["loss<0.01"], "sort": "-metric:metric2"},
    {"text": "lora"},
    {"text": "mixer 4711"},
    {"text": "nothing"},
    {"since": "2023-12-01T00:00+00:00", "until": "2023-12-02T00:00+00:00", "sort": "metric:loss"},
    {"project": ["p7"], "metric": ["loss<0.5"], "tag": ["stage=prod"], "sort": "-metric:metric4"},
)


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
        yield from _latest(data, store, installation, rounds)
        yield from _seen(data, store, installation, index, logged)
        store.close()


def _questions(data: str, store: Store, rounds: int) -> Iterator[Result]:
    for given in QUESTIONS:
        store.runs.search(RunQuery.of(**given))  # type: ignore[arg-type]
    times = [
        _seconds(lambda given=given: store.runs.search(RunQuery.of(**given))) * 1000  # type: ignore[misc]
        for _ in range(rounds)
        for given in QUESTIONS
    ]
    name = f"{data}: {len(QUESTIONS)} questions for 100 runs"
    yield Measure(f"{name}, p50", "ms", [statistics.median(times)], ANSWER_MS)
    yield Measure(f"{name}, p95", "ms", [p95(times)], ANSWER_MS)
    names = _times(store.runs.names, rounds)
    yield Measure(f"{data}: names of metrics, params and tags", "ms", names, ANSWER_MS)


def _latest(data: str, store: Store, installation: Installation, rounds: int) -> Iterator[Result]:
    ours, theirs = [], []
    with httpx.Client(base_url=installation.mlflow_url, auth=installation.mlflow_admin(), timeout=60) as http:
        _latest_by_api(http)
        for _ in range(min(rounds, 5)):
            ours.append(_seconds(lambda: store.runs.search(RunQuery(limit=LATEST))))
            begun = time.perf_counter()
            found = _latest_by_api(http)
            theirs.append(time.perf_counter() - begun)
    wanted = [each.id for each in store.runs.search(RunQuery(limit=LATEST))[0]]
    if found != wanted:
        raise RuntimeError("the two found different runs")
    yield Comparison(f"{data}: the latest {LATEST} of all", "s", ours, "MLflow's API", theirs, RATIO)


def _latest_by_api(http: httpx.Client) -> list[str]:
    found: list[tuple[int, str]] = []
    for number in range(1, PROJECTS + 1):
        body = {
            "experiment_ids": [str(1000 + number)],
            "max_results": LATEST,
            "order_by": ["attributes.start_time DESC"],
        }
        answer = http.post(
            "/api/2.0/mlflow/runs/search", json=body, headers={"X-MLFLOW-WORKSPACE": f"p{number}"}
        )
        runs = answer.raise_for_status().json()["runs"]
        found += [(run["info"]["start_time"], run["info"]["run_id"]) for run in runs]
    return [id for _, id in sorted(found, reverse=True)[:LATEST]]


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
