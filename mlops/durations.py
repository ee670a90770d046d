"""Durations as people write them: `90s`, `15min`, `24h`, `7d`."""

from __future__ import annotations

import re

from mlops.errors import InvalidInput

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def read_duration(text: str, field: str) -> float:
    """Seconds. Raises `InvalidInput` of that field for what is no duration above 0."""
    found = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([a-z]{1,3})\s*", text)
    seconds = float(found[1]) * _UNITS.get(found[2], 0.0) if found else 0.0
    if seconds <= 0:
        raise InvalidInput(
            field, text, "is no duration", remedy="Write a number with s, min, h, d or w, as in 24h."
        )
    return seconds
