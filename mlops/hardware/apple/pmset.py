"""`pmset -g` and `pmset -g batt`: the power mode in use, and where the power comes from.

Nothing of `pmset -g therm`: on Apple silicon it has no warning to give, whatever the temperature.
"""

from __future__ import annotations

import re

from mlops.hardware.apple.lines import lines
from mlops.hardware.base import HardwareSample, sampled

_IN_USE = "Currently in use:"
_SETTING = re.compile(r"\s+(powermode|lowpowermode)\s+(\S+)(?:\s.*)?")
_SOURCE = re.compile(r"Now drawing from '([^']*)'")
# `powermode` knows the high power mode: where both stand, it alone counts.
_MODES = {
    "powermode": {"0": "automatic", "1": "low", "2": "high"},
    "lowpowermode": {"0": "automatic", "1": "low"},
}
_SOURCES = {"AC Power": "ac", "Battery Power": "battery"}


def parse_pmset(data: bytes) -> HardwareSample | None:
    """The settings in use, not those kept for another power source."""
    settings: dict[str, str] = {}
    drawing: list[str] = []
    in_use = False
    for line in lines(data):
        if not line.text[:1].isspace():
            in_use = line.text.rstrip() == _IN_USE
        if in_use and (setting := _SETTING.fullmatch(line.text)):
            settings.setdefault(setting[1], setting[2])
        if source := _SOURCE.match(line.text):
            drawing.append(source[1])
    key = next((each for each in _MODES if each in settings), None)
    return sampled(
        "pmset",
        power_mode=_MODES[key].get(settings[key]) if key is not None else None,
        power_source=_SOURCES.get(drawing[0]) if drawing else None,
    )
