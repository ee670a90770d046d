"""Lines so small that they stand in a table's cell: drawn on the server, as the path of an SVG."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT = 80, 20
_EDGE = 2


def spark(values: Sequence[float | None], *, from_zero: bool = True) -> str:
    """The path of these values, the oldest first, within `WIDTH` times `HEIGHT`; gaps are gaps, and a value
    between two of them is a dot. `from_zero` has the lower edge be 0, not the least value."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    least = min(0.0, *known) if from_zero else min(known)
    span = max(known) - least or 1.0
    step = (WIDTH - 2 * _EDGE) / max(1, len(values) - 1)
    parts, was_gap = [], True
    for place, value in enumerate(values):
        if value is not None:
            x = _EDGE + place * step
            y = HEIGHT - _EDGE - (value - least) / span * (HEIGHT - 2 * _EDGE)
            parts.append(f"{'M' if was_gap else 'L'}{x:.3g} {y:.3g}{'h0' if was_gap else ''}")
        was_gap = value is None
    return "".join(parts)
