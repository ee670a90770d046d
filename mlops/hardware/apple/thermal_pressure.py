"""`notifyutil -g com.apple.system.thermalpressurelevel`, and what thermal pressure means as a state.

The pressures are those of macOS's OSThermalNotification.h, which powermetrics names.
"""

from __future__ import annotations

import re

from mlops.hardware.apple.lines import lines
from mlops.hardware.base import HardwareSample, ThermalState, sampled

MAPPED = "mapped from the thermal pressure, which is another scale"
_SOURCE = "notifyutil"
_KEY = "com.apple.system.thermalpressurelevel"
_LINE = re.compile(re.escape(_KEY) + r" ([0-4])\s*")
_STATES = {
    "Nominal": ThermalState.NOMINAL,
    "Moderate": ThermalState.FAIR,
    "Heavy": ThermalState.SERIOUS,
    "Trapping": ThermalState.CRITICAL,
    "Sleeping": ThermalState.CRITICAL,
}


def state_of(pressure: object) -> ThermalState | None:
    """The state nearest to a named pressure; None for a name that is not known."""
    return _STATES.get(pressure) if isinstance(pressure, str) else None


def parse_thermal_pressure(data: bytes) -> HardwareSample | None:
    """The thermal state by `notifyutil -g`, which exits 0 whatever happened."""
    said = next((each.text for each in lines(data) if each.text.startswith(_KEY)), "")
    if (found := _LINE.fullmatch(said)) is None:
        return None
    level = int(found[1])
    doubt = ("thermal_state: notifyutil prints 0 also for a key that this macOS lacks",)
    return sampled(
        _SOURCE,
        (f"thermal_state: {MAPPED}", *(doubt if level == 0 else ())),
        thermal_state=tuple(_STATES.values())[level],
        thermal_source=_SOURCE,
    )
