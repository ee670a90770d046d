"""Campaigns: one head with its tools on one panel. No head, tool or panel serves two of them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drilling.physics import Layer, Stack, Tip
from drilling.recipes import HolePoints, Recipe, choose_recipe

Material = Literal["CFRP/titanium", "CFRP/aluminium"]
LEAST_CAMPAIGNS = 32
_MOST_HOLES = 40
_LUBRICATED, _VERSION_9 = 0.092, 0.155
_RARE_VERSIONS = {7: 0.004, 8: 0.008, 11: 0.012}
_ALUMINIUM = 0.12
_GOLDEN = 0.6180339887
_WEAR_PER_HOLE = 0.003


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
    length = rng.uniform(1.35, 2.7)
    tip = Tip(length, length * rng.uniform(1.0, 1.25), rng.uniform(1.0, 1.3))
    second = Tip(tip.length_mm * rng.uniform(0.97, 1.03), tip.exit_length_mm, tip.shape)
    hard_torque = rng.uniform(7.5, 10.5) if lubricated else rng.uniform(9.5, 15.5)
    hard_thrust = rng.uniform(0.35, 0.65) if lubricated else rng.uniform(0.55, 1.1)
    softness = 0.6 if aluminium else 1.0
    return Campaign(
        number=number,
        version=9 if place < _VERSION_9 else 4,
        lubricated=lubricated,
        material="CFRP/aluminium" if aluminium else "CFRP/titanium",
        tips=(tip, second),
        entry_mm=rng.uniform(1.6, 4.0),
        soft_mm=rng.uniform(3.8, 8.0),
        hard_mm=rng.uniform(1.7, 3.3),
        soft_torque_a=rng.uniform(3.2, 6.2),
        hard_torque_a=hard_torque * softness,
        soft_thrust_a=rng.uniform(0.11, 0.27),
        hard_thrust_a=hard_thrust * softness,
        air_noise_a=rng.uniform(0.014, 0.073),
        soft_noise_a=rng.uniform(0.02, 0.06),
        hard_noise_a=rng.uniform(0.13, 0.6),
        first_age=int(rng.integers(1, 60)),
    )


def spread(number: int, seed: int, stream: int = 0) -> float:
    """A place from 0 to 1 for each number, evenly spread, so that also small sets keep the shares."""
    start = np.random.default_rng([seed, 5, stream]).random()
    return float((start + number * _GOLDEN) % 1)


def hole_version(campaign: Campaign, place: float) -> int:
    """The log's version: the unit's, but in about one of eighty holes a rare one."""
    rare = next((version for version, reached in _RARE_VERSIONS.items() if place < reached), None)
    return campaign.version if campaign.lubricated or rare is None else rare


def hole_recipe(campaign: Campaign, place: float, seed: int) -> Recipe:
    """One of the campaign's recipes. A recipe has the same speeds in all holes of a campaign."""
    drawn = choose_recipe(place, lubricated=campaign.lubricated, rng=np.random.default_rng(0))
    rng = np.random.default_rng([seed, 4, drawn.pset, campaign.number % 4])
    return choose_recipe(place, lubricated=campaign.lubricated, rng=rng)


def hole_stack(campaign: Campaign, tip: Tip, age: int, rng: np.random.Generator) -> tuple[Stack, HolePoints]:
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
        campaign.soft_noise_a * rng.uniform(0.8, 1.25),
        0.7,
        rng.normal(0.0, 0.03),
    )
    hard = Layer(
        transition,
        leave,
        campaign.hard_torque_a * worn * scatter,
        campaign.hard_thrust_a * worn,
        campaign.hard_noise_a * rng.uniform(0.8, 1.25),
        0.4,
        rng.normal(0.04, 0.03),
    )
    return Stack((soft, hard), tip, campaign.air_noise_a), HolePoints(entry, transition, leave)
