"""Energy and power of an Apple chip without root, from IOReport's counters.

zeus-apple-silicon reads them (`AppleEnergyMonitor.get_cumulative_energy`: mJ for each part, None where the
chip has no such counter). They are published in batches, about two seconds apart on M5, so power is told over
five seconds or more; on macOS 27 the CPU's counter may stand still while the CPU works, and what stands still
is not published.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlops.hardware.base import HardwareSample, sampled

WINDOW_S = 5.0
"""The shortest time that power and energy are told over, in seconds."""

_PARTS = {"cpu": "cpu_total_mj", "gpu": "gpu_mj", "ane": "ane_mj", "dram": "dram_mj"}
_BUSY = 0.05
"""A CPU that was active for more of the time than this cannot have used nothing."""
_STALLED = "the CPU's counter stalled: 0 J while it was active"
_MISSING = "the counter of CPU, GPU or ANE is missing"
_PARTS_ONLY = "CPU, GPU and ANE only"
_ESTIMATE = "an estimate: the Neural Engine has no public utilisation figure"


@dataclass(frozen=True, slots=True)
class _Entry:
    """The counters at a moment."""

    at_s: float
    energy_j: dict[str, float | None]
    busy_s: float
    total_s: float


class AppleEnergy:
    """Power over the last five seconds or more, and energy since it was opened."""

    name = "IOReport"
    tells = (
        *("cpu_power_w", "gpu_power_w", "ane_power_w", "dram_power_w", "package_power_w"),
        *("energy_j", "elapsed_s"),
    )

    def __init__(
        self,
        monitor: Any,
        cpu_times: Callable[[], tuple[float, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`monitor` is zeus' `AppleEnergyMonitor`; `cpu_times` gives all cores' busy and total seconds
        together, since whenever."""
        self._monitor, self._cpu_times, self._clock = monitor, cpu_times, clock
        self._first = self._now()
        self._entries = deque([self._first])
        self._stalled = False

    def read(self) -> HardwareSample | None:
        """Nothing but a remark within the first five seconds. Raises what zeus raises."""
        now = self._now()
        elapsed = now.at_s - self._first.at_s
        if elapsed < WINDOW_S:
            return sampled(self.name, (f"energy_j: told from {WINDOW_S:.0f} s on",))
        while len(self._entries) > 1 and now.at_s - self._entries[1].at_s >= WINDOW_S:
            self._entries.popleft()
        before = self._entries[0]
        self._entries.append(now)
        power = _used(before, now, per_s=now.at_s - before.at_s)
        stalls = power["cpu"] == 0 and _activity(before, now) > _BUSY
        self._stalled |= stalls
        if stalls:
            power["cpu"] = None
        package, energy = _together(power), _together(_used(self._first, now))
        remarks = {
            "ane_power_w": _ESTIMATE,
            "package_power_w": _PARTS_ONLY if package is not None else _MISSING,
            "energy_j": _PARTS_ONLY if energy is not None else _MISSING,
        }
        if stalls:
            remarks |= dict.fromkeys(("cpu_power_w", "package_power_w"), _STALLED)
        if self._stalled:
            energy, remarks["energy_j"] = None, _STALLED
        return sampled(
            self.name,
            tuple(f"{figure}: {remark}" for figure, remark in remarks.items()),
            cpu_power_w=power["cpu"],
            gpu_power_w=power["gpu"],
            ane_power_w=power["ane"],
            dram_power_w=power["dram"],
            package_power_w=package,
            energy_j=energy,
            elapsed_s=elapsed,
        )

    def _now(self) -> _Entry:
        counters = self._monitor.get_cumulative_energy()
        read = {part: getattr(counters, name, None) for part, name in _PARTS.items()}
        energy = {part: None if value is None else value / 1000 for part, value in read.items()}
        return _Entry(self._clock(), energy, *self._cpu_times())


def _used(before: _Entry, now: _Entry, per_s: float = 1.0) -> dict[str, float | None]:
    """Each part's use between two moments; None where a counter is missing, or went back."""
    used: dict[str, float | None] = {}
    for part in _PARTS:
        begun, ended = before.energy_j[part], now.energy_j[part]
        known = begun is not None and ended is not None and ended >= begun
        used[part] = (ended - begun) / per_s if known else None  # type: ignore[operator]  # both are known
    return used


def _together(used: dict[str, float | None]) -> float | None:
    """CPU, GPU and ANE, as powermetrics' `combined_power`, too; None where one is missing."""
    parts = [used[part] for part in ("cpu", "gpu", "ane")]
    known = [value for value in parts if value is not None]
    return sum(known) if len(known) == len(parts) else None


def _activity(before: _Entry, now: _Entry) -> float:
    total = now.total_s - before.total_s
    return (now.busy_s - before.busy_s) / total if total > 0 else 0.0
