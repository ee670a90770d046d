"""Drilling recipes: which steps a unit runs through a stack, and what ends each."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from drilling.physics import RE_ENGAGED_MM, StepRun, Tip

Family = Literal["two speeds", "one speed", "lubricated"]
_END_CODES, _END_SHARES = (2048, 8192, 8, 64), (0.45, 0.2, 0.25, 0.1)
# Torque limit and short circuit of the motor that turns the tool.
_SEIZED = 0x20002
# The shortest genuine logs have 56 rows, at the fastest feed as long as this.
_SHORTEST_MM = 1.9
_SPIKE_A, _SPIKE_SHARE = (8.0, 38.0), 0.012
# The share of ends at the hard stop (code 8) that show it: after a clearance, and after the hard layer.
_CLEARANCE_SPIKES, _LAYER_SPIKES = 0.75, 0.35
# Of recipes that are not lubricated. With those, 2-3 is 74 %, 1-2-3 15 %, 4 alone 9 %, 0-1-2-3 1 %.
_SEQUENCES: tuple[tuple[float, Family, tuple[int, ...]], ...] = (
    (0.70, "two speeds", (2, 3)),
    (0.122, "one speed", (2, 3)),
    (0.14, "two speeds", (1, 2, 3)),
    (0.027, "one speed", (1, 2, 3)),
    (0.011, "two speeds", (0, 1, 2, 3)),
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe: its family, the numbers of its steps, and its speeds in the soft and the hard layer."""

    pset: int
    family: Family
    steps: tuple[int, ...]
    soft_rpm: float
    soft_feed_mm_rev: float
    hard_rpm: float
    hard_feed_mm_rev: float
    last_rpm: float
    over_stroke_mm: float


@dataclass(frozen=True, slots=True)
class HolePoints:
    """The true key points of a hole in mm of |position|."""

    entry_mm: float
    transition_mm: float
    exit_mm: float

    def reached(self, deepest_mm: float) -> dict[str, float | None]:
        """Those that a tool passes on its way to a depth; None for the others."""
        return {name: depth if depth < deepest_mm else None for name, depth in asdict(self).items()}


def choose_recipe(place: float, *, lubricated: bool, rng: np.random.Generator) -> Recipe:
    """The recipe at a place from 0 to 1 in the shares of genuine logs; `rng` gives its speeds."""
    pset, family, steps = (9, "lubricated", (4,)) if lubricated else _at(place)
    hard_rpm, hard_feed = (
        (320.0, 0.030)
        if family == "lubricated"
        else (rng.triangular(750, 960, 1000), rng.triangular(0.030, 0.043, 0.045))
    )
    two = family == "two speeds"
    return Recipe(
        pset=pset,
        family=family,
        steps=steps,
        soft_rpm=round(rng.uniform(4000, 4500)) if two else round(hard_rpm),
        soft_feed_mm_rev=round(rng.uniform(0.038, 0.045), 3) if two else round(hard_feed, 3),
        hard_rpm=round(hard_rpm),
        hard_feed_mm_rev=round(hard_feed, 3),
        last_rpm=round(rng.uniform(1500, 4000)),
        over_stroke_mm=rng.uniform(0.1, 0.5),
    )


def run_recipe(recipe: Recipe, points: HolePoints, tip: Tip, rng: np.random.Generator) -> tuple[StepRun, ...]:
    """The steps as they ran through a hole with those key points."""
    through = points.exit_mm + tip.exit_length_mm
    numbers = list(recipe.steps)
    clearance = len(numbers) > 2
    runs: list[StepRun] = []
    if len(numbers) == 4:
        runs.append(_soft(recipe, numbers.pop(0), points.entry_mm - 0.5, 64, rng))
    if len(numbers) > 1:
        end, code = _end_of_soft(recipe, points, tip, rng)
        runs.append(_soft(recipe, numbers.pop(0), end, code, rng))
    code = 64 if clearance else int(rng.choice(_END_CODES, p=_END_SHARES))
    overrun = rng.uniform(-0.1, 0.2) if code == 2048 else recipe.over_stroke_mm
    if code == 8:
        overrun += RE_ENGAGED_MM
    runs.append(_hard(recipe, numbers.pop(0), through + overrun, code, rng))
    if clearance:
        end = runs[-1].end_mm + rng.uniform(1.0, 3.0)
        jump_back = _jump_back(rng)
        stop = _hard_stop(rng, _CLEARANCE_SPIKES)
        runs.append(StepRun(numbers[0], recipe.last_rpm, 0.05, end, 8, jump_back, *stop))
    return tuple(runs)


