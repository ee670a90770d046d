"""Where the torque of a hole is level over depth, and the ramps between its levels.

Nothing here knows steps or recipes: levels come from the hole itself, so that a stack of any order
is read alike. Ramps are drawn out to a line between their 20 % and 50 %, since smoothing over time
rounds their ends but leaves their middle where it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drilling.profile import binned

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
# A factor that lowers a confidence, with its reason.
Doubt = tuple[float, str]
PhaseName = Literal[
    "approach",
    "entry",
    "cutting",
    "transition",
    "breakthrough",
    "clearance",
    "countersink",
    "hard stop",
    "air",
]

SPACING_MM = 0.02
_MOST_CELLS = 20_000
# A tool in air stays under the first; CFRP, the softest layer, takes at least 3 A.
_CONTACT_A, _CONTACT_SHARE, _CUTTING_A = 0.4, 0.08, 1.0
_LEAST_CONTACT_MM, _GAP_MM = 0.6, 0.3
_FLAT_REACH_MM, _FLAT_SHARE, _FLAT_A = 0.25, 0.05, 0.05
_LEAST_FLAT_MM, _LEAST_LAYER_MM = 0.3, 0.8
_CREST_SHARE = 0.92
CONTRAST, THRUST_CONTRAST, _LEAST_THRUST_A = 1.25, 1.6, 0.1
# Without a ramp between them, two levels on the two sides of a step change are one layer at two feeds.
_STEP_CONTRAST, _RAMP_MM = 1.6, 0.9
_BY_THRUST: Doubt = (0.8, "the torque keeps its level: only the thrust tells the layers apart")


@dataclass(frozen=True, slots=True)
class Levels:
    """Smoothed net currents on an even grid of depths, and where the recipe's step changes."""

    depth_mm: Floats
    torque_a: Floats
    thrust_a: Floats
    step_changes_mm: Floats


@dataclass(frozen=True, slots=True)
class Section:
    """What the tool does from a depth on; a layer being cut has its torque and thrust level."""

    name: PhaseName
    from_mm: float
    torque_a: float = 0.0
    thrust_a: float = 0.0
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True)
class _Level:
    """Cells from `first` to `last` with one torque; `crest` where it is only a ramp's top."""

    first: int
    last: int
    torque_a: float
    crest: bool = False


