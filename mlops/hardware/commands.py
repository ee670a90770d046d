"""The commands of macOS that tell figures, and readers over them.

A hung command costs two seconds, system_profiler five: with all of them hung a reading ends within about
twenty seconds, and after the third they are asked no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlops.hardware import apple
from mlops.hardware.base import HardwareSample
from mlops.hardware.runner import Run

_TIMEOUT_S = 2.0
_MOST_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Source:
    """A command, and what its output tells."""

    name: str
    command: tuple[str, ...]
    parse: Callable[[bytes], HardwareSample | None]
    tells: tuple[str, ...]
    timeout_s: float = _TIMEOUT_S


_SYSCTL = ("/usr/sbin/sysctl", "-i")
FACTS = Source(
    "sysctl facts",
    (
        *(*_SYSCTL, "machdep.cpu.brand_string", "hw.model", "hw.memsize", "sysctl.proc_translated"),
        *("kern.hv_vmm_present", "kern.osproductversion", "hw.nperflevels"),
        *(f"hw.perflevel{n}.{key}" for n in range(_MOST_LEVELS) for key in ("name", "physicalcpu")),
    ),
    apple.parse_sysctl,
    ("chip_type", "model", "memory_gb", "cpu_levels", "rosetta", "virtual_machine", "os_version"),
)
PROFILE = Source(
    "system_profiler",
    ("/usr/sbin/system_profiler", "-json", "SPHardwareDataType", "SPDisplaysDataType"),
    apple.parse_system_profiler,
    ("chip_type", "model", "memory_gb", "gpu_name", "gpu_cores"),
    timeout_s=5.0,
)
ANE = Source(
    "ioreg ANE",
    ("/usr/sbin/ioreg", "-a", "-rc", "H11ANEIn", "-l"),
    apple.parse_ioreg_ane,
    ("ane_available", "ane_cores", "ane_architecture"),
)
GPU = Source(
    "ioreg GPU",
    ("/usr/sbin/ioreg", "-a", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"),
    apple.parse_ioreg_accelerator,
    (
        *("gpu_utilization_percent", "gpu_renderer_utilization_percent", "gpu_tiler_utilization_percent"),
        "gpu_memory_bytes",
    ),
)
PRESSURE = Source(
    "sysctl",
    (
        *(*_SYSCTL, "kern.memorystatus_vm_pressure_level", "kern.memorystatus_level", "vm.swapusage"),
        "iogpu.wired_limit_mb",
    ),
    apple.parse_sysctl,
    ("memory_pressure_level", "memory_free_percent", "swap_used_bytes", "gpu_wired_limit_mb"),
)
THERMAL = Source(
    "notifyutil",
    ("/usr/bin/notifyutil", "-g", "com.apple.system.thermalpressurelevel"),
    apple.parse_thermal_pressure,
    ("thermal_state", "thermal_source"),
)
VM_STAT = Source(
    "vm_stat",
    ("/usr/bin/vm_stat",),
    apple.parse_vm_stat,
    ("memory_free_bytes", "memory_wired_bytes", "memory_compressed_bytes"),
)
MODE = Source("pmset", ("/usr/bin/pmset", "-g"), apple.parse_pmset, ("power_mode",))
SUPPLY = Source("pmset batt", ("/usr/bin/pmset", "-g", "batt"), apple.parse_pmset, ("power_source",))
POWERMETRICS = Source(
    "powermetrics",
    (
        *("/usr/bin/sudo", "-n", "/usr/bin/powermetrics", "-f", "plist", "-i", "5000", "-n", "1"),
        *("--samplers", "cpu_power,gpu_power,ane_power,thermal"),
    ),
    apple.parse_powermetrics,
    (
        *("model", "cpu_utilization_percent", "cpu_levels", "cpu_levels.active_ratio"),
        *("gpu_utilization_percent", "gpu_frequency_mhz", "cpu_power_w", "gpu_power_w", "ane_power_w"),
        *("package_power_w", "energy_j", "elapsed_s", "thermal_state", "thermal_source"),
    ),
    timeout_s=10.0,
)


class Command:
    """What a command prints, as its parser reads it."""

    def __init__(self, source: Source, run: Run) -> None:
        self.name, self.tells = source.name, source.tells
        self._source, self._run = source, run

    def read(self) -> HardwareSample | None:
        """Raises `OSError` or `subprocess.SubprocessError` for a command that is missing, or failed."""
        return self._source.parse(self._run(self._source.command, self._source.timeout_s))


_known: dict[tuple[Run, tuple[str, ...]], HardwareSample] = {}
"""What commands told that do not change their answer. Of the whole process, since the next run's readers need
not ask again: system_profiler alone takes 300 ms."""


class Fact(Command):
    """A command whose answer does not change: asked until it gave one, and once in the process's life."""

    def read(self) -> HardwareSample | None:
        """Raises as `Command.read`."""
        key = (self._run, self._source.command)
        if (known := _known.get(key)) is not None:
            return known
        if (found := super().read()) is not None:
            _known[key] = found
        return found

    def known(self) -> HardwareSample:
        """As `read`, but where that fails nothing is known; raises nothing."""
        try:
            return self.read() or HardwareSample()
        except Exception:  # noqa: BLE001 - as a reader of its own it tells the failure
            return HardwareSample()
