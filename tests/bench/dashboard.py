"""What the dashboard takes: its pages over a large, synthetic platform, by themselves and in Chromium, and
twenty that are open."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil

from mlops.entities import DataVersion, DeploymentState, ProjectWorkspace, RunStatus, Severity
from mlops.installation import Installation
from mlops.store.alerts import Begun, Changes
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.model_versions import IndexedVersion
from mlops.store.store import Store
from mlops.store.traffic import Traffic
from tests.bench.dashboard_painting import painted
from tests.bench.database import running
from tests.bench.result import Measure, Result, p95
from tests.bench.tracking_child import until

PROJECTS, DEPLOYMENTS, ALERTS, VERSIONS = 50, 100, 5000, 1000
PAGES = (
    *("/", "/?project=p7", "/monitoring", "/data", "/pipelines", "/services", "/hardware"),
    *("/runs", "/runs?project=p7&sort=-metric:metric3.max", "/runs?text=run", "/search?q=run"),
    *("/api/search?q=run", "/api/search?q=nothing"),
    *("/models", "/models/p7/model1", "/models/p7/model1/10", "/deployments", "/deployments/p7/model1"),
    *(f"/runs/p7/{7:032x}", "/compare?" + "&".join(f"run=p{place}/{place:032x}" for place in range(20))),
    *("/data?project=p7", f"/data/version?project=p7&path=data/raw&hash={7:032x}.dir"),
    "/monitoring/performance?project=p7&model=model1",
)
STREAMS, WATCHED_S = 20, 20.0
PAGE_MS, SHARE, MORE_MB = 150.0, 0.1, 100.0


def run(quick: bool) -> Iterator[Result]:
    """The gateway as a process of its own, asked over loopback with the admin's token."""
    runs, rounds = (2_000, 8) if quick else (50_000, 40)
    with running() as installation:
        store = Store(installation.database_url())
        store.upgrade()
        _fill(store, runs)
        with _gateway(installation) as process, _client(installation) as client:
            what = (
                f"{PROJECTS} projects, {runs:,} runs, {VERSIONS:,} versions, {DEPLOYMENTS} deployments,"
                f" {ALERTS:,} alerts"
            )
            for page in PAGES:
                taken = [_milliseconds(client, page) for _ in range(rounds)]
                yield Measure(f"page {page}, server's p95: {what}", "ms", [p95(taken)], PAGE_MS)
            seen = [page for page in PAGES if not page.startswith("/api/")]
            yield from painted(client, seen, rounds // 4, what)
            yield from _streams(client, process)
            yield from _watchers(installation, store, process)
        store.close()


def _streams(client: httpx.Client, process: psutil.Process) -> Iterator[Result]:
    before = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        for _ in range(STREAMS):
            stack.enter_context(client.stream("GET", "/events")).raise_for_status()
        time.sleep(2)
        began = process.cpu_times()
        time.sleep(WATCHED_S)
        spent = process.cpu_times()
        share = (spent.user + spent.system - began.user - began.system) / WATCHED_S
        more = (process.memory_info().rss - before) / 1e6
    yield Measure(f"{STREAMS} open streams, the gateway's share of a core", "", [share], SHARE)
    yield Measure(f"{STREAMS} open streams, memory besides", "MB", [max(more, 0.0)], MORE_MB)


def _watchers(installation: Installation, store: Store, process: psutil.Process) -> Iterator[Result]:
    """Pages of Runs that are looked at while a run logs once a second: each reads its table again."""
    ended, read = threading.Event(), [0] * STREAMS
    watching = [
        threading.Thread(target=_watch, args=(installation, ended, read, place)) for place in range(STREAMS)
    ]
    for each in watching:
        each.start()
    time.sleep(2)
    read[:], began = [0] * STREAMS, process.cpu_times()
    for number in range(int(WATCHED_S)):
        store.run_index.put([replace(_run(0, datetime.now(UTC)), name=f"logs {number}")])
        time.sleep(1)
    spent = process.cpu_times()
    ended.set()
    store.run_index.put([_run(0, datetime.now(UTC))])  # an event more, that each sees the end
    for each in watching:
        each.join(30)
    share = (spent.user + spent.system - began.user - began.system) / WATCHED_S
    what = f"{STREAMS} open pages of Runs while a run logs each second"
    yield Measure(f"{what}, the gateway's share of a core", "", [share], SHARE)
    yield Measure(f"{what}, readings of the table by each", "", [float(count) for count in read], None)


def _watch(installation: Installation, ended: threading.Event, read: list[int], place: int) -> None:
    """What a browser does that shows Runs."""
    with _client(installation) as client, client.stream("GET", "/events") as events:
        version = ""
        for line in events.iter_lines():
            if ended.is_set():
                return
            if line.startswith("data:") and "runs" in json.loads(line[5:]):
                headers = {"HX-Target": "runs", "X-Region-Version": version}
                answer = client.get("/runs", headers=headers).raise_for_status()
                if found := re.search(r'data-version="(\w+)"', answer.text):
                    version = found[1]
                read[place] += 1


def _milliseconds(client: httpx.Client, page: str) -> float:
    began = time.perf_counter()
    client.get(page).raise_for_status()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _client(installation: Installation) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {installation.secret('admin_token')}"}
    with httpx.Client(
        base_url=installation.gateway_url, headers=headers, trust_env=False, timeout=30
    ) as client:
        until(lambda: _answers(client), 60.0)
        yield client


def _answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.get("/api/projects").is_success
    return False


@contextmanager
def _gateway(installation: Installation) -> Iterator[psutil.Process]:
    installation.choose_ports(["gateway", "mlflow"])
    settings = {"MLOPS_HOME": str(installation.root)}
    with (installation.logs_dir / "gateway.out").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops.gateway"], env={**os.environ, **settings}, stdout=log, stderr=log
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


# -- filling ------------------------------------------------------------------------------------


def _fill(store: Store, runs: int) -> None:
    now = datetime.now(UTC)
    for number in range(PROJECTS):
        name = f"p{number}"
        store.projects.put(ProjectWorkspace.of(name, name, "0", "", Path("/nowhere") / name), {})
        for model in range(DEPLOYMENTS // PROJECTS):
            wanted = store.deployments.want(name, f"model{model}", 1, 1).id
            store.deployments.advance(wanted, DeploymentState.RUNNING)
            store.deployments.succeed(wanted)
    made = [_run(number, now) for number in range(runs)]
    for begin in range(0, runs, 250):
        store.run_index.put(made[begin : begin + 250])
    store.model_versions.put([_version(number, now) for number in range(VERSIONS)])
    served = [each.id for each in store.deployments.all()]
    for minutes in range(60):
        store.traffic.add(dict.fromkeys(served, _traffic()), now - timedelta(minutes=minutes))
    store.alerts.apply(Changes(begun=[_alert(number) for number in range(ALERTS)]), now)


def _version(number: int, now: datetime) -> IndexedVersion:
    """Of each project as many, half of either model; from a run that read data."""
    project, place = number % PROJECTS, number // PROJECTS
    return IndexedVersion(
        f"p{project}", f"model{place % 2}", 1 + place // 2, now - timedelta(hours=VERSIONS - number),
        run_id=f"{project + PROJECTS * place:032x}", aliases=("champion",) if place < 2 else (),
    )  # fmt: skip


def _traffic() -> Traffic:
    made = Traffic()
    for place in range(50):
        made.record(0.001 * (1 + place), failed=place == 7)
    return made


def _run(number: int, now: datetime) -> IndexedRun:
    began = now - timedelta(minutes=number)
    status = (RunStatus.FINISHED, RunStatus.FAILED)[number % 20 == 0]
    metrics = {f"metric{place}": MetricSummary(0.5, 0.1, 0.9, points=100) for place in range(10)}
    return IndexedRun(
        id=f"{number:032x}", project=f"p{number % PROJECTS}", name=f"run-{number}", experiment="experiment",
        status=status, started_at=began, ended_at=began + timedelta(seconds=30), metrics=metrics,
        data=(_data(number),),
    )  # fmt: skip


def _data(number: int) -> DataVersion:
    """Ten of each project, which its runs read in turns."""
    kept = number % (10 * PROJECTS)
    return DataVersion(
        f"p{number % PROJECTS}", "data/raw", f"{kept:032x}.dir", 10**9, 100, None, False, "/nowhere"
    )


def _alert(number: int) -> Begun:
    key = (f"p{number % PROJECTS}", f"rule{number}", f"model{number % 2}")
    return Begun(key, "error_rate", Severity.WARNING, "it fails", 0.5, 0.1, (), True, True)
