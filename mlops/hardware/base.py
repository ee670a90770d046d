"""What a machine can tell of itself, and the contract of who reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum, StrEnum
from typing import Any, Protocol


class ThermalState(StrEnum):
    """Apple's four thermal states (`NSProcessInfoThermalState`)."""

    NOMINAL = "nominal"
    FAIR = "fair"
    SERIOUS = "serious"
    CRITICAL = "critical"

    @property
    def level(self) -> int:
        """0 (nominal) to 3 (critical), as `NSProcessInfo.thermalState` counts them."""
        return list(ThermalState).index(self)


class MemoryPressure(IntEnum):
    """`kern.memorystatus_vm_pressure_level` of macOS."""

    NORMAL = 1
    WARN = 2
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class CpuLevel:
    """The cores of one kind (performance level, or cluster), as the machine names them."""

    name: str
    cores: int
    active_ratio: float | None = None
    """Mean over its cores of the time each was active, 0 to 1."""
    frequency_mhz: float | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """A further GPU of a machine that has several."""

    name: str | None = None
    utilization_percent: float | None = None
    power_w: float | None = None
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class HardwareSample:
    """Figures of a machine; None is what could not be read, and 0 a reading.

    Energy is what was used in the `elapsed_s` seconds before the reading: since the reader was opened, or
    in the interval of the recording that was parsed.
    """

    # What the machine is.
    chip_type: str | None = None
    """As the machine names it: `Apple M4 Max`."""
    model: str | None = None
    """The model's identifier: `Mac16,5`."""
    memory_gb: float | None = None
    """Installed memory in GiB, as it is sold."""
    gpu_name: str | None = None
    gpu_cores: int | None = None
    ane_cores: int | None = None
    ane_architecture: str | None = None
    mps_available: bool | None = None
    """Whether this Python's torch can use the Apple GPU."""
    ane_available: bool | None = None
    rosetta: bool | None = None
    """Whether this process is x86 code, translated on an ARM Mac."""
    virtual_machine: bool | None = None
    os_version: str | None = None
    """The version of macOS: `26.2`."""

    # What it does.
    cpu_utilization_percent: float | None = None
    """Mean over all cores, 0 to 100."""
    cpu_levels: tuple[CpuLevel, ...] | None = None
    """Fastest first where the machine says so."""
    gpu_utilization_percent: float | None = None
    gpu_renderer_utilization_percent: float | None = None
    gpu_tiler_utilization_percent: float | None = None
    gpu_frequency_mhz: float | None = None
    gpu_memory_bytes: int | None = None
    gpu_memory_total_bytes: int | None = None
    gpu_wired_limit_mb: int | None = None
    """How much memory the GPU may wire down, in MiB; 0 is the system's own default."""
    other_gpus: tuple[Gpu, ...] | None = None
    """The GPUs after the first."""

    # Power, and energy over `elapsed_s`.
    cpu_power_w: float | None = None
    gpu_power_w: float | None = None
    ane_power_w: float | None = None
    dram_power_w: float | None = None
    package_power_w: float | None = None
    """CPU, GPU and ANE together, and what `quality` says of it."""
    energy_j: float | None = None
    elapsed_s: float | None = None

    # Memory.
    memory_used_bytes: int | None = None
    memory_available_bytes: int | None = None
    """What programs could still have without swapping."""
    memory_free_bytes: int | None = None
    """What nothing uses at all."""
    memory_wired_bytes: int | None = None
    memory_compressed_bytes: int | None = None
    memory_free_percent: float | None = None
    memory_pressure_level: MemoryPressure | None = None
    swap_used_bytes: int | None = None

    # Heat and power supply.
    thermal_state: ThermalState | None = None
    thermal_source: str | None = None
    power_mode: str | None = None
    """`automatic`, `low` or `high`."""
    power_source: str | None = None
    """`ac` or `battery`."""

    # Where the figures come from, and what to make of them.
    sources: Mapping[str, str] = field(default_factory=dict)
    """Figure -> what it was read from."""
    quality: tuple[str, ...] = ()
    """`figure: remark`, for a figure that is less than it seems, or missing for a reason."""

    @property
    def figures(self) -> dict[str, Any]:
        """What was read, without the Nones."""
        return {name: value for name in FIGURES if (value := getattr(self, name)) is not None}


FIGURES: tuple[str, ...] = tuple(
    each.name for each in fields(HardwareSample) if each.name not in ("sources", "quality")
)


@dataclass(frozen=True, slots=True)
class AppleSiliconMetrics:
    """What identifies a Mac's state beside a result; None is what could not be read."""

    chip_type: str | None
    memory_gb: float | None
    mps_available: bool | None
    ane_available: bool | None
    thermal_state: ThermalState | None
    power_mode: str | None

    @classmethod
    def of(cls, sample: HardwareSample) -> AppleSiliconMetrics:
        """The summary of a sample."""
        return cls(**{each.name: getattr(sample, each.name) for each in fields(cls)})


class HardwareReader(Protocol):
    """One source of figures, or all those of a machine together."""

    name: str
    """Its own: two readers of one machine differ in it. `sources` may say more shortly what it asks."""

    @property
    def tells(self) -> tuple[str, ...]:
        """The figures that it can give, so that a missing one is explained by its reader's trouble;
        `cpu_levels.active_ratio` is that of each level."""

    def read(self) -> HardwareSample | None:
        """The figures now; None where nothing was readable. It never asks for a password, ends within
        seconds, and may raise whatever its source raises: `mlops.hardware.reader` bears it."""


def sampled(source: str, quality: tuple[str, ...] = (), **figures: Any) -> HardwareSample | None:
    """A sample of one source; None when no figure was read and nothing is to be remarked."""
    read = {name: value for name, value in figures.items() if value is not None}
    if not read and not quality:
        return None
    return HardwareSample(**read, sources=dict.fromkeys(read, source), quality=quality)


def merged(first: HardwareSample, second: HardwareSample) -> HardwareSample:
    """Both together; where both have a figure, the first one's. A remark goes with the sample that its figure
    is taken from, the elapsed time with its energy, and the thermal source with its state."""
    taken = {name: value for name, value in second.figures.items() if getattr(first, name) is None}
    for leading, its in (("energy_j", "elapsed_s"), ("thermal_state", "thermal_source")):
        if leading in taken:
            taken[its] = getattr(second, its)
        elif getattr(first, leading) is not None:
            taken.pop(its, None)
    kept = {name: source for name, source in first.sources.items() if name not in taken}
    new = {name: second.sources.get(name, "") for name, value in taken.items() if value is not None}
    remarks = (
        *(each for each in first.quality if remarked(each) not in taken),
        *(each for each in second.quality if getattr(first, remarked(each), None) is None),
    )
    return replace(first, **taken, sources={**kept, **new}, quality=tuple(dict.fromkeys(remarks)))


def remarked(remark: str) -> str:
    """The figure that a remark of `quality` is about."""
    return remark.partition(":")[0]


def number(value: object, low: float, high: float) -> float | None:
    """`value` where it is a number within the bounds, else None: a bool, a text, NaN and what no machine
    can have are no readings."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and low <= found <= high else None


def whole(value: object, low: int, high: int) -> int | None:
    """`value` where it is an integer within the bounds, else None."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if low <= value <= high else None