def levels_of(depth: Floats, torque: Floats, thrust: Floats, step_changes_mm: Floats) -> Levels:
    """Samples averaged in each cell of depth, and interpolated where the tool passed without one.

    Depths never fall; the currents are smoothed already. Needs at least one sample.
    """
    span = float(depth[-1] - depth[0])
    count = int(np.clip(np.ceil(span / SPACING_MM), 1, _MOST_CELLS))
    edges = np.linspace(depth[0], max(depth[-1], depth[0] + SPACING_MM), count + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    samples = binned(depth, edges)
    filled = samples > 0
    torque, thrust = (
        np.interp(centres, centres[filled], binned(depth, edges, current)[filled] / samples[filled])
        for current in (torque, thrust)
    )
    return Levels(centres, torque, thrust, step_changes_mm)


def sections_of(levels: Levels) -> tuple[Section, ...]:
    """The sections of a hole in order of depth; none where the tool never cut anything."""
    contacts = _contacts(levels)
    if not contacts:
        return ()
    tops = [float(levels.torque_a[first : last + 1].max()) for first, last in contacts]
    main = int(np.argmax(tops))
    sections = [Section("approach", float(levels.depth_mm[0]))]
    for number, (first, last) in enumerate(contacts):
        if number > main:
            sections += _countersink(levels, first, last)
            continue
        # The torque falls to air between two layers only where they stand apart.
        apart = [section for section in sections if section.name in ("breakthrough", "clearance")]
        found = list(_cut(levels, first, last))
        if apart:
            sections = [section for section in sections if section not in apart]
            found[0] = Section("transition", apart[0].from_mm)
        sections += found
    return tuple(sections)


def _contacts(levels: Levels) -> list[tuple[int, int]]:
    """Stretches of cells in which the tool meets material, joined over short gaps."""
    torque, cell = levels.torque_a, _cell_mm(levels)
    threshold = max(_CONTACT_A, _CONTACT_SHARE * float(np.percentile(torque, 98)))
    stretches = _stretches(torque > threshold)
    joined: list[tuple[int, int]] = []
    for first, last in stretches:
        if joined and (first - joined[-1][1]) * cell < _GAP_MM:
            first = joined.pop()[0]
        joined.append((first, last))
    cuts = [(first, last) for first, last in joined if torque[first : last + 1].max() > _CUTTING_A]
    lasting = [(first, last) for first, last in cuts if (last - first) * cell >= _LEAST_CONTACT_MM]
    # A cycle that ends as the tool enters leaves a short stretch.
    return lasting or [(first, last) for first, last in cuts if last == torque.size - 1]


def _cut(levels: Levels, first: int, last: int) -> Iterator[Section]:
    """The sections of one stretch in material."""
    torque, depth = levels.torque_a, levels.depth_mm
    plateaus = _layer_levels(levels, first, last)
    lead = max(0, first - round(1 / _cell_mm(levels)))
    top = plateaus[0] if plateaus else _top(torque, first, last)
    start, full = _ramp(torque, lead, top.first, 0.0, top.torque_a)
    yield Section("entry", float(depth[start]))
    if split := _split_by_thrust(levels, plateaus):
        start, below = split
        yield _layer(levels, _level(torque, top.first, start), full)
        yield Section("transition", float(depth[start]), doubts=(_BY_THRUST,))
        yield _layer(levels, _level(torque, below, top.last), below)
    elif plateaus:
        yield _layer(levels, top, full)
    for upper, lower in pairwise(plateaus):
        start, full = _ramp(torque, upper.last, lower.first, upper.torque_a, lower.torque_a)
        yield Section("transition", float(depth[start]))
        yield _layer(levels, lower, full)
    yield from _leaving(levels, plateaus[-1] if plateaus else top, last)


def _leaving(levels: Levels, bottom: _Level, last: int) -> Iterator[Section]:
    """What follows the last level of a stretch: a fall, or a climb that the log's end cuts off."""
    torque, depth = levels.torque_a, levels.depth_mm
    # A layer thinner than the tip is left while the tip still enters it.
    low = (bottom.first + bottom.last) // 2 if bottom.crest else bottom.last
    rest = torque[low : last + 1]
    ends = last == torque.size - 1
    if ends and rest[-1] > CONTRAST * bottom.torque_a:
        start, _ = _ramp(torque, low, last, bottom.torque_a, 2 * float(rest[-1]) - bottom.torque_a)
        yield Section("transition", float(depth[start]))
    elif not ends or rest[-1] < 0.8 * bottom.torque_a:
        beyond = min(torque.size - 1, last + round(0.5 / _cell_mm(levels)))
        start, clear = _ramp(torque, low, beyond, bottom.torque_a, 0.0)
        start = low if bottom.crest else start
        yield Section("breakthrough", float(depth[start]))
        if torque[clear] < 0.2 * bottom.torque_a and clear < torque.size - 1:
            yield Section("clearance", float(depth[clear]))


def _split_by_thrust(levels: Levels, plateaus: list[_Level]) -> tuple[int, int] | None:
    """The cells where a harder layer starts, and is cut fully, under one torque level."""
    cell = _cell_mm(levels)
    if len(plateaus) != 1 or (plateaus[0].last - plateaus[0].first) * cell < 2 * _LEAST_LAYER_MM:
        return None
    first, last = plateaus[0].first, plateaus[0].last
    thrust = levels.thrust_a[first : last + 1]
    soft, hard = (
        float(np.median(thrust[: 1 + round(_LEAST_LAYER_MM / cell)])),
        float(np.percentile(thrust, 90)),
    )
    if hard < max(THRUST_CONTRAST * soft, soft + _LEAST_THRUST_A):
        return None
    start, full = _ramp(thrust, 0, thrust.size - 1, soft, hard)
    return first + start, first + full


def _countersink(levels: Levels, first: int, last: int) -> Iterator[Section]:
    level = float(np.median(levels.torque_a[first : last + 1]))
    thrust = float(np.median(levels.thrust_a[first : last + 1]))
    doubt = (0.7, "a second cut below the stack is taken for a countersink")
    yield Section("countersink", float(levels.depth_mm[first]), level, thrust, (doubt,))
    if last < levels.torque_a.size - 1:
        yield Section("clearance", float(levels.depth_mm[last + 1]))


def _layer(levels: Levels, level: _Level, full: int) -> Section:
    thrust = float(np.median(levels.thrust_a[level.first : level.last + 1]))
    return Section("cutting", float(levels.depth_mm[full]), level.torque_a, thrust)


def _layer_levels(levels: Levels, first: int, last: int) -> list[_Level]:
    """The layers' levels in a stretch: flat parts and the highest crest, joined where they are alike."""
    torque, cell = levels.torque_a, _cell_mm(levels)
    flats = [
        _level(torque, start, stop)
        for start, stop in _stretches(_flat(torque, round(_FLAT_REACH_MM / cell)))
        if start >= first and stop <= last and (stop - start) * cell >= _LEAST_FLAT_MM
    ]
    crest = _top(torque, first, last)
    falls_after = torque[last] < _CREST_SHARE * crest.torque_a
    if falls_after and not any(flat.last >= crest.first and flat.first <= crest.last for flat in flats):
        flats = sorted([*flats, crest], key=lambda level: level.first)
    joined: list[_Level] = []
    for flat in flats:
        if joined and _alike(levels, joined[-1], flat):
            flat = _level(torque, joined.pop().first, flat.last)
        joined.append(flat)
    if not joined:
        return []
    highest = max(joined, key=lambda level: level.torque_a)
    return [
        level for level in joined if level is highest or (level.last - level.first) * cell >= _LEAST_LAYER_MM
    ]


def _alike(levels: Levels, upper: _Level, lower: _Level) -> bool:
    low, high = sorted((upper.torque_a, lower.torque_a))
    if high < CONTRAST * low:
        return True
    start, stop = levels.depth_mm[upper.last], levels.depth_mm[lower.first]
    inside = (levels.step_changes_mm >= start) & (levels.step_changes_mm <= stop)
    return bool(inside.any()) and stop - start < _RAMP_MM and high < _STEP_CONTRAST * low


def _flat(torque: Floats, reach: int) -> Flags:
    """Where the torque changes little over twice the reach; near the ends, over what there is."""
    padded = np.pad(torque, reach, mode="edge")
    change = np.abs(padded[2 * reach :] - padded[: torque.size])
    return np.asarray((change < _FLAT_SHARE * torque + _FLAT_A) & (torque > _CUTTING_A))


def _top(torque: Floats, first: int, last: int) -> _Level:
    """The cells around the highest torque of a stretch that are nearly as high."""
    place = first + int(np.argmax(torque[first : last + 1]))
    high = torque[place]
    lower = np.flatnonzero(torque[first : last + 1] < _CREST_SHARE * high) + first
    before, after = lower[lower < place], lower[lower > place]
    start = int(before[-1]) + 1 if before.size else first
    stop = int(after[0]) - 1 if after.size else last
    return _Level(start, stop, float(high), crest=True)


def _level(torque: Floats, first: int, last: int) -> _Level:
    return _Level(first, last, float(np.median(torque[first : last + 1])))


def _ramp(torque: Floats, first: int, last: int, before: float, after: float) -> tuple[int, int]:
    """The cells where a ramp between two levels starts and where nine tenths of it are done."""
    way = (torque[first : last + 1] - before) / (after - before)
    half = _first(way >= 0.5, way.size - 1)
    early = half - _first(way[half::-1] < 0.2, half)
    start = max(0, early - round((half - early) * 2 / 3))
    full = half + _first(way[half:] >= 0.9, way.size - 1 - half)
    return first + start, first + full


def _first(condition: Flags, otherwise: int) -> int:
    found = np.flatnonzero(condition)
    return int(found[0]) if found.size else otherwise


def _stretches(condition: Flags) -> list[tuple[int, int]]:
    """The first and the last cell of each stretch in which a condition holds."""
    edges = np.diff(np.concatenate([[False], condition, [False]]).astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _cell_mm(levels: Levels) -> float:
    return float(levels.depth_mm[1] - levels.depth_mm[0]) if levels.depth_mm.size > 1 else SPACING_MM
