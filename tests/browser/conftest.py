"""A real browser on the gateway's real process, over a platform with something of everything."""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx
import psycopg
import pytest

from mlops.config import MLOpsConfig
from mlops.entities import (
    ColumnDrift,
    ColumnKind,
    DeploymentState,
    DriftCheck,
    DriftReport,
    PerformanceChange,
    ProjectWorkspace,
    RunStatus,
    Severity,
    Side,
    Verdict,
)
from mlops.hardware.ane.report import AneReport, TypeRow
from mlops.hardware.ane.sizes import Sizes
from mlops.installation import Installation
from mlops.services.status import lock_file, status_file
from mlops.store.alerts import Begun, Changes
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.model_versions import IndexedVersion
from mlops.store.sparks import Spark
from mlops.store.store import Store
from mlops.store.tokens import Role
from mlops.store.traffic import Traffic
from tests.chromium import chromium

from .platform_data import add_pipeline, add_runs, add_truths
from .runs import fill_runs

if TYPE_CHECKING:
    import mlflow

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def store(
    database_url: str,
    mlflow_database: mlflow.MlflowClient,
    mlflow_database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Store]:
    made = Store(database_url)
    made.upgrade()
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "TRUNCATE projects, tokens, deployments, replicas, runs, audit, alerts, silences CASCADE"
        )
    root = tmp_path_factory.mktemp("projects")
    _fill(made, root)
    _serve(made)
    _register(made)
    _watch(made)
    _report(made)
    add_runs(made)
    add_truths(made)
    add_pipeline(root / "drilling")
    fill_runs(made, mlflow_database, mlflow_database_url)
    yield made
    made.close()


def _fill(store: Store, root: Path) -> None:
    now = datetime.now(UTC)
    about = {
        "drilling": ("Key points of aerospace drilling from Setitec logs", "val_mae_mm"),
        "digits": ("Hand-written digits, the platform's second project", "accuracy"),
        "adapters": ("Small adapters for a language model, trained on a laptop", ""),
    }
    for name, (description, metric) in about.items():
        workspace = ProjectWorkspace(
            name, name, "1", f"/remotes/{name}", f"{name}__", f"/projects/{name}", root / name
        )
        store.projects.put(workspace, {"description": description, "primary_metric": metric})
    store.tokens.put("token-of-digits", Role.MEMBER, "digits")
    store.tokens.add("token-of-a-viewer", Role.VIEWER, "drilling", "grafana")
    last = {"val_mae_mm": 0.0731, "entry_mae_mm": 0.0512, "exit_mae_mm": 0.0984, "loss": 0.00213}
    drilled = {key: MetricSummary(value, value, value) for key, value in last.items()}
    store.run_index.put(
        [
            IndexedRun("4f2a9c", "drilling", "patchtsmixer-12", "drilling", RunStatus.FINISHED,
                       now - timedelta(hours=3), now - timedelta(hours=1, minutes=57), metrics=drilled),
            IndexedRun("91be04", "digits", "logistic-baseline", "digits", RunStatus.FAILED,
                       now - timedelta(minutes=12), now - timedelta(minutes=11),
                       metrics={"accuracy": MetricSummary(0.9412, 0.9, 0.95)}),
        ]
    )  # fmt: skip
    sweep = [_sweep(number, now) for number in range(36)]
    store.run_index.put([replace(run, spark=_spark(run)) for run in sweep])


def _spark(run: IndexedRun) -> Spark:
    """Of its primary metric: down, with some noise."""
    key = "val_mae_mm" if run.project == "drilling" else "accuracy"
    last, most = run.metrics[key].last, run.metrics[key].max
    noise = 0.3 * len(run.name) % 1
    values = [
        last + (most - last) * 0.7**place * (1 + 0.2 * math.sin(9 * place + noise)) for place in range(15)
    ]
    return Spark(key, 16).with_values(16, [(place, 0.8 * each, each) for place, each in enumerate(values)])


