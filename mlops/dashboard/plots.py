"""Parameters against a metric, as places in a drawing: parallel coordinates and a scatter of points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlops.dashboard import formats

WIDTH, HEIGHT = 960, 300
"""Of the parallel coordinates, in the drawing's own units."""
SCATTER = (480, 300)
_TOP, _BOTTOM, _SIDE = 52, 28, 60
_LEFT = 64
MOST_AXES = 8
"""Of the parallel coordinates, the metric's included."""
_WIDE = 100.0
"""Positive numbers whose greatest is so many times the least are placed by their logarithms."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values of one name stand, from 0 to 1: numbers by their size, texts by their order."""

    name: str
    places: tuple[float | None, ...]
    """Of each run; None of one without a value."""
    ticks: tuple[tuple[float, str], ...]
    """Places with what stands there."""

    @property
    def heights(self) -> tuple[tuple[float, str], ...]:
        """The ticks where they are in the drawing, of a scale that stands upright."""
        return tuple((height(place), words) for place, words in self.ticks)

    @property
    def widths(self) -> tuple[tuple[float, str], ...]:
        """The ticks of a scatter's lying scale."""
        return tuple((width(place), words) for place, words in self.ticks)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Scales in a drawing, and the run's lines through them."""

    scales: tuple[tuple[float, Scale], ...]
    """From the left, each with where it stands."""
    lines: tuple[tuple[int, str], ...]
    """Place of the run among the runs, and the points of its line; of runs with two values or more."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """A parameter against a metric."""

    across: Scale
    up: Scale
    points: tuple[tuple[int, float, float], ...]
    """Place of the run, and where it stands in the drawing."""


def scale(name: str, values: Sequence[str | float | None]) -> Scale:
    """Where values stand. Texts that are all numbers are numbers."""
    numbers = [_number(value) for value in values]
    if all(number is not None for number, value in zip(numbers, values, strict=True) if value is not None):
        return _of_numbers(name, [number if _is_finite(number) else None for number in numbers])
    texts = sorted({str(value) for value in values if value is not None})
    last = max(1, len(texts) - 1)
    place = {text: index / last if len(texts) > 1 else 0.5 for index, text in enumerate(texts)}
    shown = texts if len(texts) <= 8 else [texts[0], texts[-1]]
    return Scale(
        name,
        tuple(None if value is None else place[str(value)] for value in values),
        tuple((place[text], _short(text)) for text in shown),
    )


def parallel(scales: Sequence[Scale]) -> Drawing:
    """Lines of runs through scales that stand side by side."""
    room = (WIDTH - 2 * _SIDE) / max(1, len(scales) - 1)
    stands = [(_SIDE + room * index, each) for index, each in enumerate(scales)]
    lines = []
    for run in range(len(scales[0].places) if scales else 0):
        points = [(x, each.places[run]) for x, each in stands]
        told = [f"{x:.1f},{height(place):.1f}" for x, place in points if place is not None]
        if len(told) > 1:
            lines.append((run, " ".join(told)))
    return Drawing(tuple(stands), tuple(lines))


def scatter(across: Scale, up: Scale) -> Scatter:
    """A point for each run that has both."""
    points = [
        (run, width(x), height(y))
        for run, (x, y) in enumerate(zip(across.places, up.places, strict=True))
        if x is not None and y is not None
    ]
    return Scatter(across, up, tuple(points))


def height(place: float) -> float:
    """Where a place of a scale that stands upright is in the drawing."""
    return round(HEIGHT - _BOTTOM - place * (HEIGHT - _BOTTOM - _TOP), 1)


def width(place: float) -> float:
    """Where a place of the scatter's lying scale is in the drawing."""
    return round(_LEFT + 16 + place * (SCATTER[0] - _LEFT - 48), 1)


def _of_numbers(name: str, numbers: Sequence[float | None]) -> Scale:
    known = [number for number in numbers if number is not None]
    if not known:
        return Scale(name, tuple(None for _ in numbers), ())
    least, most = min(known), max(known)
    by_size = least > 0 and most / least >= _WIDE
    first, last = (math.log(least), math.log(most)) if by_size else (least, most)

    def place(number: float) -> float:
        if first == last:
            return 0.5
        return ((math.log(number) if by_size else number) - first) / (last - first)

    between = [math.exp((first + last) / 2)] if by_size else [(first + last) / 2]
    ticks = [least] if least == most else [least, *between, most]
    return Scale(
        name,
        tuple(None if number is None else place(number) for number in numbers),
        tuple((place(each), formats.number(float(f"{each:.3g}"))) for each in ticks),
    )


def _number(value: str | float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _is_finite(number: float | None) -> bool:
    return number is not None and math.isfinite(number)


def _short(text: str) -> str:
    return text if len(text) <= 14 else f"{text[:13]}…"
