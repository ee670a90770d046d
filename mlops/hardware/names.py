"""What the figures are called in a run: MLflow's own `system/` names where it has them."""

from __future__ import annotations

import re

from mlops.hardware.base import CpuLevel, Gpu, HardwareSample

ENERGY = "system/energy_joules"

_MB = 1e6


def metrics(sample: HardwareSample) -> dict[str, float]:
    """The figures that change, by metric name; powers in W, memory in MB (1e6 bytes), shares in percent."""
    first = Gpu(
        utilization_percent=sample.gpu_utilization_percent,
        power_w=sample.gpu_power_w,
        memory_bytes=sample.gpu_memory_bytes,
        memory_total_bytes=sample.gpu_memory_total_bytes,
    )
    found: dict[str, float | None] = {
        "system/cpu_utilization_percentage": sample.cpu_utilization_percent,
        **_of_levels(sample.cpu_levels or ()),
        "system/cpu_power_watts": sample.cpu_power_w,
        "system/ane_power_watts": sample.ane_power_w,
        "system/dram_power_watts": sample.dram_power_w,
        "system/package_power_watts": sample.package_power_w,
        ENERGY: sample.energy_j,
        "system/system_memory_usage_megabytes": _megabytes(sample.memory_used_bytes),
        "system/system_memory_usage_percentage": _share(
            sample.memory_used_bytes, sample.memory_available_bytes
        ),
        "system/swap_usage_megabytes": _megabytes(sample.swap_used_bytes),
        "system/memory_pressure_level": sample.memory_pressure_level,
        "system/thermal_state": None if sample.thermal_state is None else sample.thermal_state.level,
    }
    for index, gpu in enumerate((first, *(sample.other_gpus or ()))):
        found |= _of_gpu(index, gpu)
    return {name: float(value) for name, value in found.items() if value is not None}


def _of_gpu(index: int, gpu: Gpu) -> dict[str, float | None]:
    share = None
    if gpu.memory_bytes is not None and gpu.memory_total_bytes:
        share = 100 * gpu.memory_bytes / gpu.memory_total_bytes
    return {
        f"system/gpu_{index}_utilization_percentage": gpu.utilization_percent,
        f"system/gpu_{index}_power_usage_watts": gpu.power_w,
        f"system/gpu_{index}_memory_usage_megabytes": _megabytes(gpu.memory_bytes),
        f"system/gpu_{index}_memory_usage_percentage": share,
    }


def _of_levels(levels: tuple[CpuLevel, ...]) -> dict[str, float | None]:
    """A machine whose cores are all of one kind has no levels to tell apart."""
    if len(levels) < 2:
        return {}
    return {
        f"system/cpu_{_slug(level.name)}_utilization_percentage": (
            None if level.active_ratio is None else 100 * level.active_ratio
        )
        for level in levels
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _share(used: int | None, available: int | None) -> float | None:
    """In percent; MLflow, too, takes what is available for the rest."""
    known = used is not None and available is not None and used + available > 0
    return 100 * used / (used + available) if known else None  # type: ignore[operator]  # both are known


def _megabytes(count: int | None) -> float | None:
    return None if count is None else count / _MB
