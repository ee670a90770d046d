"""pmset: the power mode in use and the power source, and never the heat."""

from __future__ import annotations

import pytest

from mlops.hardware.apple import parse_pmset
from tests.mlops.hardware.apple.inputs import PMSET, PMSET_BATTERY, PMSET_CUSTOM, PMSET_THERM


def mode_of(settings: str) -> str | None:
    sample = parse_pmset(f"Currently in use:\n standby 1\n{settings}".encode())
    return sample.power_mode if sample is not None else None


def test_the_mode_in_use_parses() -> None:
    sample = parse_pmset(PMSET)
    assert sample is not None
    assert sample.figures == {"power_mode": "high"}
    assert sample.sources == {"power_mode": "pmset"}


@pytest.mark.parametrize(
    ("setting", "mode"),
    [
        (" powermode            0\n", "automatic"),
        (" powermode            1\n", "low"),
        (" powermode            2\n", "high"),
        (" powermode            2", "high"),
        (" lowpowermode         0\n", "automatic"),
        (" lowpowermode         1\n", "low"),
        ("\tlowpowermode\t1 (imposed)\r\n", "low"),
        (" lowpowermode         0\n powermode            2\n", "high"),
        (" powermode            2\n lowpowermode         0\n", "high"),
        (" powermode            9\n lowpowermode         1\n", None),
        (" powermode            3\n", None),
        (" powermode            -1\n", None),
        (" powermode\n", None),
        (" lowpowermode         2\n", None),
        (" highpowermode        1\n", None),
        ("powermode            2\n", None),
    ],
)
def test_modes_are_named(setting: str, mode: str | None) -> None:
    assert mode_of(setting) == mode


def test_settings_kept_for_a_power_source_are_not_in_use() -> None:
    assert parse_pmset(PMSET_CUSTOM) is None
    sample = parse_pmset(PMSET + PMSET_CUSTOM)
    assert sample is not None
    assert sample.power_mode == "high"
    assert parse_pmset(b" powermode            2\n") is None


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("Now drawing from 'AC Power'\n", "ac"),
        ("Now drawing from 'Battery Power'", "battery"),
        ("Now drawing from 'UPS Power'\n", None),
        ("Now drawing from 'AC Pow", None),
        (" Now drawing from 'AC Power'\n", None),
    ],
)
def test_the_power_source_is_named(line: str, source: str | None) -> None:
    sample = parse_pmset(line.encode())
    assert (sample.power_source if sample is not None else None) == source


def test_the_batterys_own_line_gives_nothing() -> None:
    sample = parse_pmset(PMSET_BATTERY)
    assert sample is not None
    assert sample.figures == {"power_source": "battery"}
    assert "1234567" not in repr(sample)


@pytest.mark.parametrize("data", [PMSET_THERM, b"CPU_Scheduler_Limit \t= 100\nCPU_Speed_Limit \t= 100\n"])
def test_no_thermal_state_is_inferred_from_pmset(data: bytes) -> None:
    assert parse_pmset(data) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xff\n", b"Currently in use:\n", b"Currently in use"])
def test_without_a_setting_there_is_no_sample(data: bytes) -> None:
    assert parse_pmset(data) is None
