"""Durations as people write them."""

from __future__ import annotations

import pytest

from mlops.durations import read_duration
from mlops.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15min", 900),
        ("2m", 120),
        ("24h", 86_400),
        ("1.5 h", 5400),
        (" 7d ", 604_800),
        ("1w", 604_800),
    ],
)
def test_read(text: str, seconds: float) -> None:
    assert read_duration(text, "window") == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "0h", "-1h", "1 year", "1e3s", "٣h", "1h30", "9" * 40 + "h"])
def test_what_is_no_duration_is_told_with_its_field(text: str) -> None:
    with pytest.raises(InvalidInput, match="as in 24h") as caught:
        read_duration(text, "window")
    assert caught.value.field == "window"
