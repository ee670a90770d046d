"""From a fault to the webhook, many rules at once, and a restart in a storm."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from mlops.entities import DeploymentState, ProjectWorkspace, ServiceState, ServiceStatus
from mlops.installation import Installation
from mlops.monitoring.alerts import evaluate
from mlops.monitoring.channels.reach import Reach
from mlops.monitoring.channels.webhook import WebhookChannel
from mlops.monitoring.readings import Facts
from mlops.monitoring.rules import PLATFORM_RULES, Kind, Rule, all_rules
from mlops.monitoring.sample import Sample
from mlops.services.status import status_file
from mlops.store.store import Store
from mlops.store.traffic import Traffic
from mlops.worker.deliveries import Deliveries
from mlops.worker.drift import DriftReports
from mlops.worker.facts import FactFinder
from mlops.worker.presence import DRIFT_LOCK, WATCH_LOCK, Presence
from mlops.worker.watch import Watch
from tests.bench.database import running
from tests.bench.result import Measure, Result

PROJECTS, RULES = 50, 1000
FAULTS, DRIFTS, STORM = 20, 10, 500
_DOWN = next(rule for rule in PLATFORM_RULES if rule.kind is Kind.SERVICE_DOWN)
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def run(quick: bool) -> Iterator[Result]:
    """Each on the real database, with the watch's own thread and a real receiver on this machine."""
    with running() as installation:
        store = Store(installation.database_url())
        store.upgrade()
        yield from _many_rules(installation, store)
        yield from _fault_to_webhook(installation, store, 3 if quick else FAULTS)
        yield from _service_to_webhook(installation, store, 3 if quick else FAULTS)
        yield from _drift_to_webhook(installation, store, 2 if quick else DRIFTS)
        yield from _storm(installation, store)
        store.close()


def _many_rules(installation: Installation, store: Store) -> Iterator[Result]:
    """1,000 rules of 50 projects with 2 deployments each and their traffic of the last 5 minutes."""
    for number in range(PROJECTS):
        name = f"p{number}"
        store.projects.put(
            ProjectWorkspace.of(name, name, "0", "", Path("/nowhere") / name), {"alerts": _rules_of(number)}
        )
        ids = [_served(store, name, model) for model in ("a", "b")]
        for window in range(30):
            at = datetime.now(UTC) - timedelta(seconds=10 * window)
            store.traffic.add({each: _answered(100, 1) for each in ids}, at)
    facts = FactFinder(installation, store, lambda: None)
    taken, count = [], 0
    for _ in range(10):
        began = time.perf_counter()
        rules = all_rules(
            {name: each.rules for name, each in store.projects.alerting().items()}, store.alert_rules.all()
        )
        evaluate(rules, facts.find(), store.alerts)
        taken.append(time.perf_counter() - began)
        count = len(rules)
    yield Measure(f"{count:,} rules of {PROJECTS} projects, judged once, with all they read", "s", taken, 1.0)


