"""CPU and memory by psutil, on any system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops.hardware.base import CpuLevel, HardwareReader, HardwareSample, number, sampled

_CPUINFO = Path("/proc/cpuinfo")
_TELLS = (
    *("memory_gb", "memory_used_bytes", "memory_available_bytes", "memory_free_bytes", "swap_used_bytes"),
    "cpu_utilization_percent",
)
_WITH_LEVELS = ("chip_type", "cpu_levels", "cpu_levels.active_ratio")
_LACKING = 1.1
_SHORTEST_S = 0.05
"""Linux counts in ticks of 10 ms: over less time than five of them a load says little."""


class Host:
    """CPU load since the reading before, memory and swap; on Linux the processor's name."""

    name = "psutil"

    def __init__(self, *, levels: bool, cpuinfo: Path = _CPUINFO) -> None:
        """With `levels` all cores are one level `cpu`, and the processor is named; without, both are another
        reader's matter."""
        import psutil

        self._levels = levels
        self._threads = psutil.cpu_count() or 1
        self._cores = psutil.cpu_count(logical=False) or self._threads
        self._chip = _chip(cpuinfo) if levels else None
        self.tells = (*_TELLS, *(_WITH_LEVELS if levels else ()))
        self._before: tuple[float, float] | None = None

    def read(self) -> HardwareSample | None:
        """The figures now; no load on the first reading, nor within 50 ms of the last that had one.

        File caches count as available: they give way to programs. What is not available is used. Raises
        what psutil raises.
        """
        import psutil

        memory = psutil.virtual_memory()
        load = self._load()
        level = CpuLevel("cpu", self._cores, None if load is None else load / 100)
        return sampled(
            self.name,
            ("memory_gb: what the kernel left, a little less than is installed",) if psutil.LINUX else (),
            chip_type=self._chip,
            memory_gb=round(memory.total / 2**30, 1),
            cpu_utilization_percent=load,
            cpu_levels=(level,) if self._levels else None,
            memory_used_bytes=memory.total - memory.available,
            memory_available_bytes=memory.available,
            memory_free_bytes=memory.free,
            swap_used_bytes=psutil.swap_memory().used,
        )

    def _load(self) -> float | None:
        now = cpu_seconds()
        before = self._before
        if before is not None and 0 <= now[1] - before[1] < _SHORTEST_S * self._threads:
            return None  # and the next reading counts from `before` still
        self._before = now
        return None if before is None else load_percent(before, now)


def cpu_seconds() -> tuple[float, float]:
    """Busy and total seconds of all cores together, since the system started."""
    import psutil

    times = psutil.cpu_times()._asdict()
    # Linux counts a guest's time in user and nice, too.
    total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    return total - times["idle"] - times.get("iowait", 0.0), total


def load_percent(before: tuple[float, float], after: tuple[float, float]) -> float | None:
    """The busy part of the time between two (busy, total) pairs, 0 to 100; None when no time passed, or the
    counters went back. Linux' counts of idling may go back a little, which then lacks in the total."""
    busy, total = after[0] - before[0], after[1] - before[1]
    if total < busy <= _LACKING * total:
        return 100.0
    return number(100 * busy / total, 0, 100) if total > 0 else None


def parse_cpuinfo(data: str) -> str | None:
    """The processor's name in Linux' /proc/cpuinfo; None where it has none, as on most ARM boards."""
    for line in data.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == "model name":
            return value.strip() or None
    return None


def _chip(cpuinfo: Path) -> str | None:
    try:
        return parse_cpuinfo(cpuinfo.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None  # not a Linux


if TYPE_CHECKING:
    _conforms: type[HardwareReader] = Host
