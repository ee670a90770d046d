"""One machine at a glance: what it is, what it does now, and what could not be read and why."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.hardware.base import FIGURES, AppleSiliconMetrics, HardwareSample, remarked
from mlops.hardware.chips import Chip, chip
from mlops.hardware.commands import POWERMETRICS
from mlops.hardware.machine import operating_system
from mlops.hardware.reader import Readers

_COMPANIONS = ("elapsed_s", "thermal_source", "other_gpus")
"""Missing where what they belong to is."""
_ACTIVITY = "cpu_levels.active_ratio"


@dataclass(frozen=True, slots=True)
class Overview:
    """A machine at a moment."""

    operating_system: str
    summary: AppleSiliconMetrics
    sample: HardwareSample
    chip: Chip | None
    """The chip table's row; None for a chip that is not Apple's."""
    unread: dict[str, str]
    """Figure -> why it is not known; `cpu_levels.active_ratio` is that of the levels."""


def overview(readers: Readers) -> Overview:
    """Read the machine now; powers and activity are told over the time since the last reading."""
    sample = readers.read()
    return Overview(
        operating_system=operating_system(sample),
        summary=AppleSiliconMetrics.of(sample),
        sample=sample,
        chip=None if sample.chip_type is None else chip(sample.chip_type, gpu_cores=sample.gpu_cores),
        unread={name: _why(name, sample, readers) for name in _missing(sample)},
    )


def _missing(sample: HardwareSample) -> list[str]:
    missing = [name for name in FIGURES if getattr(sample, name) is None and name not in _COMPANIONS]
    levels = sample.cpu_levels or ()
    return [*missing, *([_ACTIVITY] if any(level.active_ratio is None for level in levels) else [])]


def _why(figure: str, sample: HardwareSample, readers: Readers) -> str:
    """What is remarked on it, else what went wrong with the readers that can tell it."""
    for remark in sample.quality:
        if remarked(remark) == figure:
            return remark.partition(": ")[2]
    able = [name for name, tells in readers.tells.items() if figure in tells]
    failed = [f"{name}: {readers.troubles[name]}" for name in able if name in readers.troubles]
    if failed:
        return "; ".join(failed)
    if able:
        return f"{', '.join(able)} did not tell it at this reading"
    if readers.system == "Darwin" and figure in POWERMETRICS.tells:
        return "powermetrics alone tells it, as root"
    return f"nothing on {readers.system} tells it here"
