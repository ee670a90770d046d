"""What the gateway's machine is and does. Only what it has: a family without a sample is left out."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import InfoMetricFamily, Metric

from mlops.gateway.metrics.families import Rows, counter, gauge, one_of
from mlops.hardware import Gpu, HardwareSample, MemoryPressure, ThermalState
from mlops.hardware.meter import Disk, MachineReading


def machine_families(reading: MachineReading) -> Iterator[Metric]:
    """The families of one reading that have a sample."""
    for family in _all(reading):
        if family.samples:
            yield family


def _all(reading: MachineReading) -> Iterator[Metric]:
    sample = reading.sample
    yield _info(reading)
    yield from _processors(sample)
    yield from _memory(sample)
    yield from _power(sample)
    yield from _disk(reading.disk)


def _info(reading: MachineReading) -> Metric:
    sample = reading.sample
    told = {
        "chip": sample.chip_type,
        "model": sample.model,
        "gpu": sample.gpu_name,
        "os": reading.operating_system,
        "power_mode": sample.power_mode,
        "power_source": sample.power_source,
    }
    known = {name: text for name, text in told.items() if text}
    return InfoMetricFamily("mlops_hardware", "The gateway's machine.", known)


def _processors(sample: HardwareSample) -> Iterator[Metric]:
    gpus = _gpus(sample)
    yield gauge(
        "mlops_hardware_cpu_utilization_ratio",
        "Busy part of all cores' time since the reading before.",
        (),
        _one(sample.cpu_utilization_percent, 0.01),
    )
    yield gauge(
        "mlops_hardware_cpu_level_utilization_ratio",
        "Busy part of the time of the cores of one kind.",
        ("level",),
        [
            ((level.name,), level.active_ratio)
            for level in sample.cpu_levels or ()
            if level.active_ratio is not None
        ],
    )
    yield gauge(
        "mlops_hardware_gpu_utilization_ratio",
        "Busy part of a GPU's time.",
        ("gpu",),
        [
            ((name,), gpu.utilization_percent / 100)
            for name, gpu in gpus
            if gpu.utilization_percent is not None
        ],
    )
    yield gauge(
        "mlops_hardware_gpu_memory_used_bytes",
        "Memory of a GPU that is in use.",
        ("gpu",),
        [((name,), gpu.memory_bytes) for name, gpu in gpus if gpu.memory_bytes is not None],
    )
    yield gauge(
        "mlops_hardware_gpu_memory_size_bytes",
        "Memory that a GPU has.",
        ("gpu",),
        [((name,), gpu.memory_total_bytes) for name, gpu in gpus if gpu.memory_total_bytes is not None],
    )


def _memory(sample: HardwareSample) -> Iterator[Metric]:
    yield gauge(
        "mlops_hardware_memory_used_bytes",
        "Memory that programs could not have.",
        (),
        _one(sample.memory_used_bytes),
    )
    yield gauge(
        "mlops_hardware_memory_available_bytes",
        "Memory that programs could still have without swapping.",
        (),
        _one(sample.memory_available_bytes),
    )
    yield gauge(
        "mlops_hardware_swap_used_bytes",
        "Memory that was moved to the disk.",
        (),
        _one(sample.swap_used_bytes),
    )
    pressure = sample.memory_pressure_level
    yield gauge(
        "mlops_hardware_memory_pressure",
        "1 for macOS' level of memory pressure, 0 for the others.",
        ("state",),
        () if pressure is None else one_of((), MemoryPressure, pressure),
    )


def _power(sample: HardwareSample) -> Iterator[Metric]:
    parts = {
        "cpu": sample.cpu_power_w,
        **{f"gpu_{name}": gpu.power_w for name, gpu in _gpus(sample)},
        "ane": sample.ane_power_w,
        "dram": sample.dram_power_w,
        "package": sample.package_power_w,
    }
    yield gauge(
        "mlops_hardware_power_watts",
        "Power by part; `package` is CPU, GPU and ANE together.",
        ("part",),
        [((part,), watts) for part, watts in parts.items() if watts is not None],
    )
    yield counter(
        "mlops_hardware_energy_joules", "Energy used since the first scrape.", (), _one(sample.energy_j)
    )
    heat = sample.thermal_state
    yield gauge(
        "mlops_hardware_thermal_state",
        "1 for Apple's thermal state, 0 for the others.",
        ("state",),
        () if heat is None else one_of((), ThermalState, heat),
    )


def _disk(disk: Disk | None) -> Iterator[Metric]:
    if disk is None:
        return
    yield gauge("mlops_disk_size_bytes", "Size of the disk that holds MLOPS_HOME.", (), _one(disk.size))
    yield gauge("mlops_disk_free_bytes", "Space that programs may still write on it.", (), _one(disk.free))


def _gpus(sample: HardwareSample) -> list[tuple[str, Gpu]]:
    first = Gpu(
        utilization_percent=sample.gpu_utilization_percent,
        power_w=sample.gpu_power_w,
        memory_bytes=sample.gpu_memory_bytes,
        memory_total_bytes=sample.gpu_memory_total_bytes,
    )
    return [(str(index), gpu) for index, gpu in enumerate((first, *(sample.other_gpus or ())))]


def _one(value: float | None, scale: float = 1.0) -> Rows:
    return () if value is None else [((), value * scale)]
