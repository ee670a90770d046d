"""The course of a run's primary metric, so short that it stands in a table's cell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

BUCKETS = 16
"""Of one width each; a spark has the least and the greatest value of each."""


@dataclass(frozen=True, slots=True)
class Spark:
    """A metric over the steps from 0 on."""

    key: str
    width: int
    """Steps of a bucket: a power of two."""
    least: tuple[float, ...] = ()
    """Of each bucket; NaN where it has no number."""
    greatest: tuple[float, ...] = ()

    def with_values(self, width: int, found: Iterable[tuple[int, float, float]]) -> Spark:
        """With further values: of places in buckets of `width`, not less than its own, the least and the
        greatest."""
        least, greatest = ([math.nan] * BUCKETS for _ in range(2))
        grown = width // self.width
        own = (
            (place // grown, *both) for place, both in enumerate(zip(self.least, self.greatest, strict=True))
        )
        for place, low, high in (*own, *found):
            place = min(place, BUCKETS - 1)
            least[place] = min(low, least[place], key=_nan_last)
            greatest[place] = -min(-high, -greatest[place], key=_nan_last)
        return Spark(self.key, width, tuple(least), tuple(greatest))

    def values(self) -> list[float]:
        """Numbers to be drawn in their order: of each bucket both, and first what is nearer to the one
        before, as a curve would come there."""
        pairs = [pair for pair in zip(self.least, self.greatest, strict=True) if not math.isnan(pair[0])]
        drawn: list[float] = []
        before = pairs[0][pairs[0] > pairs[-1]] if pairs else math.nan
        for pair in pairs:
            drawn += dict.fromkeys(sorted(pair, key=lambda value: abs(value - before)))
            before = drawn[-1]
        return drawn


def width_of(last_step: int) -> int:
    """Of buckets that reach as far as this step."""
    width = 1
    while last_step >= width * BUCKETS:
        width *= 2
    return width


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value
