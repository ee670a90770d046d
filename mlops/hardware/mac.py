"""A Mac: one reader for each of the system's commands and interfaces.

Only powermetrics needs root; it is asked through `sudo -n`, and only when the user wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mlops.hardware import apple
from mlops.hardware.base import CpuLevel, HardwareReader, HardwareSample, merged, sampled
from mlops.hardware.energy import AppleEnergy
from mlops.hardware.foundation import ProcessInfo
from mlops.hardware.host import Host, cpu_seconds
from mlops.hardware.levels import as_levels
from mlops.hardware.reader import Fallback, Seldom
from mlops.hardware.runner import Run

_TIMEOUT_S = 2.0
_SYSCTL = ("/usr/sbin/sysctl", "-i")
_MOST_LEVELS = 4
_FACTS = (
    *("machdep.cpu.brand_string", "hw.model", "hw.memsize", "sysctl.proc_translated", "hw.optional.arm64"),
    *("kern.hv_vmm_present", "hw.nperflevels"),
    *(f"hw.perflevel{n}.{key}" for n in range(_MOST_LEVELS) for key in ("name", "physicalcpu")),
)
_PRESSURE = (
    *("kern.memorystatus_vm_pressure_level", "kern.memorystatus_level", "vm.swapusage"),
    "iogpu.wired_limit_mb",
)
_PROFILE = ("/usr/sbin/system_profiler", "-json", "SPHardwareDataType", "SPDisplaysDataType")
_ANE = ("/usr/sbin/ioreg", "-a", "-rc", "H11ANEIn", "-l")
_GPU = ("/usr/sbin/ioreg", "-a", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator")
_THERMAL = ("/usr/bin/notifyutil", "-g", "com.apple.system.thermalpressurelevel")
_MODE = ("/usr/bin/pmset", "-g")
_SUPPLY = ("/usr/bin/pmset", "-g", "batt")
_POWERMETRICS = ("/usr/bin/sudo", "-n", "/usr/bin/powermetrics", "-f", "plist", "-i", "5000", "-n", "1")
_SAMPLERS = ("--samplers", "cpu_power,gpu_power,ane_power,thermal")
_POWERMETRICS_TIMEOUT_S = 10.0


class Command:
    """What a command prints, as its parser reads it."""

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        parse: Callable[[bytes], HardwareSample | None],
        run: Run,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self.name = name
        self._command, self._parse, self._run, self._timeout_s = command, parse, run, timeout_s

    def read(self) -> HardwareSample | None:
        """Raises `OSError` or `subprocess.SubprocessError` for a command that is missing, or failed."""
        return self._parse(self._run(self._command, self._timeout_s))


class Facts:
    """What does not change: chip, cores, memory, GPU, ANE. Read once in the process's life, since
    system_profiler alone takes 300 ms."""

    name = "facts"

    def __init__(self, run: Run) -> None:
        self._run = run

    def read(self) -> HardwareSample | None:
        """All that could be read of it."""
        return _facts(self._run)


@cache
def _facts(run: Run) -> HardwareSample | None:
    known = HardwareSample()
    for name, command, parse in (
        ("sysctl", (*_SYSCTL, *_FACTS), apple.parse_sysctl),
        ("system_profiler", _PROFILE, apple.parse_system_profiler),
        ("ioreg", _ANE, apple.parse_ioreg_ane),
    ):
        try:
            found = Command(name, command, parse, run, timeout_s=5 * _TIMEOUT_S).read()
        except Exception:  # noqa: BLE001 - one that fails leaves its figures unknown
            found = None
        known = merged(known, found) if found is not None else known
    return known if known != HardwareSample() else None


class PressureNotice(Command):
    """Thermal pressure, where NSProcessInfo cannot be asked."""

    def __init__(self, run: Run) -> None:
        super().__init__("notifyutil", _THERMAL, apple.parse_thermal_pressure, run)
        self._facts = Facts(run)

    def read(self) -> HardwareSample | None:
        """None in a virtual machine, where nothing may stand behind a 0."""
        facts = self._facts.read()
        return None if facts is not None and facts.virtual_machine else super().read()


class Powermetrics(Command):
    """Every figure of the chip over five seconds, which the reading takes; as root.

    Its energy is summed over the readings: `elapsed_s` is how long was measured, less than the run.
    """

    def __init__(self, run: Run) -> None:
        command = (*_POWERMETRICS, *_SAMPLERS)
        super().__init__("powermetrics", command, apple.parse_powermetrics, run, _POWERMETRICS_TIMEOUT_S)
        self._facts = Facts(run)
        self._energy_j, self._elapsed_s, self._gap = 0.0, 0.0, False

    def read(self) -> HardwareSample | None:
        """Raises as `Command.read`: mostly because `sudo -n` wants a password."""
        found = super().read()
        if found is None:
            return None
        figures = found.figures
        energy, elapsed = figures.pop("energy_j", None), figures.pop("elapsed_s", None)
        if energy is None or elapsed is None:
            self._gap = True  # a sum that misses a stretch is none
        else:
            self._energy_j, self._elapsed_s = self._energy_j + energy, self._elapsed_s + elapsed
        if not self._gap:
            figures |= {"energy_j": self._energy_j, "elapsed_s": self._elapsed_s}
        if found.cpu_levels is not None:
            figures["cpu_levels"] = as_levels(found.cpu_levels, self._topology())
        return sampled(self.name, found.quality, **figures)

    def _topology(self) -> tuple[CpuLevel, ...] | None:
        facts = self._facts.read()
        return None if facts is None else facts.cpu_levels


def readers(run: Run, *, powermetrics: bool) -> tuple[list[HardwareReader], dict[str, str]]:
    """The readers of a Mac, the most trusted first; and those that could not be opened, with the reason.

    Starting a command costs some milliseconds of a core, so what changes seldom is asked once a minute.
    """
    found: list[HardwareReader] = []
    troubles: dict[str, str] = {}
    try:
        found.append(_energy())
    except Exception as error:  # noqa: BLE001 - absent, or a machine without IOReport: hosted CI, a VM
        troubles[AppleEnergy.name] = f"{type(error).__name__}: {error}"
    if powermetrics:
        found.append(Powermetrics(run))
    found += [
        Facts(run),
        Command("ioreg", _GPU, apple.parse_ioreg_accelerator, run),
        thermal(run),
        Command("sysctl", (*_SYSCTL, *_PRESSURE), apple.parse_sysctl, run),
        Seldom(Command("vm_stat", ("/usr/bin/vm_stat",), apple.parse_vm_stat, run)),
        Seldom(Command("pmset", _MODE, apple.parse_pmset, run)),
        Seldom(Command("pmset batt", _SUPPLY, apple.parse_pmset, run)),
        Host(levels=False),
    ]
    return found, troubles


def thermal(run: Run) -> HardwareReader:
    """The thermal state alone."""
    return Fallback(ProcessInfo(), PressureNotice(run))


def _energy() -> AppleEnergy:
    from zeus_apple_silicon import AppleEnergyMonitor  # type: ignore[import-not-found,unused-ignore]

    return AppleEnergy(AppleEnergyMonitor(), cpu_seconds)