def _rules_of(project: int) -> dict[str, Any]:
    kinds = [
        {"kind": "error_rate", "threshold": 0.9},
        {"kind": "latency_p95", "threshold": 50},
        {"kind": "no_traffic"},
        {"kind": "run_stuck"},
    ]
    rules = {
        f"r{number}": kinds[number % len(kinds)] | {"window_s": 60.0 * (1 + number % 5)}
        for number in range(RULES // PROJECTS)
    }
    return {"rules": rules, "channels": {}}


def _fault_to_webhook(installation: Installation, store: Store, faults: int) -> Iterator[Result]:
    """From the moment that failures are in the database, as gateways put them there each second, to the
    receipt: the rule's window is what judging looks back over, and none of it is waited for."""
    store.projects.put(ProjectWorkspace.of("faulty", "faulty", "0", "", Path("/nowhere")), {})
    rule = {"kind": "error_rate", "window_s": 10.0, "cooldown_s": 0.0, "channels": ["hook"]}
    store.alert_rules.add("faulty", "errors", rule)
    taken = []
    with _receiver() as receiver, _watching(installation, store, receiver):
        for number in range(faults):
            model = _served(store, "faulty", f"m{number}")
            time.sleep(0.37)  # at any moment of the watch's round
            began = time.monotonic()
            store.traffic.add({model: _answered(100, 50)})
            taken.append(receiver.wait_for(f"m{number}") - began)
    p95 = sorted(taken)[int(0.95 * (len(taken) - 1))]
    yield Measure("failed inferences in the database to the webhook's receipt", "s", taken, None)
    yield Measure("the same, 95th percentile", "s", [p95], 5.0)


def _service_to_webhook(installation: Installation, store: Store, faults: int) -> Iterator[Result]:
    """From the moment that the supervisor tells a service as unhealthy, by the rule that every installation
    has: it waits whether that lasts."""
    states = {f"service{number}": ServiceState.HEALTHY for number in range(faults)}
    began = {}
    _tell(installation, states)
    with _receiver() as receiver, _watching(installation, store, receiver):
        for name in states:
            time.sleep(1.37)  # at any moment of the watch's round
            states[name] = ServiceState.UNHEALTHY
            _tell(installation, states)
            began[name] = time.monotonic()
        taken = [receiver.wait_for(name) - began[name] for name in states]
    status_file(installation).unlink()
    p95 = sorted(taken)[int(0.95 * (len(taken) - 1))]
    yield Measure("a service that is told as down to the webhook's receipt", "s", taken, None)
    bar = _DOWN.for_s + 5
    yield Measure(f"the same, 95th percentile; the rule waits {_DOWN.for_s:g} s", "s", [p95], bar)


def _tell(installation: Installation, states: dict[str, ServiceState]) -> None:
    """As the supervisor does."""
    rows = [asdict(ServiceStatus(name, state)) | {"state": state.value} for name, state in states.items()]
    written = status_file(installation).with_suffix(".new")
    written.write_text(json.dumps({"pid": os.getpid(), "services": rows}, default=str))
    written.replace(status_file(installation))


def _drift_to_webhook(installation: Installation, store: Store, faults: int) -> Iterator[Result]:
    """From the last of 200 inferences whose input has moved by two deviations, in the log, to the receipt: a
    report of each 200 is made in between, and none of the rule's window is waited for."""
    store.projects.put(
        ProjectWorkspace.of("moved", "moved", "0", "", Path("/nowhere")), {"monitoring": {"after": 200}}
    )
    store.alert_rules.add("moved", "drift", {"kind": "drift_share", "channels": ["hook"]})
    reports = DriftReports(
        store,
        Presence(installation.database_url(), DRIFT_LOCK),
        installation.root,
        download=f"{__name__}:reference",
    )
    taken = []
    with _receiver() as receiver, _watching(installation, store, receiver):
        reports.start()
        for number in range(faults):
            _served(store, "moved", f"d{number}")
            time.sleep(5.3)  # at any moment of the rounds; and the page of the one before is drawn
            began = time.monotonic()
            store.inferences.add(_moved(f"d{number}"))
            taken.append(receiver.wait_for(f"d{number}") - began)
        reports.stop()
    p95 = sorted(taken)[int(0.95 * (len(taken) - 1))]
    yield Measure("drifted inferences in the log to the webhook's receipt", "s", taken, None)
    yield Measure("the same, 95th percentile, above the rule's window of 300 s", "s", [p95], 305.0)


def reference(_: object, __: str, ___: str, ____: int, folder: Path) -> Path:
    """What the report's process brings as the version's reference."""
    values = np.random.default_rng(0).normal(size=1000)
    Sample.of({"x": values}, {"y": values}).write(folder / "reference.parquet")
    return folder / "reference.parquet"


def _moved(model: str) -> list[dict[str, Any]]:
    about = {"project": "moved", "model": model, "version": 1, "side": "champion", "status": 200}
    rows = []
    for place, value in enumerate(np.random.default_rng(1).normal(2.0, 1.0, 200)):
        told = {"rows": 1, "inputs": {"x": [value]}, "outputs": {"y": [value]}}
        own = {"at": datetime.now(UTC), "latency_s": 0.01, "request_id": str(place)}
        rows.append(about | own | {"features": json.dumps(told)})
    return rows


def _storm(installation: Installation, store: Store) -> Iterator[Result]:
    """500 alerts fire at once; the watch is ended amid their delivery, and another goes on."""
    down = [ServiceStatus(f"s{number}", ServiceState.UNHEALTHY) for number in range(STORM)]
    rule = Rule("storm", Kind.SERVICE_DOWN, channels=("hook",))
    with _receiver() as receiver:
        receiver.pause_s = 0.005
        evaluate([rule], Facts(datetime.now(UTC), services=down), store.alerts)
        deliveries = _deliveries(store, receiver)
        deliveries.look()
        while len(receiver.received) < STORM // 3:
            time.sleep(0.01)
        deliveries.close()
        before = len(receiver.received)
        after = _deliveries(store, receiver)
        deadline = time.monotonic() + 120
        while store.alerts.due(datetime.now(UTC), most=1) and time.monotonic() < deadline:
            after.look()
            time.sleep(0.05)
        after.close()
        ids = [each["id"] for each in receiver.received if each["alert"]["rule"] == "storm"]
    lost = STORM - len(set(ids))
    twice = len(ids) - len(set(ids))
    yield Measure(f"storm of {STORM} alerts: told before the restart amid it", "", [float(before)], None)
    yield Measure(f"storm of {STORM} alerts: lost", "", [float(lost)], 0.0)
    yield Measure(f"storm of {STORM} alerts: told twice", "", [float(twice)], 0.0)


def _served(store: Store, project: str, model: str) -> int:
    deployment = store.deployments.want(project, model, 1, 1).id
    store.deployments.advance(deployment, DeploymentState.RUNNING)
    store.deployments.succeed(deployment)
    return deployment


def _answered(requests: int, errors: int) -> Traffic:
    traffic = Traffic()
    for number in range(requests):
        traffic.record(0.01, failed=number < errors)
    return traffic


# -- what is around ------------------------------------------------------------------------------------


class _Receiver:
    """Takes webhooks and notes when."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.times: dict[str, float] = {}
        self.pause_s = 0.0
        self.came = threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.take(body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def take(self, body: dict[str, Any]) -> None:
        time.sleep(self.pause_s)
        with self.came:
            self.received.append(body)
            self.times.setdefault(str(body["alert"]["subject"]), time.monotonic())
            self.came.notify_all()

    def wait_for(self, subject: str) -> float:
        with self.came:
            assert self.came.wait_for(lambda: subject in self.times, 60), f"{subject} was not told"
            return self.times[subject]


@contextlib.contextmanager
def _receiver() -> Iterator[_Receiver]:
    made = _Receiver()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def _deliveries(store: Store, receiver: _Receiver) -> Deliveries:
    channel = WebhookChannel("hook", receiver.url, secret="of the bench", reach=Reach(_LOOPBACK))
    return Deliveries(store, lambda _, __: channel)


@contextlib.contextmanager
def _watching(installation: Installation, store: Store, receiver: _Receiver) -> Iterator[None]:
    facts = FactFinder(installation, store, lambda: None)
    presence = Presence(installation.database_url(), WATCH_LOCK)
    watch = Watch(store, presence, facts.find, _deliveries(store, receiver))
    watch.start()
    yield
    watch.stop()
