from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mlops.entities import Run, RunStatus
from mlops.errors import ServiceUnavailable
from mlops.hardware.base import HardwareSample, ThermalState
from mlops.hardware.tally import Tally

ENERGY = "system/energy_joules"


@dataclass
class Added:
    """A tally, and what it gave to write."""

    past: Callable[[], Run] | None = None
    now: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    energies: list[float | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tally = Tally(self.past, lambda: self.now)

    def add(
        self, quality: tuple[str, ...] = (), troubles: dict[str, str] | None = None, **figures: Any
    ) -> dict[str, str]:
        self.tally.recall()
        metrics, tags = self.tally.add(HardwareSample(**figures, quality=quality), troubles or {})
        self.energies.append(metrics.get(ENERGY))
        self.tags |= tags
        return tags

    def end(self, lasted_s: float) -> None:
        self.tags |= self.tally.summary(lasted_s)


def run_with(metrics: dict[str, float], **tags: str) -> Run:
    named = {f"hardware.{name}": text for name, text in tags.items()}
    return Run(
        "key", "p", "n", RunStatus.RUNNING, datetime.now(UTC), metrics=metrics, tags={**named, "a": "b"}
    )


def test_the_worst_thermal_state_is_kept_and_what_is_unknown_is_no_state() -> None:
    run = Added()
    for state in (ThermalState.NOMINAL, ThermalState.CRITICAL, None, ThermalState.FAIR):
        run.add(thermal_state=state)

    assert run.tags["hardware.worst_thermal_state"] == "critical"


def test_without_any_state_there_is_no_worst() -> None:
    run = Added()
    run.add(memory_gb=8.0)
    run.end(10)

    assert "hardware.worst_thermal_state" not in run.tags
    assert "hardware.energy_joules" not in run.tags


def test_every_power_mode_and_source_of_the_run_is_told() -> None:
    run = Added()
    for mode, source in (("automatic", "ac"), ("low", "battery"), (None, None), ("automatic", "ac")):
        run.add(power_mode=mode, power_source=source)

    assert run.tags["hardware.power_mode"] == "automatic, low"
    assert run.tags["hardware.power_source"] == "ac, battery"


def test_tags_are_given_when_they_change() -> None:
    run = Added()

    assert run.add(chip_type="Apple M4", memory_gb=16.0)["hardware.memory_gb"] == "16"
    assert run.add(chip_type="Apple M4", memory_gb=16.0) == {}
    assert run.add(chip_type="Apple M4", mps_available=True) == {"hardware.mps_available": "true"}


def test_the_energy_of_the_run_is_in_its_summary() -> None:
    run = Added()
    run.add(energy_j=1.25, elapsed_s=5.0)
    run.add(energy_j=90.5, elapsed_s=60.0)
    run.end(61)

    assert run.energies == [1.25, 90.5]
    assert run.tags["hardware.energy_joules"] == "90.5"
    assert "hardware.quality" not in run.tags


def test_an_energy_that_was_measured_over_a_part_of_the_run_says_so() -> None:
    run = Added()
    run.add(energy_j=5.0, elapsed_s=20.0)
    run.end(100)

    assert run.tags["hardware.quality"] == "energy_j: measured over 20 of 100 s"


def test_a_resumed_run_goes_on_with_its_energy_and_its_worst_state() -> None:
    before = run_with({ENERGY: 100.0}, worst_thermal_state="serious", power_mode="low")
    run = Added(lambda: before)
    tags = run.add(energy_j=5.0, thermal_state=ThermalState.FAIR, power_mode="automatic")

    assert run.energies == [105.0]
    assert tags["hardware.power_mode"] == "low, automatic"
    assert "hardware.worst_thermal_state" not in tags, "it has not changed"
    assert run.add(thermal_state=ThermalState.CRITICAL)["hardware.worst_thermal_state"] == "critical"


def test_as_long_as_the_past_is_unknown_neither_energy_nor_worst_state_is_told() -> None:
    def past() -> Run:
        if run.now < 60:
            raise ServiceUnavailable("mlflow")
        return run_with({ENERGY: 100.0}, worst_thermal_state="critical")

    run = Added(past)
    run.add(energy_j=5.0, thermal_state=ThermalState.NOMINAL)
    assert "hardware.worst_thermal_state" not in run.tags
    run.now = 60
    run.add(energy_j=9.0, thermal_state=ThermalState.NOMINAL)
    run.end(60)

    assert run.energies == [None, 109.0]
    assert "hardware.worst_thermal_state" not in run.tags, "the critical one stands"
    assert run.tags["hardware.energy_joules"] == "109.0"


def test_a_past_that_stays_unknown_is_told_and_seldom_asked_for() -> None:
    asked: list[float] = []

    def past() -> Run:
        asked.append(run.now)
        raise ServiceUnavailable("mlflow")

    run = Added(past)
    for _ in range(13):
        run.add(energy_j=5.0, thermal_state=ThermalState.NOMINAL)
        run.now += 5
    run.end(65)

    assert asked == [0, 30, 60]
    assert "before it was resumed" in run.tags["hardware.quality"]
    assert "hardware.energy_joules" not in run.tags


def test_a_word_that_is_no_state_is_none() -> None:
    run = Added(lambda: run_with({}, worst_thermal_state="hot"))
    tags = run.add(thermal_state=ThermalState.FAIR)

    assert tags["hardware.worst_thermal_state"] == "fair"


def test_a_remark_ends_with_its_reason_and_a_stall_is_remembered() -> None:
    run = Added()
    run.add(("energy_j: told from 5 s on", "mps_available: this program does not use torch"))
    run.add(("cpu_power_w: the counter stalled",), energy_j=4.0, mps_available=True)
    run.add(cpu_power_w=2.0, energy_j=8.0, mps_available=True)

    assert run.tags["hardware.quality"] == "cpu_power_w: the counter stalled"


def test_what_was_unread_and_is_read_again_is_said() -> None:
    run = Added()
    run.add(troubles={"ioreg": "it gave nothing"})
    assert run.tags["hardware.unread"] == "ioreg: it gave nothing"
    run.add()
    assert run.tags["hardware.unread"] == "nothing any more"


def test_given_figures_change_nothing_of_what_was_read() -> None:
    run = Added()
    run.add(energy_j=500.0, elapsed_s=60.0, chip_type="Apple M4")
    metrics, tags = run.tally.add_given(
        HardwareSample(energy_j=3.0, gpu_power_w=2.0, sources={"energy_j": "given", "gpu_power_w": "given"})
    )
    run.end(60)

    assert metrics == {ENERGY: 3.0, "system/gpu_0_power_usage_watts": 2.0}
    assert tags["hardware.sources"] == "given"
    assert run.tags["hardware.energy_joules"] == "500.0"
