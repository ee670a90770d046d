"""Campaigns: one head with its tools on one panel. No head, tool or panel serves two of them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drilling.physics import Layer, Stack, Tip
from drilling.recipes import HolePoints, Recipe, choose_recipe

Material = Literal["CFRP/titanium", "CFRP/aluminium"]
LEAST_CAMPAIGNS = 32
_MOST_HOLES = 12
_LUBRICATED, _VERSION_9 = 0.092, 0.155
_RARE_VERSIONS = {7: 0.004, 8: 0.008, 11: 0.012}
_ALUMINIUM = 0.08
# How deep the lubricated stacks are, where the tool has left them: the longest logs have 11,466 rows.
_LUBRICATED_MM = (12.0, 17.2)
# The golden ratio and square roots: what one stream gives tells nothing of another.
_STRIDES = (0.6180339887, 0.4142135624, 0.7320508076, 0.6457513111, 0.3166247904)
# Marks the random numbers that places start from.
_PLACES = 6494
_WEAR_PER_HOLE = 0.003
# A noise of memory 0.8 is measured as one of about 0.7 over the sixty samples of a steady stretch.
_SOFT_MEMORY, _HARD_MEMORY = 0.8, 0.4
# How many settings of its speeds a recipe has among the campaigns.
_SETTINGS = 8


@dataclass(frozen=True, slots=True)
class Campaign:
    """What the holes of one panel share. `version` is its unit's, but for a few holes."""

    number: int
    version: int
    lubricated: bool
    material: Material
    tips: tuple[Tip, Tip]
    entry_mm: float
    soft_mm: float
    hard_mm: float
    soft_torque_a: float
    hard_torque_a: float
    soft_thrust_a: float
    hard_thrust_a: float
    air_noise_a: float
    soft_noise_a: float
    hard_noise_a: float
    no_load: float
    first_age: int

    @property
    def head(self) -> str:
        """The drilling head's name."""
        return f"HD{self.number:03d}"

    @property
    def panel(self) -> str:
        """The panel's name."""
        return f"PANEL-{self.number:03d}"

    def tag(self, tool: int) -> str:
        """The name of its tool 0 or 1."""
        return f"TAG{self.number:03d}{'AB'[tool]}"


def holes_per_campaign(holes: int) -> int:
    """How many holes a campaign has in a set of that size, so that the set has 32 campaigns or more."""
    return int(np.clip(holes // LEAST_CAMPAIGNS, 1, _MOST_HOLES))


def make_campaign(number: int, seed: int) -> Campaign:
    """The campaign of that number, the same for the same seed."""
    rng = np.random.default_rng([seed, 0, number])
    place = spread(number, seed)
    lubricated = place < _LUBRICATED
    aluminium = not lubricated and place > 1 - _ALUMINIUM
    length = 1.3 + (0.9 if lubricated else 1.8) * rng.beta(0.8, 1.8)
    tip = Tip(length, length * rng.uniform(1.1, 1.25), rng.uniform(1.0, 1.2))
    second = Tip(tip.length_mm * rng.uniform(0.97, 1.03), tip.exit_length_mm, tip.shape)
    # A full tip cuts at least some of each layer, so that its torque is reached.
    entry, hard = rng.uniform(2.2, 3.7), length + rng.uniform(0.3, 0.75)
    soft = length + rng.uniform(1.9, 3.8)
    if lubricated:
        soft = rng.uniform(*_LUBRICATED_MM) - entry - hard - tip.exit_length_mm
    hard_torque = rng.uniform(6.9, 8.8) if lubricated else rng.uniform(8.8, 14.0)
    hard_thrust = rng.uniform(0.29, 0.58) if lubricated else rng.uniform(0.48, 0.98)
    softness = 0.6 if aluminium else 1.0
    return Campaign(
        number=number,
        version=9 if place < _VERSION_9 else 4,
        lubricated=lubricated,
        material="CFRP/aluminium" if aluminium else "CFRP/titanium",
        tips=(tip, second),
        entry_mm=entry,
        soft_mm=soft,
        hard_mm=hard,
        soft_torque_a=rng.uniform(2.95, 5.8),
        hard_torque_a=hard_torque * softness,
        soft_thrust_a=rng.uniform(0.1, 0.262),
        hard_thrust_a=hard_thrust * softness,
        air_noise_a=rng.uniform(0.013, 0.069),
        soft_noise_a=rng.uniform(0.02, 0.054),
        # Of a lubricated hole's 1.1 A nearly all is the pecking.
        hard_noise_a=rng.uniform(0.08, 0.2) if lubricated else rng.uniform(0.16, 0.58),
        no_load=rng.uniform(0.85, 1.15),
        first_age=int(rng.integers(1, 60)),
    )


def spread(number: int, seed: int, stream: int = 0) -> float:
    """A place from 0 to 1 for each number, evenly spread, so that also small sets keep the shares.

    `stream` is 0 to 4; their places are independent.
    """
    start = np.random.default_rng([seed, _PLACES, stream]).random()
    return float((start + number * _STRIDES[stream]) % 1)


def hole_version(campaign: Campaign, place: float) -> int:
    """The log's version: the unit's, but in about one of eighty holes a rare one."""
    rare = next((version for version, reached in _RARE_VERSIONS.items() if place < reached), None)
    return campaign.version if campaign.lubricated or rare is None else rare


def hole_recipe(campaign: Campaign, place: float, seed: int) -> Recipe:
    """One of the campaign's recipes. A recipe has the same speeds in all holes of a campaign."""
    drawn = choose_recipe(place, lubricated=campaign.lubricated, rng=np.random.default_rng(0))
    rng = np.random.default_rng([seed, 4, drawn.pset, campaign.number % _SETTINGS])
    return choose_recipe(place, lubricated=campaign.lubricated, rng=rng)


def hole_stack(
    campaign: Campaign, recipe: Recipe, tip: Tip, age: int, rng: np.random.Generator
) -> tuple[Stack, HolePoints]:
    """The layers of one hole and its true key points; torque and thrust grow with the tool's age in holes."""
    entry = campaign.entry_mm + rng.normal(0, 0.2)
    transition = entry + campaign.soft_mm + rng.normal(0, 0.04)
    leave = transition + campaign.hard_mm + rng.normal(0, 0.03)
    worn, scatter = 1 + _WEAR_PER_HOLE * age, rng.normal(1, 0.015)
    soft = Layer(
        entry,
        transition,
        campaign.soft_torque_a * worn * scatter,
        campaign.soft_thrust_a * worn,
        campaign.soft_noise_a * rng.uniform(0.85, 1.15),
        _SOFT_MEMORY,
        recipe.soft_feed_mm_rev,
        rng.normal(0.0, 0.003),
    )
    hard = Layer(
        transition,
        leave,
        campaign.hard_torque_a * worn * scatter,
        campaign.hard_thrust_a * worn,
        campaign.hard_noise_a * rng.uniform(0.85, 1.15),
        _HARD_MEMORY,
        recipe.hard_feed_mm_rev,
        rng.normal(0.015, 0.01),
    )
    no_load = campaign.no_load * rng.normal(1, 0.02)
    return Stack((soft, hard), tip, campaign.air_noise_a, no_load), HolePoints(entry, transition, leave)
