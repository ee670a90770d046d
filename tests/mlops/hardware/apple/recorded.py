"""Recordings of real Macs, which stand beside the project and not in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.hardware import apple
from tests.mlops.hardware.apple.inputs import Parser

FOLDER = Path(__file__).parents[5] / "shared" / "fixtures" / "apple"

PARSERS: dict[str, Parser] = {
    "powermetrics/pause-monitor_M4Max_macOS26.2_trimmed.plist": apple.parse_powermetrics,
    "powermetrics/macadmins_socpower.plist": apple.parse_powermetrics,
    "powermetrics/macadmins_thermalthrottling.plist": apple.parse_powermetrics,
    "system_profiler/M1_macOS12_tirekick.json": apple.parse_system_profiler,
    "system_profiler/M1_underRosetta_tirekick.json": apple.parse_system_profiler,
    "system_profiler/M5Max_macOS26_tirekick.json": apple.parse_system_profiler,
    "system_profiler/displays_M1Pro_tirekick_trimmed.json": apple.parse_system_profiler,
    "memory/sysctl_pressure2_SYNTHETIC_mlxscope.txt": apple.parse_sysctl,
    "memory/vm_stat_macOS27_mte_SYNTHETIC_mlxscope.txt": apple.parse_vm_stat,
}
"""Recording -> what parses it. Channels of IOReport are read through a library, not from text."""


def recording(name: str) -> bytes:
    """The recording, or a skip where the folder is not there."""
    if not FOLDER.is_dir():
        pytest.skip("no recordings of Macs beside the project (shared/fixtures/apple)")
    return (FOLDER / name).read_bytes()
