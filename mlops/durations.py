"""Durations and times as people write them: `90s`, `15min`, `24h`, `7d`; `2026-01-31T08:00`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mlops.errors import InvalidInput

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_AGE = re.compile(r"[0-9.]+\s*[a-z]+")
_TIME_REMEDY = (
    "Give an age as 30s, 15min, 2h, 3d or 1w, or a time as 2026-01-31T08:00 (this machine's) or …+00:00."
)


def read_duration(text: str, field: str) -> float:
    """Seconds. Raises `InvalidInput` of that field for what is no duration above 0."""
    found = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([a-z]{1,3})\s*", text)
    seconds = float(found[1]) * _UNITS.get(found[2], 0.0) if found else 0.0
    if seconds <= 0:
        raise InvalidInput(
            field, text, "is no duration", remedy="Write a number with s, min, h, d or w, as in 24h."
        )
    return seconds


def read_moment(text: str, field: str, now: datetime) -> datetime:
    """A time in UTC, of an age or of a time. Raises `InvalidInput` of that field for what is neither."""
    try:
        if _AGE.fullmatch(text.strip()):
            return now - timedelta(seconds=read_duration(text, field))
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError, InvalidInput):
        raise InvalidInput(field, text, "is no time", remedy=_TIME_REMEDY) from None
