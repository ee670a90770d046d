"""What a page shows of MLflow is as of when the index was renewed: it says so where that was not just now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mlops.dashboard.parts import Part
from mlops.store.freshness import Freshness

_BEHIND = timedelta(minutes=1)
_REMEDY = "It is tried again by itself; see the log of the worker: `efficientai-toolkit mlops:logs worker`."


def of_index(value: Any, freshness: Freshness) -> Part:
    """A region's value that is from the index; grey where none of its projects could be read."""
    if freshness.is_away:
        return Part(value, freshness.indexed_at, freshness.failing[0].problem, _REMEDY)
    now, at = datetime.now(UTC), freshness.indexed_at
    is_behind = at is not None and now - at > _BEHIND
    return Part(value, now, index=freshness if freshness.polled or is_behind else None)
