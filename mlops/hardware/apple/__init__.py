"""What a Mac's own tools print, parsed: one pure function a tool, one file a source.

Each takes what the tool wrote and gives what it says, or None. Nothing is raised for output that is cut,
garbled or of another tool, and nothing is read out of it that it does not say.
"""

from __future__ import annotations

from mlops.hardware.apple.ioreg import parse_ioreg_accelerator, parse_ioreg_ane
from mlops.hardware.apple.pmset import parse_pmset
from mlops.hardware.apple.powermetrics import parse_powermetrics
from mlops.hardware.apple.sysctl import parse_sysctl
from mlops.hardware.apple.system_profiler import parse_system_profiler
from mlops.hardware.apple.thermal_pressure import parse_thermal_pressure
from mlops.hardware.apple.vm_stat import parse_vm_stat
from mlops.hardware.base import CpuLevel, HardwareSample, ThermalState

__all__ = [
    "CpuLevel",
    "HardwareSample",
    "ThermalState",
    "parse_ioreg_accelerator",
    "parse_ioreg_ane",
    "parse_pmset",
    "parse_powermetrics",
    "parse_sysctl",
    "parse_system_profiler",
    "parse_thermal_pressure",
    "parse_vm_stat",
]