def jammed(steps: tuple[StepRun, ...], points: HolePoints, rng: np.random.Generator) -> tuple[StepRun, ...]:
    """The same steps, in rare holes with a spike of torque in the hard layer."""
    if rng.random() >= _SPIKE_SHARE:
        return steps
    depth = rng.uniform(points.transition_mm + 1.0, points.exit_mm)
    place = next(place for place, step in enumerate(steps) if step.end_mm > depth)
    spiked = replace(steps[place], spike_mm=depth, spike_a=rng.uniform(*_SPIKE_A))
    return (*steps[:place], spiked, *steps[place + 1 :])


def run_in_air(recipe: Recipe, start_mm: float, rng: np.random.Generator) -> tuple[StepRun, ...]:
    """The steps of a cycle that meets no material: each runs its stroke."""
    runs: list[StepRun] = []
    end = start_mm
    for place, number in enumerate(recipe.steps):
        end += rng.uniform(2.5, 6.0)
        soft = place == 0 and len(recipe.steps) > 1
        last = place == len(recipe.steps) - 1
        runs.append((_soft if soft else _hard)(recipe, number, end, 8192 if last else 64, rng))
    return tuple(runs)


def aborted(steps: tuple[StepRun, ...], start_mm: float, rng: np.random.Generator) -> tuple[StepRun, ...]:
    """The same cycle, ended early as the tool seizes: the torque jumps in the last rows."""
    end = max(steps[-1].end_mm * rng.uniform(0.1, 0.85), start_mm + _SHORTEST_MM)
    kept = [step for place, step in enumerate(steps) if place == 0 or steps[place - 1].end_mm < end]
    cut = replace(
        kept[-1], end_mm=end, stop_code=_SEIZED, stop_torque_a=0.0, stop_thrust_a=0.0,
        spike_mm=end, spike_a=rng.uniform(*_SPIKE_A),
    )  # fmt: skip
    return (*kept[:-1], cut)


def _at(place: float) -> tuple[int, Family, tuple[int, ...]]:
    reached = 0.0
    for number, (share, family, steps) in enumerate(_SEQUENCES):
        reached += share
        if place < reached:
            return number + 1, family, steps
    return 1, _SEQUENCES[0][1], _SEQUENCES[0][2]


def _end_of_soft(recipe: Recipe, points: HolePoints, tip: Tip, rng: np.random.Generator) -> tuple[float, int]:
    if recipe.family == "two speeds":
        # The unit notices the hard layer by its torque or thrust, part of the way up the ramp.
        noticed = points.transition_mm + tip.length_mm * rng.uniform(0.4, 0.8)
        return noticed, int(rng.choice([1, 4], p=[0.8, 0.2]))
    return rng.uniform(points.entry_mm + 2.0, points.exit_mm - 1.0), 64


def _soft(recipe: Recipe, number: int, end_mm: float, code: int, rng: np.random.Generator) -> StepRun:
    return StepRun(number, recipe.soft_rpm, recipe.soft_feed_mm_rev, end_mm, code, _jump_back(rng))


def _hard(recipe: Recipe, number: int, end_mm: float, code: int, rng: np.random.Generator) -> StepRun:
    stop = _hard_stop(rng, _LAYER_SPIKES) if code == 8 else (0.0, 0.0)
    return StepRun(
        number, recipe.hard_rpm, recipe.hard_feed_mm_rev, end_mm, code, _jump_back(rng), *stop,
        pecking=recipe.family == "lubricated",
    )  # fmt: skip


def _hard_stop(rng: np.random.Generator, spikes: float) -> tuple[float, float]:
    """Torque and thrust that the hard stop adds, in A; it shows in a share `spikes` of the holes."""
    if rng.random() >= spikes:
        return 0.0, 0.0
    return float(rng.uniform(1.0, 5.0)), float(rng.uniform(0.7, 2.2))


def _jump_back(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.09, 0.29))
