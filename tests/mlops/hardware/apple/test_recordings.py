"""Every recording parses to the figures stated here, and to no other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from mlops.hardware.base import CpuLevel, MemoryPressure, ThermalState
from tests.mlops.hardware.apple.recorded import FOLDER, PARSERS, recording

CPU_GPU_ANE = "CPU, GPU and ANE only"
ESTIMATE = "ane_power_w: an estimate: the Neural Engine has no public utilisation figure"
MAPPED = "thermal_state: mapped from the thermal pressure, which is another scale"

M4_MAX: dict[str, Any] = {
    "model": "Mac16,5",
    "cpu_utilization_percent": 10.786636,
    "cpu_levels": (
        CpuLevel("E-Cluster", 4, 0.230777, 1154.44),
        CpuLevel("P0-Cluster", 6, 0.133792, 3560.87),
        CpuLevel("P1-Cluster", 6, 0.0, 1260.02),
    ),
    "gpu_utilization_percent": 12.2657,
    "gpu_frequency_mhz": 338.0,
    "cpu_power_w": 2.97845,
    "gpu_power_w": 0.269614,
    "ane_power_w": 0.0,
    "package_power_w": 3.24807,
    "energy_j": 3.325,
    "elapsed_s": 1.023685,
    "thermal_state": ThermalState.NOMINAL,
    "thermal_source": "powermetrics",
}
SOC_POWER: dict[str, Any] = {
    "gpu_utilization_percent": 9.8643,
    "cpu_power_w": 9.92435,
    "gpu_power_w": 0.169958,
    "ane_power_w": 0.0,
    "package_power_w": 10.0943,
    "elapsed_s": 3.017305,
}
FIGURES: dict[str, dict[str, Any]] = {
    "powermetrics/pause-monitor_M4Max_macOS26.2_trimmed.plist": M4_MAX,
    "powermetrics/macadmins_socpower.plist": SOC_POWER,
    "powermetrics/macadmins_thermalthrottling.plist": {
        "model": "Mac16,6",
        "elapsed_s": 1.017305,
        "thermal_state": ThermalState.NOMINAL,
        "thermal_source": "powermetrics",
    },
    "system_profiler/M1_macOS12_tirekick.json": {
        "chip_type": "Apple M1",
        "model": "MacBookAir10,1",
        "memory_gb": 16.0,
    },
    "system_profiler/M1_underRosetta_tirekick.json": {"model": "MacBookAir10,1", "memory_gb": 16.0},
    "system_profiler/M5Max_macOS26_tirekick.json": {
        "chip_type": "Apple M5 Max",
        "model": "Mac17,6",
        "memory_gb": 128.0,
    },
    "system_profiler/displays_M1Pro_tirekick_trimmed.json": {"gpu_name": "Apple M1 Pro", "gpu_cores": 14},
    "memory/sysctl_pressure2_SYNTHETIC_mlxscope.txt": {
        "gpu_wired_limit_mb": 40960,
        "memory_free_percent": 31.0,
        "memory_pressure_level": MemoryPressure.WARN,
        "swap_used_bytes": 3_163_815_936,  # 3017.25 MiB
    },
    "memory/vm_stat_macOS27_mte_SYNTHETIC_mlxscope.txt": {
        "memory_free_bytes": 182_344 * 16384,
        "memory_wired_bytes": 1_254_976 * 16384,
        "memory_compressed_bytes": 312_560 * 16384,
    },
}
QUALITY = {
    "powermetrics/pause-monitor_M4Max_macOS26.2_trimmed.plist": (
        f"package_power_w: {CPU_GPU_ANE}",
        f"energy_j: {CPU_GPU_ANE}",
        ESTIMATE,
        MAPPED,
    ),
    "powermetrics/macadmins_socpower.plist": (f"package_power_w: {CPU_GPU_ANE}", ESTIMATE),
    "powermetrics/macadmins_thermalthrottling.plist": (MAPPED,),
}


def rounded(value: Any) -> Any:
    """Floats to six places, in levels too."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, CpuLevel):
        return CpuLevel(**{name: rounded(each) for name, each in asdict(value).items()})
    return tuple(rounded(each) for each in value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", PARSERS)
def test_a_recording_parses_to_these_figures(name: str) -> None:
    sample = PARSERS[name](recording(name))

    assert sample is not None
    assert {key: rounded(value) for key, value in sample.figures.items()} == FIGURES[name]
    assert sample.quality == QUALITY.get(name, ())
    assert set(sample.sources) == set(FIGURES[name])


def test_every_recording_that_a_tool_printed_has_its_figures_here() -> None:
    recording("SOURCES.md")
    printed = {
        str(each.relative_to(FOLDER))
        for folder in ("powermetrics", "system_profiler", "memory")
        for each in (FOLDER / folder).iterdir()
    }
    assert printed == set(PARSERS) == set(FIGURES)


@pytest.mark.parametrize("name", PARSERS)
def test_no_parser_takes_another_tools_recording_for_its_own(name: str) -> None:
    data = recording(name)
    others = {each for each in PARSERS.values() if each is not PARSERS[name]}
    assert [each(data) for each in others] == [None] * len(others)