def _sweep(number: int, now: datetime) -> IndexedRun:
    """Runs of two weeks, older than those above."""
    project, name, metric = (
        ("drilling", "patchtsmixer", "val_mae_mm"), ("digits", "logistic", "accuracy"),
    )[number % 3 == 0]  # fmt: skip
    began = now - timedelta(hours=5 + 8 * number, minutes=17 * number % 60)
    state = {4: RunStatus.RUNNING, 9: RunStatus.FAILED, 17: RunStatus.KILLED}.get(number, RunStatus.FINISHED)
    ended = None if state is RunStatus.RUNNING else began + timedelta(minutes=7 + 13 * number % 90)
    best = 0.06 + 0.013 * (number * 7 % 11)
    metrics = {
        metric: MetricSummary(best * 1.1, best, best * 9, 240, 0, 240),
        "loss": MetricSummary(best / 30, best / 40, best, 240, 0, 240),
        "system/gpu_utilization_percent": MetricSummary(71.0, 2.0, 98.0, 240, 0, 240),
    }
    params = {"learning_rate": f"{10 ** -(2 + number % 3):g}", "layers": str(2 + number % 5)}
    data = {"data.path": "data/holes", "data.hash": "9f3c41d2" * 4 + ".dir"}
    return IndexedRun(
        f"{number:02x}" * 16, project, f"{name}-{40 - number}", project, state, began, ended,
        ("ada", "grace")[number % 2], params, {"stage": ("sweep", "final")[number % 4 == 0]} | data, metrics,
    )  # fmt: skip


def _serve(store: Store) -> None:
    running = store.deployments.want("drilling", "depth", 3, 2)
    store.deployments.advance(running.id, DeploymentState.RUNNING)
    store.deployments.want("digits", "classifier", 1, 1)
    failed = store.deployments.want("drilling", "wear", 1, 1)
    trace = (
        'Traceback (most recent call last):\n  File "model.py", line 8, in load\nValueError: no input "force"'
    )
    store.deployments.advance(failed.id, DeploymentState.FAILED, error=trace)
    now = datetime.now(UTC)
    for minutes in (*range(1, 20), *range(30, 60)):  # between them nobody asked: a gap
        traffic = Traffic()
        for number in range(120 - minutes):
            traffic.record(0.002 + 0.0004 * (number % 9), failed=minutes == 7 and number % 5 == 0)
        store.traffic.add({running.id: traffic}, now - timedelta(minutes=minutes))


def _register(store: Store) -> None:
    now = datetime.now(UTC)
    runs, versions = [], []
    for number in range(1, 13):
        at = now - timedelta(days=3 * (12 - number), hours=2)
        error = 0.141 / number**0.35
        metrics = {
            "val_mae_mm": error,
            "entry_mae_mm": 0.7 * error,
            "exit_mae_mm": 1.3 * error,
            "loss": error**2,
        }
        runs.append(IndexedRun(
            f"{number:02d}7be1d2c4", "drilling", f"patchtsmixer-{number}", "drilling", RunStatus.FINISHED, at,
            at + timedelta(hours=1),
            metrics={key: MetricSummary(value, value, value) for key, value in metrics.items()},
            tags={"mlflow.source.git.commit": "6f1d2c4b9a7e3f5d8c0b1a2e4f6d8c0b1a2e4f6d"},
        ))  # fmt: skip
        aliases = {3: ("champion",), 5: ("candidate",)}.get(number, ())
        versions.append(IndexedVersion(
            "drilling", "depth", number, at + timedelta(hours=1), runs[-1].id, "ada", aliases=aliases,
            tags={"flavor": "onnx", "window": "512"},
            location=f"mlflow-artifacts:/workspaces/drilling/m-{number}",
            run_location=f"mlflow-artifacts:/workspaces/drilling/r-{number}",
        ))  # fmt: skip
    versions.append(
        IndexedVersion("digits", "classifier", 1, now - timedelta(days=9), tags={"flavor": "sklearn"})
    )
    versions.append(IndexedVersion("drilling", "wear", 1, now - timedelta(hours=5), tags={"flavor": "torch"}))
    store.run_index.put(runs)
    store.model_versions.put(versions)
    for version, side, weight, rate in ((5, Side.CANARY, 20, 14), (6, Side.SHADOW, 0, 70)):
        made = store.deployments.want("drilling", "depth", version, 1, side=side, weight=weight)
        store.deployments.advance(made.id, DeploymentState.RUNNING)
        _answer(store, made.id, rate)
    store.audit.record("ada", "deploy", "drilling", model="depth", version=5, side="canary", weight=20,
                       why="less wrong at the exit")  # fmt: skip


