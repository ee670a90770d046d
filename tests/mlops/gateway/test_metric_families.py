"""Families from entities, and the table of docs/prometheus.md that has them all."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client.core import Metric

from mlops.entities import (
    AlertState,
    Availability,
    Deployment,
    DeploymentState,
    DriftJob,
    DriftTrigger,
    JobState,
    RunStatus,
    ServiceRecord,
    ServiceState,
    ServiceStatus,
    Severity,
)
from mlops.gateway.metrics.availability import availability_families
from mlops.gateway.metrics.deployments import deployment_families
from mlops.gateway.metrics.drift import drift_families
from mlops.gateway.metrics.hardware import machine_families
from mlops.gateway.metrics.inferences import inference_families, log_families
from mlops.gateway.metrics.projects import project_families
from mlops.gateway.metrics.services import build_families, service_families, source_families
from mlops.hardware import CpuLevel, Gpu, HardwareSample, MemoryPressure, ThermalState
from mlops.hardware.meter import Disk, MachineReading, Meter
from mlops.hardware.reader import Readers
from mlops.serving.inference_log import LogCounts
from mlops.serving.load import Load
from mlops.store.alerts import Begun, Changes
from mlops.store.figures import DELIVERED, GIVEN_UP, WAITING, Figures
from mlops.store.store import Store

NOW = datetime(2026, 11, 27, tzinfo=UTC)
DEPLOYMENT = Deployment(
    7,
    "alpha",
    "depth",
    3,
    DeploymentState.RUNNING,
    2,
    "/",
    NOW,
    NOW,
    bento="depth:3",
    weight=25,
    most_replicas=4,
)
DRIFT = DriftJob(
    1, "alpha", "depth", 3, DriftTrigger.SCHEDULE, "", JobState.DONE, NOW, NOW - timedelta(days=1), NOW,
    reference_rows=100, current_rows=50, judged=8, drifted=2,
)  # fmt: skip
MACHINE = HardwareSample(
    chip_type="Apple M4 Max", cpu_utilization_percent=12.5,
    cpu_levels=(CpuLevel("P", 4, 0.5), CpuLevel("E", 4)),
    gpu_utilization_percent=50.0, gpu_memory_bytes=0, gpu_memory_total_bytes=2**32,
    other_gpus=(Gpu(power_w=7.0),),
    cpu_power_w=3.0, gpu_power_w=0.0, energy_j=9.5, memory_used_bytes=10, memory_available_bytes=20,
    swap_used_bytes=0, memory_pressure_level=MemoryPressure.WARN, thermal_state=ThermalState.FAIR,
)  # fmt: skip
FIGURES = Figures(
    projects=("alpha", "beta"),
    runs={("alpha", RunStatus.FINISHED): 3},
    alerts={("", Severity.CRITICAL, AlertState.FIRING): 1},
    deliveries={("alpha", "ops", WAITING): 2, ("alpha", "ops", DELIVERED): 5, ("beta", "ops", GIVEN_UP): 1},
    drift_reports={("alpha", "depth", JobState.FAILED): 2},
)
SERVICE = ServiceStatus(
    "ray", ServiceState.UNHEALTHY, restarts=2,
    record=ServiceRecord(
        NOW, 2, (), Availability(0.75, 9.0, 0.1), Availability(None, 0.0, 0.0), Availability(0.5, 99.0, 0.2)
    ),
)  # fmt: skip


def everything() -> list[Metric]:
    """Each family that there is."""
    return [
        *build_families(),
        *source_families({"postgres": True}),
        *service_families([SERVICE]),
        *availability_families([SERVICE]),
        *project_families(FIGURES, ["", "alpha"]),
        *inference_families([Load(DEPLOYMENT)]),
        *log_families(LogCounts(3, 2, 1)),
        *deployment_families([DEPLOYMENT], {7: 2}),
        *drift_families([DRIFT], FIGURES.drift_reports),
        *machine_families(MachineReading(MACHINE, "macOS 26.2", Disk(100, 25))),
    ]


def samples(families: list[Metric]) -> dict[tuple[str, ...], float]:
    """(sample's name, values of its labels) -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_values_are_the_entities() -> None:
    found = samples(everything())
    assert found["mlops_service_up", "ray"] == 0
    assert found["mlops_service_state", "ray", "unhealthy"] == 1
    assert found["mlops_service_state", "ray", "healthy"] == 0
    assert found["mlops_service_restarts_total", "ray"] == 2
    assert found["mlops_runs", "alpha", "finished"] == 3
    assert found["mlops_runs", "alpha", "failed"] == 0
    assert ("mlops_runs", "", "failed") not in found
    assert found["mlops_alerts", "", "critical", "firing"] == 1
    assert found["mlops_alert_deliveries", "alpha", "ops", "waiting"] == 2
    assert found["mlops_alert_deliveries", "alpha", "ops", "failed"] == 0
    assert ("mlops_alert_deliveries", "beta", "ops", "failed") not in found, "it is not to be seen"
    of = ("alpha", "depth", "3", "champion")
    assert found["mlops_deployment_state", *of, "running"] == 1
    assert found["mlops_deployment_replicas", *of] == 2
    assert found["mlops_deployment_replicas_most", *of] == 4
    assert found["mlops_deployment_weight_ratio", *of] == 0.25
    assert found["mlops_deployment_info", *of, "depth:3"] == 1
    report = ("alpha", "depth", "3", "schedule")
    assert found["mlops_drift_columns_ratio", *report] == 0.25
    assert found["mlops_drift_rows", *report, "reference"] == 100
    assert found["mlops_drift_window_end_timestamp_seconds", *report] == NOW.timestamp()
    assert found["mlops_drift_reports", "alpha", "depth", "failed"] == 2
    assert found["mlops_hardware_cpu_utilization_ratio",] == 0.125
    assert found["mlops_hardware_power_watts", "gpu_0"] == 0, "a reading, not a missing one"
    assert found["mlops_hardware_power_watts", "gpu_1"] == 7
    assert ("mlops_hardware_power_watts", "ane") not in found
    assert found["mlops_hardware_memory_pressure", "warn"] == 1
    assert found["mlops_hardware_thermal_state", "fair"] == 1
    assert found["mlops_hardware_energy_joules_total",] == 9.5
    assert found["mlops_disk_free_bytes",] == 25


def test_availability_is_told_of_what_was_observed() -> None:
    found = samples(list(availability_families([SERVICE, ServiceStatus("mlflow", ServiceState.STOPPED)])))
    assert found == {
        ("mlops_service_availability_ratio", "ray", "day"): 0.75,
        ("mlops_service_availability_ratio", "ray", "month"): 0.5,
    }


def test_what_a_machine_has_not_has_no_family() -> None:
    found = list(machine_families(MachineReading(HardwareSample(), "Debian", None)))
    assert [family.name for family in found] == ["mlops_hardware"]


def test_of_deployments_alike_the_newest_is_told() -> None:
    failed = replace(DEPLOYMENT, id=6, state=DeploymentState.FAILED)
    for both in ([failed, DEPLOYMENT], [DEPLOYMENT, failed]):
        names = [
            (sample.name, *sample.labels.values())
            for family in deployment_families(both, {})
            for sample in family.samples
        ]
        assert len(names) == len(set(names))
        found = samples(list(deployment_families(both, {})))
        assert found["mlops_deployment_state", "alpha", "depth", "3", "champion", "failed"] == 0


def test_table_of_the_documentation_is_what_there_is() -> None:
    text = (Path(__file__).parents[3] / "docs" / "prometheus.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", text, flags=re.M)
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows}
    assert len(told) == len(rows), "each once"
    assert told == {_exposed(family): (family.type, _labels(family)) for family in everything()}


