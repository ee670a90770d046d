"""notifyutil: a state for the one key, and doubt where it answers 0."""

from __future__ import annotations

import pytest

from mlops.hardware.apple import ThermalState, parse_thermal_pressure

KEY = b"com.apple.system.thermalpressurelevel"
MAPPED = "thermal_state: mapped from the thermal pressure, which is another scale"


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize(
    ("level", "state"),
    [
        (b"0", ThermalState.NOMINAL),
        (b"1", ThermalState.FAIR),
        (b"2", ThermalState.SERIOUS),
        (b"3", ThermalState.CRITICAL),
        (b"4", ThermalState.CRITICAL),
    ],
)
def test_levels_are_states(level: bytes, state: ThermalState, end: bytes) -> None:
    sample = parse_thermal_pressure(KEY + b" " + level + end)
    assert sample is not None
    assert sample.figures == {"thermal_state": state, "thermal_source": "notifyutil"}
    assert sample.quality[0] == MAPPED


def test_zero_is_doubted_since_notifyutil_prints_it_for_any_key() -> None:
    sample = parse_thermal_pressure(KEY + b" 0\n")
    assert sample is not None
    assert sample.quality == (
        MAPPED,
        "thermal_state: notifyutil prints 0 also for a key that this macOS lacks",
    )
    hot = parse_thermal_pressure(KEY + b" 2\n")
    assert hot is not None
    assert hot.quality == (MAPPED,)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0\n",
        KEY,
        KEY + b" ",
        KEY + b" \n",
        KEY + b" 5\n",
        KEY + b" -1\n",
        KEY + b" 10\n",
        KEY + b"0\n",
        KEY + b" \xd9\xa2\n",  # an Arabic digit
        KEY + b": Failed with code 9\n",
        KEY + b"s 0\n",
        b"com.apple.system.no-such-key 0\n",
        b"x" + KEY + b" 1\n",
        b"\xff\xfe" + KEY + b" 1\n",
    ],
)
def test_anything_else_is_no_reading(data: bytes) -> None:
    assert parse_thermal_pressure(data) is None
