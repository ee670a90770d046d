"""What a phase cuts and how sure that is: the recipe's speeds held against the torque and the thrust."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from drilling.torque_levels import CONTRAST, THRUST_CONTRAST, Doubt, Section

Material = Literal["CFRP", "titanium", "aluminium"]
Pace = Literal["fast", "slow"]
# CFRP is drilled at 4000 to 4500 rpm with some 3 mm/s, titanium at 320 to 1000 rpm with up to 0.75 mm/s.
_FAST_RPM, _SLOW_RPM = 3000.0, 1200.0
_FAST_MM_S, _SLOW_MM_S = 1.5, 0.9
_LUBRICATED_RPM, _LUBRICATED_MM_S = 500.0, 0.3
# Net currents: CFRP 3 to 7 A with 0.1 to 0.3 A of thrust, titanium 7 to 17 A with 0.3 to 1.2 A.
_CFRP_A, _MOST_CFRP_A, _CFRP_THRUST_A = 2.0, 9.0, 0.35
_TITANIUM_A, _LUBRICATED_TITANIUM_A = 8.7, 6.0
_SURELY_ALUMINIUM_A, _SURELY_TITANIUM_A = 7.5, 9.5
_WEAK_CONTRAST, _NEAR_MM = 1.5, 1.5
_SURE = 0.95


@dataclass(frozen=True, slots=True)
class StepSpeed:
    """How a step runs: `pace` by the recipe's speed, else by the measured feed; None between the two.

    `lubricated` is true for the slowest speeds, at which titanium is drilled with lubricant.
    """

    step: int | None
    pace: Pace | None
    lubricated: bool
    material: Material | None
    in_recipe: bool


@dataclass(frozen=True, slots=True)
class Hole:
    """What a phase is judged against: the layers that were cut, and the steps in which they were.

    `slowed_mm` are the depths within the stack at which the pace changes from fast to slow or back.
    """

    layers: tuple[Section, ...]
    cutting_paces: frozenset[Pace | None]
    slowed_mm: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A material (None when unsure or where none is cut), a confidence from 0 to 1, and what lowers it."""

    material: Material | None
    confidence: float
    reasons: tuple[str, ...]


def speed_of(program: pl.DataFrame, step: int | None, measured_mm_s: float | None) -> StepSpeed:
    """The speed of a step by its row of the log's program; by the feed in mm/s where there is no row."""
    row = _program_row(program, step)
    rpm, feed = _number(row.get("rpm")), _number(row.get("feed_mm_s"))
    in_recipe = rpm is not None or feed is not None
    if rpm is not None:
        pace, lubricated = _pace(rpm, _SLOW_RPM, _FAST_RPM), 0 < rpm <= _LUBRICATED_RPM
    else:
        feed = feed if in_recipe else measured_mm_s
        pace, lubricated = _pace(feed, _SLOW_MM_S, _FAST_MM_S), 0 < (feed or 0) <= _LUBRICATED_MM_S
    return StepSpeed(step, pace, lubricated, _named_material(row.get("material")), in_recipe)


def judge(section: Section, to_mm: float, speed: StepSpeed, hole: Hole, doubts: Sequence[Doubt]) -> Judgement:
    """The judgement of a section, down to a depth, in a step of that speed; `doubts` count as well."""
    material: Material | None = None
    doubts = [*section.doubts, *doubts, *_recipe_doubts(speed)]
    if section.name == "cutting":
        by_currents = _by_currents(section, hole.layers, speed)
        material = _material(by_currents, speed)
        doubts += _layer_doubts(section, material, by_currents, speed, hole)
    elif section.name == "transition":
        doubts += _transition_doubts(section, to_mm, hole)
    return judged(material, doubts)


def judged(material: Material | None, doubts: Sequence[Doubt]) -> Judgement:
    """A judgement with the doubts' factors multiplied."""
    confidence = _SURE
    for factor, _ in doubts:
        confidence *= factor
    return Judgement(material, round(confidence, 3), tuple(reason for _, reason in doubts))


def _recipe_doubts(speed: StepSpeed) -> Iterator[Doubt]:
    if not speed.in_recipe:
        where = "the steps" if speed.step is None else f"step {speed.step}"
        yield 0.8, f"no recipe for {where}: the speed is judged by the measured feed"