def _answer(store: Store, deployment: int, rate: int) -> None:
    now = datetime.now(UTC)
    for minutes in range(1, 25):
        traffic = Traffic()
        for number in range(rate + (7 * minutes) % 11):
            traffic.record(
                0.003 + 0.0005 * ((number + minutes) % 7), failed=minutes in (4, 5) and number % 9 == 0
            )
        store.traffic.add({deployment: traffic}, now - timedelta(minutes=minutes))


def _watch(store: Store) -> None:
    now = datetime.now(UTC)
    begun = [
        Begun(("drilling", "column-drift", "depth"), "column_drift", Severity.WARNING,
              "3 of 9 columns of depth have drifted: stack, entry, torque_std", 3.0, 1.0, (), True, True),
        Begun(("digits", "run-failed", "logistic-baseline"), "run_failed", Severity.WARNING,
              "logistic-baseline has failed", None, None, (), True, True),
        Begun(("", "service-down", "mlflow"), "service_down", Severity.CRITICAL,
              "mlflow has not answered for 42 min", 2520.0, 60.0, (), True, True),
        Begun(("drilling", "latency", "depth"), "latency_p95", Severity.WARNING,
              "95 % of the answers of depth took up to 80 ms", 0.08, 0.05, (), True, True),
    ]  # fmt: skip
    store.alerts.apply(Changes(begun=begun), now - timedelta(minutes=42))
    over = next(alert.id for alert in store.alerts.latest() if alert.rule == "latency")
    store.alerts.apply(Changes(ended=[over]), now - timedelta(minutes=12))


def _report(store: Store) -> None:
    names = ["thrust_mean", "thrust_std", "torque_mean", "torque_std", "wear", "feed", "stack", "entry"]
    now = datetime.now(UTC)
    for place in range(12):
        until = now - timedelta(minutes=30 * (12 - place))
        asked = store.drift.ask("drilling", "depth", 3, until - timedelta(hours=1), until)
        claimed = store.drift.claim()
        assert asked is not None
        assert claimed is not None
        assert asked.id == claimed.id
        columns = tuple(_row(name, "inputs", number, place) for number, name in enumerate(names))
        report = DriftReport(5000, 960, 1000, until, until, 3, (*columns, _row("depth", "outputs", 5, place)))
        store.drift.done(claimed.id, report, [_changed("mae", 0.07, 0.11), _changed("bias", -0.01, -0.012)])


def _changed(metric: str, before: float, now: float) -> PerformanceChange:
    apart = now - before
    verdict = Verdict.WORSE if abs(apart) > 0.01 else Verdict.UNCLEAR
    return PerformanceChange(
        "depth", metric, before, now, apart - 0.01, apart + 0.01, verdict, 5000, 960, 240
    )


def _row(name: str, side: str, number: int, place: int) -> ColumnDrift:
    threshold = 0.08
    score = round(threshold * (0.1 + 0.11 * number) * (1 + place / 6) * (0.5 if number % 3 else 1), 4)
    drifted = score >= threshold
    known = not (number == 6 and place < 3)
    return ColumnDrift(
        name, side, DriftCheck.DISTRIBUTION, ColumnKind.NUMERICAL, "Kolmogorov-Smirnov distance",
        score if known else None, threshold if known else None, drifted and known, 0.0, 0.01 * (number % 3),
        reason="" if known else "fewer than 30 values",
    )  # fmt: skip


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, store: Store, database_url: str
) -> Iterator[Installation]:
    installation = Installation(MLOpsConfig(home=tmp_path_factory.mktemp("browser") / "home"))
    installation.prepare()
    installation.choose_ports(["gateway", "mlflow", "postgres"])
    supervisor = _supervise(installation)
    _keep(installation)
    settings = {"MLOPS_HOME": str(installation.root), "MLOPS_DATABASE_URL": database_url}
    process = subprocess.Popen([sys.executable, "-m", "mlops.gateway"], env={**os.environ, **settings})
    try:
        deadline = time.monotonic() + 30
        while not _admits(installation):
            assert time.monotonic() < deadline, "the gateway did not start"
            time.sleep(0.1)
        yield installation
    finally:
        process.terminate()
        process.wait(15)
        supervisor.close()


