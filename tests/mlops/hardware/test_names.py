from __future__ import annotations

from mlops.hardware.base import CpuLevel, Gpu, HardwareSample, MemoryPressure, ThermalState
from mlops.hardware.names import metrics


def test_each_figure_has_its_name_and_unit() -> None:
    sample = HardwareSample(
        chip_type="Apple M4 Max",
        cpu_utilization_percent=12.5,
        cpu_levels=(CpuLevel("Performance", 12, 0.25), CpuLevel("Efficiency", 4, 0.5)),
        gpu_utilization_percent=80.0,
        gpu_power_w=20.5,
        gpu_memory_bytes=1_500_000_000,
        cpu_power_w=3.0,
        ane_power_w=0.0,
        package_power_w=23.5,
        energy_j=117.5,
        elapsed_s=5.0,
        memory_used_bytes=8_000_000_000,
        memory_available_bytes=24_000_000_000,
        swap_used_bytes=0,
        memory_pressure_level=MemoryPressure.WARN,
        thermal_state=ThermalState.SERIOUS,
        thermal_source="NSProcessInfo",
    )

    assert metrics(sample) == {
        "system/cpu_utilization_percentage": 12.5,
        "system/cpu_performance_utilization_percentage": 25.0,
        "system/cpu_efficiency_utilization_percentage": 50.0,
        "system/gpu_0_utilization_percentage": 80.0,
        "system/gpu_0_power_usage_watts": 20.5,
        "system/gpu_0_memory_usage_megabytes": 1500.0,
        "system/cpu_power_watts": 3.0,
        "system/ane_power_watts": 0.0,
        "system/package_power_watts": 23.5,
        "system/energy_joules": 117.5,
        "system/system_memory_usage_megabytes": 8000.0,
        "system/system_memory_usage_percentage": 25.0,
        "system/swap_usage_megabytes": 0.0,
        "system/memory_pressure_level": 2.0,
        "system/thermal_state": 2.0,
    }


def test_what_is_unknown_is_not_recorded() -> None:
    assert metrics(HardwareSample()) == {}
    assert metrics(HardwareSample(cpu_levels=(CpuLevel("Performance", 4), CpuLevel("Efficiency", 4)))) == {}


def test_a_machine_with_cores_of_one_kind_has_no_levels() -> None:
    assert metrics(HardwareSample(cpu_levels=(CpuLevel("cpu", 2, 0.5),))) == {}


def test_several_gpus_are_numbered() -> None:
    sample = HardwareSample(
        gpu_utilization_percent=1.0,
        other_gpus=(
            Gpu(),
            Gpu(utilization_percent=3.0, memory_bytes=2_000_000, memory_total_bytes=8_000_000),
        ),
    )

    assert metrics(sample) == {
        "system/gpu_0_utilization_percentage": 1.0,
        "system/gpu_2_utilization_percentage": 3.0,
        "system/gpu_2_memory_usage_megabytes": 2.0,
        "system/gpu_2_memory_usage_percentage": 25.0,
    }


def test_a_cluster_that_is_no_level_is_named_as_it_is() -> None:
    sample = HardwareSample(cpu_levels=(CpuLevel("P0-Cluster", 4, 0.5), CpuLevel("E-Cluster", 4, 0.0)))

    assert metrics(sample) == {
        "system/cpu_p0_cluster_utilization_percentage": 50.0,
        "system/cpu_e_cluster_utilization_percentage": 0.0,
    }
