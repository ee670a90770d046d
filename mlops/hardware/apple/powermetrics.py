"""`powermetrics -f plist`: clusters, GPU, power, energy and thermal pressure over one interval.

Units, as recorded from macOS 26.2: `*_power` in mW, `*_energy` in mJ, a cluster's `freq_hz` in Hz, and the
GPU's `freq_hz` in MHz. Samples are separated by NUL bytes, and a process that is stopped leaves the last
one torn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlops.hardware.apple.documents import Table, plist, table, text
from mlops.hardware.apple.thermal_pressure import MAPPED, state_of
from mlops.hardware.base import CpuLevel, HardwareSample, number, sampled

_SOURCE = "powermetrics"
_MOST_WATTS = 1000.0
_LONGEST_S = 7 * 86400.0
# A frequency outside of these is in another unit than the one known.
_CLUSTER_HZ = (1e6, 1e10)
_GPU_MHZ = (0.0, 5000.0)
_ROUNDING = 1e-4
"""By how much rounded ratios of one CPU may add up to more than 1."""
_ACTIVE = 0.05
"""A CPU that is active for more than this needs energy."""
_OF_THE_CPU = ("cpu_power_w", "package_power_w", "energy_j")
"""The figures that contain the CPU's counters."""
_REMARKS = {
    "package_power_w": "CPU, GPU and ANE only",
    "energy_j": "CPU, GPU and ANE only",
    "ane_power_w": "an estimate: the Neural Engine has no public utilisation figure",
    "thermal_state": MAPPED,
}


@dataclass(frozen=True, slots=True)
class _Cluster:
    level: CpuLevel
    active: tuple[float | None, ...]
    """Of each CPU, 0 to 1."""


def parse_powermetrics(data: bytes) -> HardwareSample | None:
    """The last complete sample of `powermetrics -f plist`."""
    sample = next(_complete_from_last(data), None)
    if sample is None:
        return None
    processor, gpu = table(sample.get("processor")), table(sample.get("gpu"))
    clusters = _clusters(processor)
    active = [each for cluster in clusters for each in cluster.active]
    elapsed_ns = number(sample.get("elapsed_ns"), 1, _LONGEST_S * 1e9)
    elapsed_s = elapsed_ns / 1e9 if elapsed_ns is not None else None
    state = state_of(sample.get("thermal_pressure"))
    figures: dict[str, object] = {
        "model": text(sample.get("hw_model")),
        "elapsed_s": elapsed_s,
        "cpu_levels": tuple(each.level for each in clusters) or None,
        "cpu_utilization_percent": _percent(_mean(active)),
        "gpu_utilization_percent": _percent(_busy(gpu)),
        "gpu_frequency_mhz": number(gpu.get("freq_hz"), *_GPU_MHZ),
        "cpu_power_w": _watts(processor, "cpu_power"),
        "gpu_power_w": _watts(processor, "gpu_power"),
        "ane_power_w": _watts(processor, "ane_power"),
        "package_power_w": _watts(processor, "combined_power"),
        "energy_j": _joules(processor, elapsed_s),
        "thermal_state": state,
        "thermal_source": _SOURCE if state is not None else None,
    }
    stalled = _stalled(processor, active)
    remarks = tuple(f"{name}: {stalled}" for name in _OF_THE_CPU if stalled and figures[name] is not None)
    if stalled:
        figures |= dict.fromkeys(_OF_THE_CPU)
    remarks += tuple(f"{name}: {what}" for name, what in _REMARKS.items() if figures[name] is not None)
    return sampled(_SOURCE, remarks, **figures)


def _complete_from_last(data: bytes) -> Iterator[Table]:
    for part in reversed(data.split(b"\0")):
        if isinstance(sample := plist(part), dict):
            yield sample


def _clusters(processor: Table) -> list[_Cluster]:
    """All clusters, or none where one cannot be read: a part would pass for the whole."""
    listed = processor.get("clusters")
    found = [_cluster(table(each)) for each in listed] if isinstance(listed, list) else []
    whole = [each for each in found if each is not None]
    return whole if len(whole) == len(found) else []


def _cluster(cluster: Table) -> _Cluster | None:
    name, cpus = text(cluster.get("name")), cluster.get("cpus")
    if name is None or not isinstance(cpus, list) or not cpus:
        return None
    # Not the cluster's own idle ratio: a cluster is active while any of its CPUs is.
    active = tuple(_active(table(each)) for each in cpus)
    hz = number(cluster.get("freq_hz"), 0, _CLUSTER_HZ[1])
    mhz = hz / 1e6 if hz is not None and (hz == 0 or hz >= _CLUSTER_HZ[0]) else None
    return _Cluster(CpuLevel(name, len(cpus), _mean(active), mhz), active)


def _active(cpu: Table) -> float | None:
    if "down_ratio" not in cpu:
        return _at_any_frequency(cpu)
    idle, down = number(cpu.get("idle_ratio"), 0, 1), number(cpu.get("down_ratio"), 0, 1)
    if idle is None or down is None or idle + down > 1 + _ROUNDING:
        return None
    return max(0.0, 1 - idle - down)  # a parked CPU is hardly ever idle: it is down


def _at_any_frequency(cpu: Table) -> float | None:
    """The activity of a CPU of which nothing tells how long it was parked: the time it ran at each of its
    frequencies."""
    states = cpu.get("dvfm_states")
    used = (
        [number(table(each).get("used_ratio"), 0, 1) for each in states] if isinstance(states, list) else []
    )
    known = [each for each in used if each is not None]
    if not known or len(known) < len(used) or sum(known) > 1 + _ROUNDING:
        return None
    return min(1.0, sum(known))


def _busy(gpu: Table) -> float | None:
    idle = number(gpu.get("idle_ratio"), 0, 1)
    return 1 - idle if idle is not None else None


def _mean(ratios: tuple[float | None, ...] | list[float | None]) -> float | None:
    known = [each for each in ratios if each is not None]
    return sum(known) / len(known) if known and len(known) == len(ratios) else None


def _percent(ratio: float | None) -> float | None:
    return ratio * 100 if ratio is not None else None


def _watts(processor: Table, key: str) -> float | None:
    milliwatts = number(processor.get(key), 0, _MOST_WATTS * 1e3)
    return milliwatts / 1e3 if milliwatts is not None else None


def _joules(processor: Table, elapsed_s: float | None) -> float | None:
    most = _MOST_WATTS * (elapsed_s or _LONGEST_S)
    parts = [number(processor.get(f"{of}_energy"), 0, most * 1e3) for of in ("cpu", "gpu", "ane")]
    known = [each for each in parts if each is not None]
    joules = sum(known) / 1e3
    return joules if len(known) == len(parts) and joules <= most else None


def _stalled(processor: Table, active: list[float | None]) -> str | None:
    """Why the CPU's counters cannot be true, as those of macOS 27 that stand still while it works."""
    if not active or not any(_is_zero(processor.get(key)) for key in ("cpu_power", "cpu_energy")):
        return None
    least = sum(each for each in active if each is not None) / len(active)
    return f"the CPU's counters stalled: 0 at {least:.0%} activity" if least > _ACTIVE else None


def _is_zero(value: object) -> bool:
    return number(value, 0, 0) is not None
