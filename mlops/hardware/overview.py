"""One machine at a glance: what it is, what it does now, and what could not be read and why."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.hardware.base import FIGURES, AppleSiliconMetrics, HardwareSample
from mlops.hardware.chips import Chip, chip
from mlops.hardware.machine import operating_system
from mlops.hardware.reader import Readers

_READERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("cpu_power_w", "gpu_power_w", "ane_power_w"), ("IOReport", "powermetrics")),
    **dict.fromkeys(("package_power_w", "energy_j", "elapsed_s"), ("IOReport", "powermetrics")),
    "dram_power_w": ("IOReport",),
    "gpu_frequency_mhz": ("powermetrics",),
    **dict.fromkeys(("gpu_utilization_percent", "gpu_memory_bytes"), ("ioreg", "powermetrics")),
    **dict.fromkeys(("thermal_state", "thermal_source"), ("NSProcessInfo or notifyutil", "powermetrics")),
    **dict.fromkeys(("memory_pressure_level", "swap_used_bytes", "gpu_wired_limit_mb"), ("sysctl",)),
    "power_mode": ("pmset",),
    "power_source": ("pmset batt",),
    "mps_available": ("torch",),
    **dict.fromkeys(("chip_type", "model", "gpu_cores", "ane_available", "rosetta"), ("facts",)),
}
"""Which reader of a Mac has a figure."""
_ROOT_ONLY = ("gpu_frequency_mhz",)
_COMPANIONS = ("elapsed_s", "thermal_source", "other_gpus")
"""Missing where what they belong to is."""


@dataclass(frozen=True, slots=True)
class Overview:
    """A machine at a moment."""

    operating_system: str
    summary: AppleSiliconMetrics
    sample: HardwareSample
    chip: Chip | None
    """The chip table's row; None for a chip that is not Apple's."""
    unread: dict[str, str]
    """Figure -> why it is not known."""


def overview(readers: Readers) -> Overview:
    """Read the machine now; powers and activity are told over the time since the last reading."""
    sample = readers.read()
    return Overview(
        operating_system=operating_system(),
        summary=AppleSiliconMetrics.of(sample),
        sample=sample,
        chip=None if sample.chip_type is None else chip(sample.chip_type, gpu_cores=sample.gpu_cores),
        unread={
            name: _why(name, sample, readers)
            for name in FIGURES
            if getattr(sample, name) is None and name not in _COMPANIONS
        },
    )


def _why(figure: str, sample: HardwareSample, readers: Readers) -> str:
    for remark in sample.quality:
        name, _, text = remark.partition(": ")
        if name == figure:
            return text
    if readers.system != "Darwin":
        return f"nothing on {readers.system} tells it here"
    asked = _READERS.get(figure, ())
    failed = [f"{name}: {readers.troubles[name]}" for name in asked if name in readers.troubles]
    if failed:
        return "; ".join(failed)
    return "powermetrics alone tells it, as root" if figure in _ROOT_ONLY else "no reader has it"
