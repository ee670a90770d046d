"""How much of an inference the log keeps; apart from `mlops.features`, for those that have no need of
arrays."""

from __future__ import annotations

MOST_ROWS = 32
"""Of one inference, evenly spaced."""
TEXT_CHARS = 64
"""Of a text."""