def _exposed(family: Metric) -> str:
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def _labels(family: Metric) -> set[str]:
    labels = {label for sample in family.samples for label in sample.labels} - {"le"}
    if family.name == "mlops_hardware":
        labels |= {"chip", "model", "gpu", "os", "power_mode", "power_source"}
    return labels


# -- where they come from -----------------------------------------------------------------------


def test_figures_are_counted_by_the_database(
    store: Store, add_project: Callable[..., str], add_run: Callable[..., object], serve: Callable[..., int]
) -> None:
    add_project("alpha")
    add_project("beta")
    add_run("alpha", "1" * 16)
    add_run("alpha", "2" * 16, status=RunStatus.FAILED)
    number = serve("alpha", "depth", "http://127.0.0.1:1", "http://127.0.0.1:2")
    begun = Begun(
        ("alpha", "errors", "depth"), "error_rate", Severity.CRITICAL, "it fails", 0.5, 0.1,
        ("ops", "mail", "chat"), True, True,
    )  # fmt: skip
    store.alerts.apply(Changes(begun=[begun]), NOW)
    ops, mail, _ = store.alerts.due(NOW)
    store.alerts.delivered(ops.id, NOW)
    store.alerts.give_up(mail.id, "no such address", NOW)
    assert store.drift.ask("alpha", "depth", 1, NOW - timedelta(days=1), NOW) is not None
    found = store.figures()
    assert found.projects == ("alpha", "beta")
    assert found.runs == {("alpha", RunStatus.FINISHED): 1, ("alpha", RunStatus.FAILED): 1}
    assert found.alerts == {("alpha", Severity.CRITICAL, AlertState.FIRING): 1}
    assert sorted(state for _, _, state in found.deliveries) == sorted([WAITING, DELIVERED, GIVEN_UP])
    assert found.replicas == {number: 2}
    assert found.drift_reports == {("alpha", "depth", JobState.QUEUED): 1}


def test_a_meter_opens_its_readers_once_and_says_what_the_disk_has(tmp_path: Path) -> None:
    opened: list[int] = []

    def open_readers() -> Readers:
        opened.append(1)
        return Readers([])

    meter = Meter(tmp_path, open_readers)
    assert opened == []
    reading = meter.read()
    assert reading.disk is not None
    assert 0 < reading.disk.free < reading.disk.size
    assert reading.operating_system
    meter.read()
    assert opened == [1]
    assert Meter(tmp_path / "gone", open_readers).read().disk is None
