"""Every machine that runs were logged from, by what those runs read of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mlops.hardware import names
from mlops.hardware.base import MemoryPressure, ThermalState
from mlops.store.indexed_runs import MetricSummary
from mlops.store.measured_runs import MeasuredRun
from mlops.store.store import Store

MOST_RUNS = 300
"""That are looked at, the newest ones."""
_CPU, _GPU = "system/cpu_utilization_percentage", "system/gpu_0_utilization_percentage"
_MEMORY, _PRESSURE = "system/system_memory_usage_percentage", "system/memory_pressure_level"
_GPU_MEMORY = "system/gpu_0_memory_usage_percentage"
_POWERS = ("system/package_power_watts", "system/gpu_0_power_usage_watts", "system/cpu_power_watts")
"""The first that a run has is its power: a package's has the GPU's in it."""
_THERMAL = "system/thermal_state"
_READ = (_CPU, _GPU, _MEMORY, _PRESSURE, _GPU_MEMORY, *_POWERS, _THERMAL, names.ENERGY)


@dataclass(frozen=True, slots=True)
class Figure:
    """The last value and the greatest one."""

    last: float
    most: float


@dataclass(frozen=True, slots=True)
class RunOnMachine:
    """What a run read of its machine; None is what it could not read."""

    run: MeasuredRun
    cpu: Figure | None
    """In percent, as the GPU's and the memories."""
    gpu: Figure | None
    memory: Figure | None
    gpu_memory: Figure | None
    power: Figure | None
    """In W."""
    pressure: MemoryPressure | None
    """The worst."""
    thermal: ThermalState | None
    """The worst."""
    energy_j: float | None
    read_at_ms: int
    """When the last of them was read, in ms since 1970; 0 where nothing was."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine and the runs on it, the newest first."""

    name: str
    """Its host name; of runs that an earlier release logged, its chip or model."""
    about: tuple[str, ...]
    """Chip, GPU, memory, operating system, as far as they are known."""
    runs: tuple[RunOnMachine, ...]

    @property
    def energy_j(self) -> float | None:
        """What its runs took; None where none measured it."""
        known = [each.energy_j for each in self.runs if each.energy_j is not None]
        return sum(known) if known else None

    @property
    def latest(self) -> RunOnMachine:
        """Whose readings are the newest."""
        return max(self.runs, key=lambda each: each.read_at_ms)


class Fleet:
    """Every verb raises `ServiceUnavailable` without Postgres."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def machines(self, since: datetime, project: str | None = None) -> list[Machine]:
        """Those of all runs, or one project's, that started since then or go on; by name."""
        found: dict[str, list[MeasuredRun]] = defaultdict(list)
        for run in self._store.measured_runs(since, project, _READ, MOST_RUNS):
            found[_name(run)].append(run)
        return [_machine(name, runs) for name, runs in sorted(found.items())]

    def energy_j(self, since: datetime | None = None) -> dict[str, float]:
        """Joules that the indexed runs of each project took, as far as they were measured; with `since`, of
        those that measured until then or later."""
        return self._store.energy_j(names.ENERGY, since)


def _name(run: MeasuredRun) -> str:
    told = run.machine
    return told.get("host") or told.get("model") or told.get("chip") or told["os"]


def _machine(name: str, runs: Sequence[MeasuredRun]) -> Machine:
    newest = runs[0].machine
    memory = f"{newest['memory_gb']} GiB" if "memory_gb" in newest else ""
    told = (newest.get("chip", ""), newest.get("gpu", ""), memory, newest.get("os", ""))
    about = tuple(dict.fromkeys(each for each in told if each and each != name))
    return Machine(name, about, tuple(_on_machine(run) for run in runs))


def _on_machine(run: MeasuredRun) -> RunOnMachine:
    read = run.readings
    power = next((read[key] for key in _POWERS if key in read), None)
    thermal, pressure = read.get(_THERMAL), read.get(_PRESSURE)
    return RunOnMachine(
        run=run,
        cpu=_figure(read.get(_CPU)),
        gpu=_figure(read.get(_GPU)),
        memory=_figure(read.get(_MEMORY)),
        gpu_memory=_figure(read.get(_GPU_MEMORY)),
        power=_figure(power),
        pressure=_pressure(pressure),
        thermal=_thermal(thermal),
        energy_j=read[names.ENERGY].last if names.ENERGY in read else None,
        read_at_ms=max((each.time_ms for each in read.values()), default=0),
    )


def _figure(read: MetricSummary | None) -> Figure | None:
    return None if read is None else Figure(read.last, read.max)


# Anybody may log numbers by these names: what is none of the states says nothing.


def _pressure(read: MetricSummary | None) -> MemoryPressure | None:
    return MemoryPressure(int(read.max)) if read and read.max in tuple(MemoryPressure) else None


def _thermal(read: MetricSummary | None) -> ThermalState | None:
    states = list(ThermalState)
    return states[int(read.max)] if read and read.max in range(len(states)) else None
