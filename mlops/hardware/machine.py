"""The readers of the machine we are on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mlops.hardware import runner
from mlops.hardware.base import HardwareReader, HardwareSample, ThermalState, sampled
from mlops.hardware.reader import Readers

FORKED = "Apple's frameworks cannot be relied on in a forked process"

_forked = False
"""Of this process: CoreFoundation and Objective-C may abort a child that was forked and runs no program of
its own. Set where `fork` says so, since what is imported later cannot know."""


def _after_fork_in_child() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_after_fork_in_child)


def is_forked() -> bool:
    """Whether this process was forked from one that had imported this module."""
    return _forked


def prepare(system: str = platform.system()) -> None:
    """Initialise Apple's frameworks in the caller's thread: a fork while another thread does would break the
    child. Nothing elsewhere; raises nothing."""
    if system == "Darwin":
        with suppress(Exception):
            from mlops.hardware.foundation import ProcessInfo

            ProcessInfo().read()


def open_readers(
    *,
    powermetrics: bool = False,
    import_torch: bool = False,
    system: str = platform.system(),
    run: runner.Run = runner.run,
    open_monitor: Callable[[], Any] | None = None,
) -> Readers:
    """All readers of this machine, for one run: what fails is remembered, and powers need a time to be
    measured over. `powermetrics` asks it through `sudo -n`, which never prompts, on a Mac; `open_monitor`
    opens another energy monitor there than zeus'."""
    if system == "Darwin":
        from mlops.hardware import mac
        from mlops.hardware.mps import Mps

        readers, unopened = mac.readers(run, powermetrics=powermetrics, open_monitor=open_monitor or mac.zeus)
        return Readers([*readers, Mps(import_torch=import_torch)], unopened, system)
    from mlops.hardware.host import Host
    from mlops.hardware.nvidia import nvidia

    found: list[HardwareReader] = [Host(levels=True), NoApple(system)]
    cards = nvidia()
    return Readers([cards, *found] if cards is not None else found, system=system)


class NoApple:
    """What is known of a machine that is no Mac."""

    tells = ("mps_available", "ane_available")

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


def operating_system(sample: HardwareSample | None = None) -> str:
    """Name and version: `macOS 26.2`, `Debian GNU/Linux 13 (trixie)`; of a Mac the version that `sample`
    has."""
    if sample is not None and sample.os_version is not None:
        return f"macOS {sample.os_version}"
    if platform.system() == "Darwin":
        version = platform.mac_ver()[0]
        # A Python built for an older macOS is told 16 in place of 26.
        return "macOS" if not version or version.split(".")[0] == "16" else f"macOS {version}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
