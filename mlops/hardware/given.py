"""Figures that a program measured itself, checked like a reader's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mlops.errors import InvalidInput
from mlops.hardware.base import (
    FIGURES,
    CpuLevel,
    HardwareSample,
    MemoryPressure,
    ThermalState,
    number,
    whole,
)

SOURCE = "given"

_STRUCTURED = ("other_gpus", "thermal_source")
_BOUNDS: dict[str, tuple[float, float]] = {
    "_percent": (0, 100),
    "_w": (0, 10_000),
    "_mhz": (0, 20_000),
    "_gb": (0, 1e6),
    "_j": (0, 1e15),
    "_s": (0, 1e12),
}
"""By unit, which is how a figure's name ends: what no machine exceeds."""
_COUNTS = ("_bytes", "_cores", "_mb")
_MOST = 1 << 60
_WORDS: dict[str, tuple[str, ...]] = {
    "power_mode": ("automatic", "low", "high"),
    "power_source": ("ac", "battery"),
    "thermal_state": tuple(ThermalState),
}
_FLAGS = ("mps_available", "ane_available", "rosetta", "virtual_machine")


def given(figures: Mapping[str, Any]) -> HardwareSample:
    """A sample of these figures, named as in `HardwareSample`; None is left out. Raises `InvalidInput` that
    names the figure and its value."""
    if not isinstance(figures, Mapping):
        raise InvalidInput("figures", figures, "is no mapping of figures", remedy="Give a dict, or nothing.")
    checked = {name: _checked(name, value) for name, value in figures.items() if value is not None}
    if "thermal_state" in checked:
        checked["thermal_source"] = SOURCE
    return HardwareSample(**checked, sources=dict.fromkeys(checked, SOURCE))


def _checked(name: object, value: Any) -> Any:
    value = _plain(value)
    if not isinstance(name, str) or name not in FIGURES or name in _STRUCTURED:
        known = ", ".join(figure for figure in FIGURES if figure not in _STRUCTURED)
        raise InvalidInput("figures", name, "is no figure that is known", remedy=f"Use one of: {known}.")
    if name == "cpu_levels":
        return _levels(value)
    if name == "memory_pressure_level":
        return _one_of(name, value, tuple(MemoryPressure), MemoryPressure)
    if name in _WORDS:
        return _one_of(name, value, _WORDS[name], ThermalState if name == "thermal_state" else str)
    if name in _FLAGS:
        return value if isinstance(value, bool) else _refuse(name, value, "is neither True nor False")
    if name.endswith(_COUNTS):
        count = whole(value, 1 if name.endswith("_cores") else 0, _MOST)
        return count if count is not None else _refuse(name, value, "is no count")
    for unit, (low, high) in _BOUNDS.items():
        if name.endswith(unit):
            found = number(value, low, high)
            return (
                found if found is not None else _refuse(name, value, f"is no number from {low:g} to {high:g}")
            )
    return value if isinstance(value, str) and value else _refuse(name, value, "is no text")


def _plain(value: Any) -> Any:
    """A number of numpy or torch as Python's own."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", 1) == 0 else value


def _one_of(name: str, value: Any, known: tuple[Any, ...], kind: Any) -> Any:
    if isinstance(value, bool) or value not in known:
        _refuse(name, value, f"is none of {', '.join(str(each) for each in known)}")
    return kind(value)


def _levels(value: Any) -> tuple[CpuLevel, ...]:
    levels = tuple(value) if isinstance(value, list | tuple) else ()
    if not levels or not all(isinstance(level, CpuLevel) for level in levels):
        _refuse("cpu_levels", value, "is no list of CpuLevel")
    for level in levels:
        for field, low, high in (("cores", 1, 1e5), ("active_ratio", 0, 1), ("frequency_mhz", 0, 20_000)):
            figure = dataclasses.asdict(level)[field]
            if figure is not None and number(figure, low, high) is None:
                _refuse(f"cpu_levels[{level.name}].{field}", figure, f"is no number from {low:g} to {high:g}")
    return levels


def _refuse(name: str, value: Any, rule: str) -> Any:
    remedy = "Give it in the unit that its name ends with, or leave it out when it is unknown."
    raise InvalidInput(name, value, rule, remedy=remedy)
