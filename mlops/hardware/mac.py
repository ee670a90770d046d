"""A Mac: one reader for each of the system's commands and interfaces.

Only powermetrics needs root; it is asked through `sudo -n`, and only when the user wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlops.hardware import commands, machine
from mlops.hardware.base import HardwareReader, HardwareSample, remarked, sampled
from mlops.hardware.commands import Command, Fact
from mlops.hardware.energy import AppleEnergy
from mlops.hardware.foundation import ProcessInfo
from mlops.hardware.host import Host, cpu_seconds
from mlops.hardware.levels import as_levels
from mlops.hardware.reader import Fallback, Seldom, Unopened
from mlops.hardware.runner import Run


class PressureNotice(Command):
    """Thermal pressure, where NSProcessInfo cannot be asked."""

    def __init__(self, run: Run) -> None:
        super().__init__(commands.THERMAL, run)
        self._facts = Fact(commands.FACTS, run)

    def read(self) -> HardwareSample | None:
        """None in a virtual machine, where nothing may stand behind a 0."""
        return None if self._facts.known().virtual_machine else super().read()


class Powermetrics(Command):
    """Every figure of the chip over five seconds, which the reading takes; as root.

    Its energy is the sum over those readings that had one: `elapsed_s` is how long was measured, less than
    the run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(commands.POWERMETRICS, run)
        self._facts = Fact(commands.FACTS, run)
        self._energy_j, self._elapsed_s = 0.0, 0.0
        self._on_energy: tuple[str, ...] = ()

    def read(self) -> HardwareSample | None:
        """Raises as `Command.read`: mostly because `sudo -n` wants a password."""
        found = super().read()
        if found is None:
            return None
        figures = found.figures
        self._add(figures.pop("energy_j", None), figures.pop("elapsed_s", None), found.quality)
        quality = found.quality
        if self._elapsed_s > 0:
            figures |= {"energy_j": self._energy_j, "elapsed_s": self._elapsed_s}
            quality = (*(each for each in quality if remarked(each) != "energy_j"), *self._on_energy)
        if found.cpu_levels is not None:
            figures["cpu_levels"] = as_levels(found.cpu_levels, self._facts.known().cpu_levels)
        return sampled(self.name, quality, **figures)

    def _add(self, energy_j: float | None, elapsed_s: float | None, quality: tuple[str, ...]) -> None:
        if energy_j is None or elapsed_s is None:
            return
        self._energy_j, self._elapsed_s = self._energy_j + energy_j, self._elapsed_s + elapsed_s
        self._on_energy = tuple(each for each in quality if remarked(each) == "energy_j")


def readers(
    run: Run, *, powermetrics: bool, open_monitor: Callable[[], Any]
) -> tuple[list[HardwareReader], list[Unopened]]:
    """The readers of a Mac, the most trusted first; and those that could not be opened, with the reason.

    Starting a command costs some milliseconds of a core, so what changes seldom is asked once a minute.
    """
    facts = Fact(commands.FACTS, run)
    asked: list[HardwareReader | Unopened] = [_energy(facts, open_monitor)]
    if powermetrics:
        asked.append(Powermetrics(run))
    asked += [facts, Fact(commands.PROFILE, run), Fact(commands.ANE, run), Command(commands.GPU, run)]
    if machine.is_forked():
        asked.append(Unopened(ProcessInfo.name, ProcessInfo.tells, machine.FORKED))
    asked += [
        thermal(run),
        Command(commands.PRESSURE, run),
        Host(levels=False),  # before vm_stat, whose free memory is a minute old
        *(Seldom(Command(each, run)) for each in (commands.VM_STAT, commands.MODE, commands.SUPPLY)),
    ]
    opened = [each for each in asked if not isinstance(each, Unopened)]
    return opened, [each for each in asked if isinstance(each, Unopened)]


def thermal(run: Run) -> HardwareReader:
    """The thermal state alone."""
    notice = PressureNotice(run)
    return notice if machine.is_forked() else Fallback(ProcessInfo(), notice)


def zeus() -> Any:
    """zeus' monitor of IOReport's counters. It ends the process where there are none: see `_energy`."""
    from zeus_apple_silicon import AppleEnergyMonitor  # type: ignore[import-not-found,unused-ignore]

    return AppleEnergyMonitor()


def _energy(facts: Fact, open_monitor: Callable[[], Any]) -> AppleEnergy | Unopened:
    """zeus 1.1 uses what IOReport gives without asking whether it is there, so nothing is opened in a virtual
    machine, nor where that is not known."""
    virtual = None if machine.is_forked() else facts.known().virtual_machine
    if machine.is_forked():
        reason = machine.FORKED
    elif virtual is None:
        reason = "not asked, since it is not known whether this is a virtual machine, which has no counters"
    elif virtual:
        reason = "a virtual machine has no counters"
    else:
        try:
            return AppleEnergy(open_monitor(), cpu_seconds)
        except Exception as error:  # noqa: BLE001 - not installed, or not for this chip
            reason = f"{type(error).__name__}: {error}"
    return Unopened(AppleEnergy.name, AppleEnergy.tells, reason)


if TYPE_CHECKING:
    _conforms: tuple[type[HardwareReader], ...] = (AppleEnergy, PressureNotice, Powermetrics, Fact)
