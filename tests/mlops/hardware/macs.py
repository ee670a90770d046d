"""A Mac that is not here: its commands answer with outputs in Apple's layout and values of our own."""

from __future__ import annotations

import subprocess

from tests.mlops.hardware.apple import inputs

_LINES = inputs.SYSCTL.splitlines(keepends=True)
FACTS, PRESSURE = b"".join(_LINES[:-4]), b"".join(_LINES[-4:])
"""What sysctl prints of what the machine is, and of its memory now."""


class Commands:
    """Runs nothing: gives what each command would print. Calling it is the runner's interface."""

    def __init__(self, **outputs: bytes | Exception) -> None:
        """Outputs by name; one that is not given fails as a missing command does."""
        self.outputs = outputs
        self.asked: list[str] = []

    def __call__(self, command: tuple[str, ...], timeout_s: float) -> bytes:
        assert command[0].startswith("/"), "a command is named by its absolute path"
        assert timeout_s > 0
        name = _name(command)
        self.asked.append(name)
        output = self.outputs.get(name, FileNotFoundError(command[0]))
        if isinstance(output, Exception):
            raise output
        return output


def _name(command: tuple[str, ...]) -> str:
    words = " ".join(command)
    for part, name in (
        ("powermetrics", "powermetrics"),
        ("machdep.cpu", "facts"),
        ("memorystatus", "pressure"),
        ("system_profiler", "profile"),
        ("H11ANEIn", "ane"),
        ("IOAccelerator", "gpu"),
        ("notifyutil", "notify"),
        ("vm_stat", "vm_stat"),
        ("pmset -g batt", "supply"),
        ("pmset", "mode"),
    ):
        if part in words:
            return name
    raise AssertionError(f"an unknown command: {words}")


def mac(**changes: bytes | Exception) -> Commands:
    """An M6 Pro with everything readable but powermetrics, which wants a password."""
    outputs: dict[str, bytes | Exception] = {
        "facts": FACTS,
        "pressure": PRESSURE,
        "profile": inputs.system_profiler(None, inputs.display()),
        "ane": inputs.ioreg_ane(16),
        "gpu": inputs.ioreg_gpu(),
        "notify": inputs.PRESSURE,
        "vm_stat": inputs.VM_STAT,
        "mode": inputs.PMSET,
        "supply": inputs.PMSET_BATTERY,
        "powermetrics": subprocess.CalledProcessError(1, "sudo"),
    }
    return Commands(**{**outputs, **changes})