def _by_currents(layer: Section, layers: Sequence[Section], speed: StepSpeed) -> Material | None:
    """The material by a layer's currents against the hole's others; by its own where it is alone."""
    titanium_a = _LUBRICATED_TITANIUM_A if speed.lubricated else _TITANIUM_A
    torques, thrusts = [other.torque_a for other in layers], [other.thrust_a for other in layers]
    if max(torques) >= CONTRAST * min(torques):
        harder = layer.torque_a**2 >= max(torques) * min(torques)
        other: Material | None = "titanium" if layer.torque_a >= titanium_a else "aluminium"
        if not speed.lubricated and _SURELY_ALUMINIUM_A < layer.torque_a < titanium_a:
            other = None
    elif max(thrusts) >= THRUST_CONTRAST * min(thrusts):
        # Titanium takes more torque than CFRP at any feed.
        harder, other = layer.thrust_a**2 >= max(thrusts) * min(thrusts), "aluminium"
    elif layer.torque_a >= titanium_a and layer.thrust_a >= _CFRP_THRUST_A:
        return "titanium"
    else:
        return (
            "CFRP" if _CFRP_A <= layer.torque_a <= _MOST_CFRP_A and layer.thrust_a < _CFRP_THRUST_A else None
        )
    if harder:
        return other
    return "CFRP" if _CFRP_A <= layer.torque_a <= _MOST_CFRP_A else None


def _material(by_currents: Material | None, speed: StepSpeed) -> Material | None:
    # Currents tell CFRP from aluminium poorly: there the recipe's word counts.
    if speed.material and (by_currents is None or {speed.material, by_currents} == {"aluminium", "CFRP"}):
        return speed.material
    return "CFRP" if by_currents is None and speed.pace == "fast" else by_currents


def _layer_doubts(
    layer: Section, material: Material | None, by_currents: Material | None, speed: StepSpeed, hole: Hole
) -> Iterator[Doubt]:
    if material is None:
        yield 0.5, "torque and thrust are those of no known material"
    elif by_currents is None:
        yield 0.6, "only the recipe tells the material: torque and thrust are those of none"
    if speed.material and material != speed.material:
        yield 0.6, f"the recipe says {speed.material}, the torque {material}"
    if material == "aluminium" and not speed.material:
        yield 0.6, "harder than the layer above, but without titanium's torque: taken for aluminium"
    if material == "titanium" and not speed.lubricated and layer.torque_a < _SURELY_TITANIUM_A:
        yield 0.7, f"{layer.torque_a:.1f} A are little torque for titanium: it may be aluminium"
    if speed.pace == "fast" and material == "titanium":
        yield 0.6, "the step runs at the speed for CFRP, with the torque of titanium"
    if speed.pace == "slow" and material == "CFRP":
        if "fast" in hole.cutting_paces:
            yield 0.7, "the step runs at the speed for titanium, with the torque of CFRP"
        else:
            yield 0.9, "one speed in all layers: only the currents tell them apart"
    if speed.pace is None and material is not None and speed.in_recipe:
        yield 0.8, "the step's speed is neither that for CFRP nor that for titanium"
    yield from _thrust_doubts(hole.layers)


def _transition_doubts(section: Section, to_mm: float, hole: Hole) -> Iterator[Doubt]:
    torques = [layer.torque_a for layer in hole.layers]
    if len(torques) > 1 and CONTRAST * min(torques) <= max(torques) < _WEAK_CONTRAST * min(torques):
        yield 0.7, f"the layers' torque differs by only {100 * (max(torques) / min(torques) - 1):.0f} %"
    yield from _thrust_doubts(hole.layers)
    if not hole.slowed_mm:
        yield 0.9, "the recipe changes no speed between the layers: only the currents tell"
    elif not any(section.from_mm - _NEAR_MM <= depth <= to_mm + _NEAR_MM for depth in hole.slowed_mm):
        away = min(abs(section.from_mm - depth) for depth in hole.slowed_mm)
        yield 0.6, f"the recipe changes the speed {away:.1f} mm away from the torque's rise"


def _thrust_doubts(layers: Sequence[Section]) -> Iterator[Doubt]:
    """Titanium needs more torque and more thrust than CFRP."""
    if len(layers) < 2:
        return
    soft, *_, hard = sorted(layers, key=lambda layer: layer.torque_a)
    if hard.torque_a >= CONTRAST * soft.torque_a and hard.thrust_a < 1.2 * soft.thrust_a:
        yield 0.8, "the thrust does not rise with the torque from layer to layer"


def _program_row(program: pl.DataFrame, step: int | None) -> dict[str, object]:
    if step is None or "step_nb" not in program.columns:
        return {}
    rows = program.rows(named=True)
    return next((row for row in rows if _number(row["step_nb"]) == step), {})


def _number(value: object) -> float | None:
    """A usable speed or number of a cell; 0 counts, what is infinite or text does not."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    return float(value) if usable and isinstance(value, int | float) else None


def _pace(value: float | None, slow: float, fast: float) -> Pace | None:
    if value is None or value <= 0:
        return None
    return "fast" if value >= fast else "slow" if value <= slow else None


def _named_material(text: object) -> Material | None:
    word = text.strip().lower() if isinstance(text, str) else ""
    if word.startswith(("cfrp", "carbon", "composite")):
        return "CFRP"
    if word.startswith(("ti", "ta6v")):
        return "titanium"
    return "aluminium" if word.startswith("al") else None
