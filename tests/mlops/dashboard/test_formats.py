"""How numbers and times are written."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from mlops.dashboard.formats import ago, commands, duration, exact, number, rate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.123456, "0.1235"),
        (-0.5, "−0.5"),
        (12.0, "12"),
        (1234.5, "1\u2009234"),
        (2_000_000.0, "2\u2009000\u2009000"),
        (1e-7, "1.000e−07"),
        (3e9, "3.000e+09"),
        (math.nan, "NaN"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "just now"),
        (4, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (90000, "1 d ago"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert ago(now - timedelta(seconds=seconds), now) == text


def test_durations_and_moments() -> None:
    assert [duration(s) for s in (0.4, 70, 3780)] == ["0 s", "1 min 10 s", "1 h 03 min"]
    assert exact(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05 UTC"


def test_commands_are_code_and_all_is_escaped() -> None:
    assert commands("Run `mlops:start <x>` & wait") == "Run <code>mlops:start &lt;x&gt;</code> &amp; wait"


def test_rates_are_by_the_minute_where_they_are_rare() -> None:
    assert [rate(each) for each in (0, 1 / 300, 0.0999, 0.1, 12.34)] == [
        "0/s", "0.2/min", "6/min", "0.1/s", "12/s",
    ]  # fmt: skip