def _keep(installation: Installation) -> None:
    """The files of drilling's depth v5: what it takes and gives, its reference, and a report."""
    inputs = [{"name": name, "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": shape}}
              for name, shape in (("signals", [-1, 512, 6]), ("stack", [-1, 3]))]  # fmt: skip
    outputs = [{"name": "depth", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]
    files = installation.artifacts_dir / "workspaces" / "drilling"
    model, report = files / "m-5", files / "r-5" / "ane-report" / "depth-v5"
    (model / "monitoring").mkdir(parents=True)
    report.mkdir(parents=True)
    (model / "monitoring" / "reference.parquet").write_bytes(bytes(184_000))
    stated = {"flavors": {"onnx": {}, "python_function": {}},
              "signature": {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)}}  # fmt: skip
    (model / "MLmodel").write_text(json.dumps(stated))
    rows = [TypeRow(kind, count, work, 0, work / 5e6, placed, work, None, None, reasons, "heuristic")
            for kind, count, work, placed, reasons in (
                ("Conv", 12, 4_100_000, 12, ()), ("MatMul", 8, 890_000, 6, ("more than 16,384 columns",)),
                ("GatherND", 2, 0, 0, ("no rule for it", "its indices are not constant")))]  # fmt: skip
    told = AneReport("depth:5", "onnx", "heuristic", 4_990_000, 0, 0.93, tuple(rows), (), 212_000,
                     Sizes(424_000, 214_000, 108_000), ())  # fmt: skip
    (report / "report.json").write_text(json.dumps(asdict(told)))


def _supervise(installation: Installation) -> IO[str]:
    """Stands in for the supervisor: holds its lock and reports services in several states."""
    since = (datetime.now(UTC) - timedelta(minutes=42)).isoformat()
    rows = [
        {"name": "postgres", "state": "healthy", "address": "127.0.0.1:24101", "since": since},
        {"name": "mlflow", "state": "unhealthy", "address": "http://127.0.0.1:24102", "since": since,
         "restarts": 3, "detail": "http://127.0.0.1:24102/health answers 500"},
        {"name": "ray", "state": "starting", "address": "127.0.0.1:24103", "since": since},
        {"name": "worker", "state": "healthy", "since": since, "pid": 999_999},
        {"name": "gateway", "state": "healthy", "address": installation.gateway_url, "since": since},
    ]  # fmt: skip
    lock = lock_file(installation).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(str(os.getpid()))
    lock.flush()
    _log(installation)
    status_file(installation).write_text(json.dumps({"pid": os.getpid(), "services": rows}))
    return lock


def _log(installation: Installation) -> None:
    installation.logs_dir.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    lines = [
        {"time": (now - timedelta(minutes=place)).isoformat(), "level": level, "message": message,
         "project": project, "event": "x"}
        for place, (level, message, project) in enumerate(
            [("info", "the worker runs", ""), ("warning", "depth answers slowly", "drilling"),
             ("error", "wear did not come up: ValueError: no input \"force\"", "drilling")] * 4
        )
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in reversed(lines))
    (installation.logs_dir / "worker.log").write_text(text)


def _admits(installation: Installation) -> bool:
    try:
        return ask(installation, "GET", "/api/me").is_success
    except httpx.TransportError:
        return False


def ask(installation: Installation, method: str, path: str, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or installation.secret('admin_token')}"}
    return httpx.request(method, installation.gateway_url + path, headers=headers, trust_env=False)


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser, gateway: Installation):
    """Opens a page logged in by a ticket; fails the test on any console error or page error."""
    contexts, problems = [], []

    def open_(
        token: str = "", size: str = "desktop", scheme: str = "light", path: str = "/", errors: bool = True
    ):
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        if errors:
            page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(ask(gateway, "POST", "/api/tickets", token).json()["url"])
        page.wait_for_url(gateway.gateway_url + "/")
        if path != "/":
            page.goto(gateway.gateway_url + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []
