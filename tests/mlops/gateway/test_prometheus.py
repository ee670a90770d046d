"""A real Prometheus over a real gateway, with the files of docker/: what they ask for is there."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
import uvicorn
import yaml

from mlops.entities import (
    Availability,
    ColumnDrift,
    ColumnKind,
    DriftCheck,
    DriftReport,
    DriftTrigger,
    ServiceRecord,
    ServiceState,
    ServiceStatus,
    Severity,
    Side,
)
from mlops.gateway.app import create_app
from mlops.hardware import CpuLevel, Gpu, HardwareSample, MemoryPressure, ThermalState
from mlops.hardware.meter import Meter
from mlops.hardware.reader import Readers
from mlops.platform import Addresses, Platform
from mlops.serving.routing import Router
from mlops.store.alerts import Begun, Changes
from mlops.store.store import Store
from tests.prometheus import SHIPPED, Prometheus, metrics_of, program, prometheus

ROOT = Path(__file__).parents[3]
ADMIN, SECRET = "token-of-the-admin", "secret-of-the-replicas"
DASHBOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))


class EveryReading:
    """A machine that tells everything; its energy grows."""

    name = "everything"
    tells = ()

    def __init__(self) -> None:
        self._began = time.monotonic()

    def read(self) -> HardwareSample:
        return HardwareSample(
            chip_type="Apple M4 Max", cpu_utilization_percent=12.5, cpu_levels=(CpuLevel("P", 4, 0.5),),
            gpu_utilization_percent=50.0, gpu_memory_bytes=2**30, gpu_memory_total_bytes=2**32,
            other_gpus=(Gpu(power_w=7.0),), cpu_power_w=3.0, gpu_power_w=4.0, ane_power_w=0.5,
            dram_power_w=1.0,
            package_power_w=7.5, energy_j=7.5 * (time.monotonic() - self._began),
            elapsed_s=time.monotonic() - self._began, memory_used_bytes=2**33, memory_available_bytes=2**33,
            swap_used_bytes=0, memory_pressure_level=MemoryPressure.WARN, thermal_state=ThermalState.FAIR,
        )  # fmt: skip


@pytest.fixture
def eventful(store: Store, database_url: str, tmp_path: Path, add_project, add_run, serve, replica_server):
    """A platform on which everything has happened that a metric tells of."""
    add_project("alpha")
    add_run("alpha")
    url = replica_server().url
    serve("alpha", "depth", url, version=3)
    serve("alpha", "depth", url, version=4, side=Side.CANARY, weight=50)
    now = datetime.now(UTC)
    begun = Begun(
        ("alpha", "errors", "depth"),
        "error_rate",
        Severity.CRITICAL,
        "it fails",
        0.5,
        0.1,
        ("ops",),
        True,
        True,
    )
    store.alerts.apply(Changes(begun=[begun]), now)
    job = store.drift.ask("alpha", "depth", 3, now - timedelta(days=1), now, DriftTrigger.SCHEDULE)
    assert job is not None
    assert store.drift.claim() is not None
    row = ColumnDrift(
        "x", "inputs", DriftCheck.DISTRIBUTION, ColumnKind.NUMERICAL, "KS", 0.5, 0.1, True, 0.0, 0.0
    )
    store.drift.done(job.id, DriftReport(100, 50, 50, now - timedelta(days=1), now, 3, (row,)))
    return Platform(
        store,
        Router(store, database_url=database_url, replica_secret=SECRET, deadline_s=2.0),
        lambda: [ServiceStatus("postgres", ServiceState.HEALTHY, restarts=1, record=_record(now))],
        Addresses("http://127.0.0.1:1"),
        session_key="key-of-the-sessions",
        admin_token=ADMIN,
        meter=Meter(tmp_path, lambda: Readers([EveryReading()])),
    )


def _record(now: datetime) -> ServiceRecord:
    window = Availability.of(86_000.0, 400.0, 86_400.0)
    return ServiceRecord(now, 1, (), window, window, window)


@pytest.fixture
def gateway(eventful: Platform) -> Iterator[str]:
    """host:port of a gateway that is asked all the time."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(eventful), log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    over = threading.Event()
    callers = threading.Thread(target=_ask_until, args=(address, over))
    callers.start()
    yield address
    over.set()
    callers.join()
    server.should_exit = True
    thread.join()


def _ask_until(address: str, over: threading.Event) -> None:
    while not over.wait(0.2):
        request = urllib.request.Request(
            f"http://{address}/projects/alpha/models/depth/predict",
            json.dumps({"inputs": {"x": [1]}}).encode(),
            {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"},
        )
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except OSError:  # the gateway is on its way up, or down
            continue


@pytest.fixture
def scraping(gateway: str, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that has what it needs to answer for a rate."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with prometheus(folder, gateway, ADMIN) as running:
        deadline = time.monotonic() + 90
        while not running.ask("query", query="project_model:mlops_inference_seconds:p95_5m > 0")["result"]:
            assert time.monotonic() < deadline, running.ask("targets")
            time.sleep(0.5)
        yield running


def queries(dashboard: Path) -> dict[str, str]:
    """Panel and legend -> its expression, with Grafana's variables filled in."""
    filled = {"$__rate_interval": "1m", "$project": "alpha", "$model": ".*"}
    return {
        f"{panel['title']}: {target['legendFormat']}": re.sub(
            r"\$\w+", lambda found: filled[found[0]], target["expr"]
        )
        for panel in json.loads(dashboard.read_text())["panels"]
        for target in panel["targets"]
    }


def unknown(expressions: Mapping[str, str], there: set[str]) -> dict[str, set[str]]:
    """Expression's name -> the metrics that it reads and nobody has."""
    read = {name: metrics_of(expression) for name, expression in expressions.items()}
    return {name: metrics - there for name, metrics in read.items() if metrics - there}


def rules() -> dict[str, str]:
    groups = yaml.safe_load((SHIPPED / "rules.yml").read_text())["groups"]
    return {each.get("alert") or each["record"]: each["expr"] for group in groups for each in group["rules"]}


def test_what_panels_and_rules_ask_for_is_there(scraping: Prometheus) -> None:
    assert scraping.ask("query", query='up{job="mlops-gateway"}')["result"][0]["value"][1] == "1"
    expressions = {
        f"{path.stem}: {panel}": expression
        for path in DASHBOARDS
        for panel, expression in queries(path).items()
    }
    there = scraping.names()
    assert unknown(expressions | rules(), there) == {}
    for expression in (*expressions.values(), *rules().values()):
        assert metrics_of(expression), expression
    empty = [
        name
        for name, expression in expressions.items()
        if not scraping.ask("query", query=expression)["result"]
    ]
    assert empty == [], "on this platform everything has happened"
    loaded = [rule for group in scraping.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in loaded} == set(rules())
    assert [(rule["name"], rule["lastError"]) for rule in loaded if rule.get("lastError")] == []

    # The same check fails for a metric that there is not.
    panel = {"Errors": 'sum by (project) (rate(mlops_inference_mistakes_total{project="alpha"}[1m])) / 2'}
    assert unknown(panel, there) == {"Errors": {"mlops_inference_mistakes_total"}}


def test_metrics_are_told_from_the_rest_of_an_expression() -> None:
    assert metrics_of(
        'sum by (le, project) (rate(a_total{x=~"b|c"}[5m]))'
        " / on (d) group_left (e) f:g:h > 0.5 and up offset 1h"
    ) == {"a_total", "f:g:h", "up"}
    assert metrics_of("histogram_quantile(0.95, sum(a_bucket)) or time() - 1e3") == {"a_bucket"}


def promtool(*arguments: str | Path, given: bytes | None = None) -> None:
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)], input=given, capture_output=True, check=False
    )
    told = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, told
    assert given is None or not told, told


def test_configuration_is_valid(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(SHIPPED / name, tmp_path)
    (tmp_path / "gateway.token").write_text("a-token")
    promtool("check", "config", tmp_path / "prometheus.yml")


def test_rules_do_what_they_say() -> None:
    promtool("check", "rules", SHIPPED / "rules.yml")
    promtool("test", "rules", SHIPPED / "rules.test.yml")


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    stated = yaml.safe_load((SHIPPED / "rules.test.yml").read_text())["tests"]
    fired = {
        each["alertname"] for test in stated for each in test["alert_rule_test"] if each.get("exp_alerts")
    }
    assert fired == {name for name in rules() if ":" not in name}


def test_names_are_as_the_field_has_them(gateway: str) -> None:
    text = _scrape(gateway, "text/plain;version=0.0.4")
    while b"mlops_inferences_total{" not in text:
        text = _scrape(gateway, "text/plain;version=0.0.4")
    promtool("check", "metrics", given=text)


def _scrape(gateway: str, accept: str) -> bytes:
    request = urllib.request.Request(
        f"http://{gateway}/metrics", headers={"Authorization": f"Bearer {ADMIN}", "Accept": accept}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        return bytes(answer.read())


# -- the dashboards -----------------------------------------------------------------------------


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", ROOT / "scripts" / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dashboards_are_what_their_source_says() -> None:
    wanted = _script().files()
    assert sorted(wanted) == DASHBOARDS
    stale = [path.name for path, text in wanted.items() if path.read_text() != text]
    assert stale == [], "run `python scripts/dashboards.py`"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_has_what_a_reader_needs(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    panels = dashboard["panels"]
    titles = [panel["title"] for panel in panels]
    assert all(titles)
    assert len(set(titles)) == len(titles)
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["legendFormat"] for target in panel["targets"])
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    asked = {name for target in re.findall(r"\$(project|model)\b", json.dumps(panels)) for name in [target]}
    assert asked <= {each["name"] for each in dashboard["templating"]["list"]}
