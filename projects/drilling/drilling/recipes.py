"""Drilling recipes: which steps a unit runs through a stack, and what ends each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drilling.physics import StepRun, Tip

Family = Literal["two speeds", "one speed"]
_END_CODES, _END_SHARES = (2048, 8192, 8, 64), (0.45, 0.2, 0.25, 0.1)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe: its family, the numbers of its steps, and its speeds in the soft and the hard layer."""

    family: Family
    steps: tuple[int, ...]
    soft_rpm: float
    soft_feed_mm_rev: float
    hard_rpm: float
    hard_feed_mm_rev: float
    last_rpm: float


def choose_recipe(rng: np.random.Generator) -> Recipe:
    """A recipe drawn with the shares of genuine logs: 2-3 in most, 1-2-3, 4 alone, rarely 0-1-2-3."""
    two_speeds = rng.random() < 0.75
    sequences: list[tuple[int, ...]] = [(2, 3), (1, 2, 3), (0, 1, 2, 3)] if two_speeds else [(2, 3), (4,)]
    shares = [0.75, 0.23, 0.02] if two_speeds else [0.74, 0.26]
    hard_rpm, hard_feed = rng.uniform(750, 1000), rng.uniform(0.032, 0.045)
    return Recipe(
        family="two speeds" if two_speeds else "one speed",
        steps=sequences[rng.choice(len(sequences), p=shares)],
        soft_rpm=float(rng.uniform(4000, 4500)) if two_speeds else float(hard_rpm),
        soft_feed_mm_rev=float(rng.uniform(0.038, 0.045)) if two_speeds else float(hard_feed),
        hard_rpm=float(hard_rpm),
        hard_feed_mm_rev=float(hard_feed),
        last_rpm=float(rng.uniform(1500, 4000)),
    )


def run_recipe(
    recipe: Recipe, points: Mapping[str, float], tip: Tip, rng: np.random.Generator
) -> tuple[StepRun, ...]:
    """The steps as they ran through a hole with those key points."""
    through = points["exit_mm"] + tip.exit_length_mm
    if recipe.family == "one speed":
        return _one_speed(recipe, points, through, rng)
    return _two_speeds(recipe, points, tip, through, rng)


def _two_speeds(
    recipe: Recipe, points: Mapping[str, float], tip: Tip, through: float, rng: np.random.Generator
) -> tuple[StepRun, ...]:
    # The unit notices the hard layer by its torque or thrust, part of the way up the ramp.
    noticed = points["transition_mm"] + tip.length_mm * rng.uniform(0.2, 0.6)
    numbers = list(recipe.steps)
    runs: list[StepRun] = []
    if len(numbers) == 4:
        runs.append(_soft(recipe, numbers.pop(0), points["entry_mm"] - 0.5, 64, rng))
    runs.append(_soft(recipe, numbers.pop(0), noticed, int(rng.choice([1, 4], p=[0.8, 0.2])), rng))
    clearance = len(numbers) == 2
    end_code = 64 if clearance else _end_code(rng)
    runs.append(_hard(recipe, numbers.pop(0), through + rng.uniform(0.2, 1.0), end_code, rng))
    if clearance:
        end = runs[-1].end_mm + rng.uniform(1.0, 3.0)
        torque = float(rng.uniform(2.0, 5.0))
        runs.append(StepRun(numbers[0], recipe.last_rpm, 0.05, end, 8, _jump_back(rng), torque))
    return tuple(runs)


def _one_speed(
    recipe: Recipe, points: Mapping[str, float], through: float, rng: np.random.Generator
) -> tuple[StepRun, ...]:
    end = through + rng.uniform(0.2, 1.2)
    last = _hard(recipe, recipe.steps[-1], end, _end_code(rng), rng)
    if len(recipe.steps) == 1:
        return (last,)
    change = rng.uniform(points["entry_mm"] + 2.0, points["exit_mm"] - 1.0)
    return (_soft(recipe, recipe.steps[0], change, 64, rng), last)


def _soft(recipe: Recipe, number: int, end_mm: float, code: int, rng: np.random.Generator) -> StepRun:
    return StepRun(number, recipe.soft_rpm, recipe.soft_feed_mm_rev, end_mm, code, _jump_back(rng))


def _hard(recipe: Recipe, number: int, end_mm: float, code: int, rng: np.random.Generator) -> StepRun:
    return StepRun(number, recipe.hard_rpm, recipe.hard_feed_mm_rev, end_mm, code, _jump_back(rng))


def _jump_back(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.09, 0.29))


def _end_code(rng: np.random.Generator) -> int:
    return int(rng.choice(_END_CODES, p=_END_SHARES))
