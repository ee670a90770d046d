"""Times, states and numbers as MLflow keeps them, and as the index does."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from mlops.entities import RunStatus

LONGEST = 500
"""Characters of a param or tag: what is longer is a document, and no index has it."""

LARGEST = 1.7976931348623157e308
"""As which MLflow keeps infinities; NaN is 0 with a mark."""
_EPOCH, _LAST = datetime.fromtimestamp(0, UTC), datetime.max.replace(tzinfo=UTC)


def moment(milliseconds: int) -> datetime:
    """A time. Clients choose it: what no calendar has is its first or last moment."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return _LAST if milliseconds > 0 else _EPOCH


def status(name: str | None) -> RunStatus:
    """A run's state; it goes on where it has not begun."""
    return RunStatus.__members__.get(name or "", RunStatus.RUNNING)


def number(found: float | None) -> float:
    """A value; NaN for None."""
    if found is None:
        return math.nan
    return math.copysign(math.inf, found) if abs(found) >= LARGEST else found


def stored(value: float) -> float:
    """As MLflow's tables have it."""
    return 0.0 if math.isnan(value) else min(max(value, -LARGEST), LARGEST)
