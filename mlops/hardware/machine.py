"""The readers of the machine we are on."""

from __future__ import annotations

import platform
from collections.abc import Callable

from mlops.hardware import runner
from mlops.hardware.base import HardwareReader, HardwareSample, ThermalState, sampled
from mlops.hardware.reader import Readers


def open_readers(
    *,
    powermetrics: bool = False,
    import_torch: bool = False,
    system: str = platform.system(),
    run: runner.Run = runner.run,
) -> Readers:
    """All readers of this machine, for one run: what fails is remembered, and powers need a time to be
    measured over. `powermetrics` asks it through `sudo -n`, which never prompts, on a Mac."""
    from mlops.hardware.host import Host

    if system == "Darwin":
        from mlops.hardware import mac
        from mlops.hardware.mps import Mps

        readers, troubles = mac.readers(run, powermetrics=powermetrics)
        return Readers([*readers, Mps(import_torch=import_torch)], troubles, system)
    found: list[HardwareReader] = [Host(levels=True), NoApple(system)]
    from mlops.hardware.nvidia import nvidia

    cards = nvidia()
    return Readers([cards, *found] if cards is not None else found, system=system)


class NoApple:
    """What is known of a machine that is no Mac."""

    def __init__(self, system: str) -> None:
        self.name = system

    def read(self) -> HardwareSample | None:
        """Neither an Apple GPU nor a Neural Engine."""
        return sampled(self.name, mps_available=False, ane_available=False)


def thermal_state(
    *, system: str = platform.system(), run: runner.Run = runner.run
) -> Callable[[], ThermalState | None]:
    """A function that reads the thermal state alone; it gives None where nothing tells it."""
    if system != "Darwin":
        return lambda: None
    from mlops.hardware import mac

    reader = mac.thermal(run)

    def read() -> ThermalState | None:
        found = reader.read()
        return None if found is None else found.thermal_state

    return read


def operating_system() -> str:
    """Name and version: `macOS 26.2`, `Debian GNU/Linux 13 (trixie)`."""
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
