"""Phases against the generator's truth, and on signals made by hand for what it does not make."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from drilling.phases import Phase, phases
from drilling.setitec import SetitecLog, read_log
from drilling.synthetic import make_hole

SET_SIZE, SEED = 120, 5
BOUNDARIES = {"entry": "entry_mm", "transition": "transition_mm", "breakthrough": "exit_mm"}
FAST, SLOW = {"rpm": 4200.0, "feed_mm_s": 2.8}, {"rpm": 850.0, "feed_mm_s": 0.55}
# Torque and thrust over depth: knots of a CFRP/titanium stack with ramps of 2 mm.
STACK = ([0.6, 3, 5, 8, 10, 13, 15, 17], [0, 0, 5, 5, 13, 13, 0, 0], [0, 0, 0.2, 0.2, 0.8, 0.8, 0, 0])


@pytest.fixture(scope="module")
def drilled() -> list[tuple[SetitecLog, dict[str, Any], tuple[Phase, ...]]]:
    """Logs of a generated set with their truth and their phases."""
    holes = [make_hole(number, holes=SET_SIZE, seed=SEED) for number in range(SET_SIZE)]
    logs = [read_log(hole.content) for hole in holes]
    return [(log, dict(hole.truth), phases(log)) for log, hole in zip(logs, holes, strict=True)]


@pytest.fixture(scope="module")
def log(drilled: list[tuple[SetitecLog, dict[str, Any], tuple[Phase, ...]]]) -> SetitecLog:
    """One whole hole of two speeds."""
    return next(
        log
        for log, truth, found in drilled
        if truth["exit_mm"] is not None and truth["family"] == "two speeds" and found[-1].confidence > 0.9
    )


def made(
    log: SetitecLog,
    steps: list[tuple[int, float, float]],
    stack: tuple[list[float], list[float], list[float]] = STACK,
    program: dict[int, dict[str, Any]] | None = None,
    code: int = 64,
) -> SetitecLog:
    """A log whose steps are (number, last depth, feed in mm/s), through currents given over depth."""
    rng = np.random.default_rng(3)
    knots, torques, thrusts = stack
    depths, numbers, engaged = [], [], []
    begin = knots[0]
    for place, (number, end, feed) in enumerate(steps):
        depth = np.arange(begin, end, feed / 100)
        depths.append(depth)
        numbers.append(np.full(depth.size, number))
        engaged.append(np.clip((depth - begin) / 0.3, 0, 1) if place else np.ones(depth.size))
        begin = end - 0.15
    depth, share = np.concatenate(depths), np.concatenate(engaged)
    stop_code = np.zeros(depth.size, dtype=np.int64)
    stop_code[-2:] = code
    signals = pl.DataFrame(
        {
            "index": np.arange(depth.size),
            "step_time_s": np.arange(depth.size) / 100,
            "position_mm": depth,
            "torque_a": np.interp(depth, knots, torques) * share + rng.normal(0, 0.03, depth.size),
            "thrust_a": np.interp(depth, knots, thrusts) * share + rng.normal(0, 0.01, depth.size),
            "torque_empty_a": np.ones(depth.size),
            "thrust_empty_a": np.ones(depth.size),
            "step": np.concatenate(numbers),
            "stop_code": stop_code,
        }
    )
    rows = [{"step_nb": float(number), **row} for number, row in (program or {}).items()]
    return dataclasses.replace(log, signals=signals, program=pl.DataFrame(rows))


def names(found: tuple[Phase, ...]) -> list[str]:
    """The phases' names, one for a phase that goes on in the next step."""
    listed = [phase.name for phase in found]
    return [name for place, name in enumerate(listed) if place == 0 or listed[place - 1] != name]


def start_of(found: tuple[Phase, ...], name: str) -> float:
    return next(phase.from_mm for phase in found if phase.name == name)


def materials(found: tuple[Phase, ...]) -> list[str | None]:
    cut = [phase.material for phase in found if phase.name == "cutting"]
    return [name for place, name in enumerate(cut) if place == 0 or cut[place - 1] != name]


def assert_covers(log: SetitecLog, found: tuple[Phase, ...]) -> None:
    """Each sample in one phase, in order, and no phase in two steps."""
    index = log.signals["index"].to_list()
    place = {value: row for row, value in enumerate(index)}
    assert found[0].first_index == index[0]
    assert found[-1].last_index == index[-1]
    for phase in found:
        assert place[phase.first_index] <= place[phase.last_index]
        assert 0 <= phase.confidence <= 1
        rows = log.signals["step"].slice(
            place[phase.first_index], place[phase.last_index] - place[phase.first_index] + 1
        )
        assert rows.drop_nulls().n_unique() <= 1
    assert all(place[below.first_index] == place[above.last_index] + 1 for above, below in pairwise(found))
    depths = np.array([depth for phase in found for depth in (phase.from_mm, phase.to_mm)])
    assert np.isnan(depths).all() or (np.diff(depths) >= 0).all()


def test_the_phases_cover_each_generated_log_and_change_with_its_steps(
    drilled: list[tuple[SetitecLog, dict[str, Any], tuple[Phase, ...]]],
) -> None:
    for log, _, found in drilled:
        assert_covers(log, found)
        assert [phase.step for phase in found] == [log.signals["step"][phase.first_index] for phase in found]


@pytest.mark.parametrize("name", BOUNDARIES)
def test_the_boundaries_lie_at_the_true_key_points(
    name: str, drilled: list[tuple[SetitecLog, dict[str, Any], tuple[Phase, ...]]]
) -> None:
    true = [(truth[BOUNDARIES[name]], found) for _, truth, found in drilled]
    errors = [
        start_of(found, name) - depth if name in names(found) else np.inf
        for depth, found in true
        if depth is not None
    ]
    assert len(errors) > 50
    assert np.mean(np.abs(errors) < 1.0) > 0.9
    assert np.median(np.abs(errors)) < 0.4


def test_the_order_is_that_of_a_hole_whatever_the_steps(
    drilled: list[tuple[SetitecLog, dict[str, Any], tuple[Phase, ...]]],
) -> None:
    order = ["approach", "entry", "cutting", "transition", "cutting", "breakthrough"]
    whole = [names(found) for _, truth, found in drilled if truth["exit_mm"] is not None]
    assert np.mean([found[:6] == order for found in whole]) > 0.9
    after = {name for found in whole for name in found[6:]}
    assert after <= {"clearance", "hard stop", "countersink"}


def test_the_materials_are_known_on_most_holes(
    drilled: list[tuple[SetitecLog, dict[str, Any], tuple[Phase, ...]]],
) -> None:
    titanium = [
        materials(found)
        for _, truth, found in drilled
        if truth["exit_mm"] is not None and truth.get("material", "CFRP/titanium") == "CFRP/titanium"
    ]
    assert np.mean([found == ["CFRP", "titanium"] for found in titanium]) > 0.9
    assert all(
        phase.material is None for _, _, found in drilled for phase in found if phase.name != "cutting"
    )


def test_a_hole_of_two_speeds_is_sure(log: SetitecLog) -> None:
    found = phases(made(log, [(2, 8.8, 2.8), (3, 17, 0.55)], program={2: FAST, 3: SLOW}))
    assert [(phase.name, phase.material, phase.step) for phase in found] == [
        ("approach", None, 2),
        ("entry", None, 2),
        ("cutting", "CFRP", 2),
        ("transition", None, 2),
        ("transition", None, 3),
        ("cutting", "titanium", 3),
        ("breakthrough", None, 3),
        ("clearance", None, 3),
    ]
    depths = [start_of(found, name) for name in BOUNDARIES]
    assert depths == pytest.approx([3, 8, 13], abs=0.4)
    assert all(phase.confidence > 0.9 and not phase.reasons for phase in found)


@pytest.mark.parametrize(
    "steps",
    [
        [(4, 17.0, 0.55)],
        [(2, 6.0, 0.55), (3, 17.0, 0.55)],
        [(7, 5.5, 0.55), (1, 12.0, 0.55), (9, 17.0, 0.55)],
    ],
)
def test_one_speed_is_read_from_the_currents(log: SetitecLog, steps: list[tuple[int, float, float]]) -> None:
    program = {number: SLOW for number, _, _ in steps}
    found = phases(made(log, steps, program=program))
    assert names(found) == [
        "approach", "entry", "cutting", "transition", "cutting", "breakthrough", "clearance",
    ]  # fmt: skip
    assert materials(found) == ["CFRP", "titanium"]
    assert [start_of(found, name) for name in BOUNDARIES] == pytest.approx([3, 8, 13], abs=0.4)
    (transition,) = (phase for phase in found if phase.name == "transition")
    assert transition.reasons == ("the recipe changes no speed between the layers: only the currents tell",)
    soft = next(phase for phase in found if phase.name == "cutting")
    assert soft.reasons == ("one speed in all layers: only the currents tell them apart",)
    assert soft.confidence < 0.9


def test_the_ramp_after_a_step_change_is_no_transition(log: SetitecLog) -> None:
    soft = ([0.6, 3, 5, 12, 14, 16], [0, 0, 5, 5, 0, 0], [0, 0, 0.2, 0.2, 0, 0])
    steps = [(1, 6.0, 2.8), (2, 9.0, 2.8), (3, 16.0, 2.8)]
    found = phases(made(log, steps, soft, {1: FAST, 2: FAST, 3: FAST}))
    assert names(found) == ["approach", "entry", "cutting", "breakthrough", "clearance"]
    assert [phase.step for phase in found if phase.name == "cutting"] == [1, 2, 3]
    assert materials(found) == ["CFRP"]


def test_a_slower_feed_in_one_layer_is_no_transition(log: SetitecLog) -> None:
    soft = (
        [0.6, 3, 5, 7, 7.01, 12, 14, 16],
        [0, 0, 5, 5, 3.9, 3.9, 0, 0],
        [0, 0, 0.2, 0.2, 0.17, 0.17, 0, 0],
    )
    found = phases(made(log, [(2, 7.0, 2.8), (3, 16.0, 0.55)], soft, {2: FAST, 3: SLOW}))
    assert names(found) == ["approach", "entry", "cutting", "breakthrough", "clearance"]
    late = next(phase for phase in found if phase.name == "cutting" and phase.step == 3)
    assert late.reasons == ("the step runs at the speed for titanium, with the torque of CFRP",)
    assert late.confidence < 0.7


@pytest.mark.parametrize("feed", [0.16, 0.55])
def test_micro_pecking_makes_no_layers(log: SetitecLog, feed: float) -> None:
    plain = made(log, [(4, 17, feed)], program={4: {"rpm": 320.0, "feed_mm_s": feed}})
    stack = ([0.6, 3, 5, 8, 10, 13, 15, 17], [0, 0, 4, 4, 9, 9, 0, 0])
    depth, index = plain.signals["position_mm"].to_numpy(), plain.signals["index"].to_numpy()
    sine = np.sin(2 * np.pi * 8.04 * index / 100)
    mean = np.interp(depth, *stack)
    signals = plain.signals.with_columns(
        torque_a=pl.Series(mean * (1 + 0.184 * sine * (depth > 8))),
        position_mm=pl.Series(np.round((depth + 0.003 * sine) / 0.00385) * 0.00385),
        thrust_a=pl.col("thrust_a") * 0.6,
    )
    found = phases(dataclasses.replace(plain, signals=signals))
    assert_covers(plain, found)
    assert names(found) == [
        "approach", "entry", "cutting", "transition", "cutting", "breakthrough", "clearance",
    ]  # fmt: skip
    assert materials(found) == ["CFRP", "titanium"]
    assert [start_of(found, name) for name in BOUNDARIES] == pytest.approx([3, 8, 13], abs=0.3)


def test_a_stack_that_begins_with_titanium(log: SetitecLog) -> None:
    stack = ([0.6, 3, 5, 8, 10, 13, 15, 17], [0, 0, 13, 13, 5, 5, 0, 0], [0, 0, 0.8, 0.8, 0.2, 0.2, 0, 0])
    found = phases(made(log, [(4, 17, 0.55)], stack, {4: SLOW}))
    assert names(found) == [
        "approach", "entry", "cutting", "transition", "cutting", "breakthrough", "clearance",
    ]  # fmt: skip
    assert materials(found) == ["titanium", "CFRP"]


def test_three_layers(log: SetitecLog) -> None:
    stack = (
        [0.6, 3, 5, 8, 10, 13, 15, 18, 20, 22],
        [0, 0, 5, 5, 13, 13, 6, 6, 0, 0],
        [0, 0, 0.2, 0.2, 0.8, 0.8, 0.4, 0.4, 0, 0],
    )
    found = phases(made(log, [(4, 22, 0.55)], stack, {4: SLOW}))
    assert names(found).count("cutting") == 3
    assert names(found).count("transition") == 2
    assert materials(found)[:2] == ["CFRP", "titanium"]


def test_a_layer_that_only_the_thrust_tells(log: SetitecLog) -> None:
    stack = ([0.6, 3, 5, 8, 9, 13, 15, 17], [0, 0, 6, 6, 6, 6, 0, 0], [0, 0, 0.2, 0.2, 0.6, 0.6, 0, 0])
    found = phases(made(log, [(4, 17, 0.55)], stack, {4: SLOW}))
    assert materials(found) == ["CFRP", "aluminium"]
    transition = next(phase for phase in found if phase.name == "transition")
    assert transition.from_mm == pytest.approx(8, abs=0.3)
    assert "the torque keeps its level: only the thrust tells the layers apart" in transition.reasons


def test_the_recipe_s_material_names_what_the_currents_leave_open(log: SetitecLog) -> None:
    alone = ([0.6, 3, 5, 10, 12, 14], [0, 0, 5, 5, 0, 0], [0, 0, 0.3, 0.3, 0, 0])
    of = {name: {4: {"rpm": 2500.0, "feed_mm_s": 2.0, "material": name}} for name in ("AL 2024", "Ti6Al4V")}
    (cut,) = (p for p in phases(made(log, [(4, 14, 2.0)], alone, of["AL 2024"])) if p.name == "cutting")
    assert cut.material == "aluminium"
    (cut,) = (p for p in phases(made(log, [(4, 14, 2.0)], alone, of["Ti6Al4V"])) if p.name == "cutting")
    assert cut.material == "CFRP"
    assert "the recipe says titanium, the torque CFRP" in cut.reasons
    assert "the step's speed is neither that for CFRP nor that for titanium" in cut.reasons


def test_currents_of_no_material(log: SetitecLog) -> None:
    odd = ([0.6, 3, 5, 10, 12, 14], [0, 0, 6, 6, 0, 0], [0, 0, 0.9, 0.9, 0, 0])
    (cut,) = (p for p in phases(made(log, [(4, 14, 0.55)], odd, {4: SLOW})) if p.name == "cutting")
    assert cut.material is None
    assert cut.reasons == ("torque and thrust are those of no known material",)
    (cut,) = (p for p in phases(made(log, [(4, 14, 2.8)], odd, {4: FAST})) if p.name == "cutting")
    assert cut.material == "CFRP"
    assert cut.reasons == ("only the recipe tells the material: torque and thrust are those of none",)


def test_titanium_at_the_speed_for_cfrp_is_doubted(log: SetitecLog) -> None:
    found = phases(made(log, [(2, 11.5, 2.8), (3, 17, 0.55)], program={2: FAST, 3: SLOW}))
    early, late = (phase for phase in found if phase.material == "titanium")
    assert early.reasons == ("the step runs at the speed for CFRP, with the torque of titanium",)
    assert early.confidence < late.confidence


def test_a_change_of_speed_far_from_the_torque_s_rise_is_doubted(log: SetitecLog) -> None:
    found = phases(made(log, [(2, 5.6, 2.8), (3, 17, 0.55)], program={2: FAST, 3: SLOW}))
    transition = next(phase for phase in found if phase.name == "transition")
    (reason,) = transition.reasons
    assert reason.startswith("the recipe changes the speed 2.")
    assert transition.confidence < 0.6


def test_thrust_against_torque_is_doubted(log: SetitecLog) -> None:
    stack = (STACK[0], STACK[1], [0, 0, 0.3, 0.3, 0.3, 0.3, 0, 0])
    found = phases(made(log, [(4, 17, 0.55)], stack, {4: SLOW}))
    reason = "the thrust does not rise with the torque from layer to layer"
    assert all(reason in phase.reasons for phase in found if phase.name in ("cutting", "transition"))


@pytest.mark.parametrize("program", [pl.DataFrame(), pl.DataFrame({"step_nb": [9.0], "rpm": [None]})])
def test_without_a_recipe_the_feed_is_measured_and_confidence_falls(
    log: SetitecLog, program: pl.DataFrame
) -> None:
    told = made(log, [(2, 8.8, 2.8), (3, 17, 0.55)], program={2: FAST, 3: SLOW})
    with_recipe, without = phases(told), phases(dataclasses.replace(told, program=program))
    assert [(p.name, p.material, p.first_index) for p in without] == [
        (p.name, p.material, p.first_index) for p in with_recipe
    ]
    assert all(bare.confidence < full.confidence for bare, full in zip(without, with_recipe, strict=True))
    assert without[0].reasons == ("no recipe for step 2: the speed is judged by the measured feed",)


def test_data_without_step_numbers(log: SetitecLog) -> None:
    told = made(log, [(4, 17, 0.55)])
    signals = told.signals.with_columns(step=pl.lit(None, dtype=pl.Int64))
    found = phases(dataclasses.replace(told, signals=signals))
    assert {phase.step for phase in found} == {None}
    assert materials(found) == ["CFRP", "titanium"]
    assert found[0].reasons == ("no recipe for the steps: the speed is judged by the measured feed",)


def test_drilling_in_air_is_air_in_each_step(log: SetitecLog) -> None:
    nothing = ([0.6, 17], [0, 0], [0, 0])
    found = phases(made(log, [(2, 8, 2.8), (3, 17, 0.55)], nothing, {2: FAST, 3: SLOW}))
    assert [(phase.name, phase.step, phase.reasons) for phase in found] == [("air", 2, ()), ("air", 3, ())]


def test_air_up_to_the_hard_stop_is_air(log: SetitecLog) -> None:
    nothing = ([0.6, 16.7, 17], [0, 0, 4], [0, 0, 1.5])
    (found,) = phases(made(log, [(4, 17, 0.55)], nothing, {4: SLOW}, code=8))
    assert (found.name, found.reasons) == ("air", ())


def test_thrust_in_air_is_doubted(log: SetitecLog) -> None:
    (found,) = phases(made(log, [(4, 17, 0.55)], ([0.6, 17], [0, 0], [0, 0.8]), {4: SLOW}))
    assert found.name == "air"
    assert found.reasons == ("the thrust rises, though the torque stays that of air",)


def test_a_start_up_current_and_a_spike_are_no_entry(log: SetitecLog) -> None:
    told = made(log, [(4, 17, 0.55)], program={4: SLOW})
    row = pl.col("index")
    torque = pl.when(row < 30).then(6.0).when(row.is_in([200, 201, 1900])).then(52.0)
    signals = told.signals.with_columns(torque_a=torque.otherwise(pl.col("torque_a")))
    found = phases(dataclasses.replace(told, signals=signals))
    assert names(found)[:3] == ["approach", "entry", "cutting"]
    assert names(found).count("cutting") == 2
    assert start_of(found, "entry") == pytest.approx(3, abs=0.4)


@pytest.mark.parametrize(
    ("depth", "last"), [(2.5, "air"), (4.2, "entry"), (7, "cutting"), (9.4, "transition"), (12, "cutting")]
)
def test_an_aborted_cycle_ends_where_it_was(log: SetitecLog, depth: float, last: str) -> None:
    found = phases(made(log, [(4, depth, 0.55)], program={4: SLOW}, code=128))
    assert found[-1].name == last
    assert "breakthrough" not in names(found)
    if last != "air":
        reason = "the log ends inside the stack (The operator pressed the stop button.)"
        assert reason in found[-1].reasons


def test_the_hard_stop(log: SetitecLog) -> None:
    ended = ([*STACK[0][:-1], 17.5, 17.8], [*STACK[1], 4], [*STACK[2], 1.5])
    found = phases(made(log, [(4, 17.8, 0.55)], ended, {4: SLOW}, code=8))
    assert names(found)[-2:] == ["clearance", "hard stop"]
    assert found[-1].from_mm == pytest.approx(17.5, abs=0.15)
    assert found[-1].confidence > 0.9
    # Both currents tell it without the code; the code tells it without them.
    assert names(phases(made(log, [(4, 17.8, 0.55)], ended, {4: SLOW})))[-1] == "hard stop"
    quiet = phases(made(log, [(4, 17, 0.55)], program={4: SLOW}, code=8))
    assert names(quiet)[-2:] == ["clearance", "hard stop"]
    assert quiet[-1].last_index - quiet[-1].first_index == 1
    assert quiet[-1].reasons == ("the stop code says hard stop, but neither torque nor thrust rises",)


def test_the_thrust_limit_inside_a_layer_is_no_hard_stop(log: SetitecLog) -> None:
    found = phases(made(log, [(4, 12, 0.55)], program={4: SLOW}, code=8))
    assert names(found)[-1] == "cutting"


def test_a_countersink_below_the_stack(log: SetitecLog) -> None:
    stack = ([*STACK[0], 18.5, 19.2], [*STACK[1], 4, 0], [*STACK[2], 0.5, 0])
    last = {"rpm": 2000.0, "feed_mm_s": 1.6}
    steps = [(2, 8.8, 2.8), (3, 16, 0.55), (4, 20, 1.6)]
    found = phases(made(log, steps, stack, {2: FAST, 3: SLOW, 4: last}))
    assert names(found)[-4:] == ["breakthrough", "clearance", "countersink", "clearance"]
    assert [phase.step for phase in found if phase.name == "countersink"] == [4]
    assert materials(found) == ["CFRP", "titanium"]


def test_layers_that_stand_apart(log: SetitecLog) -> None:
    stack = (
        [0.6, 2, 4, 6, 8, 10, 12, 15, 17, 18],
        [0, 0, 5, 5, 0, 0, 13, 13, 0, 0],
        [0, 0, 0.2, 0.2, 0, 0, 0.8, 0.8, 0, 0],
    )
    found = phases(made(log, [(4, 18, 0.55)], stack, {4: SLOW}))
    assert names(found) == [
        "approach", "entry", "cutting", "transition", "cutting", "breakthrough", "clearance",
    ]  # fmt: skip
    assert start_of(found, "transition") == pytest.approx(6, abs=0.4)


def test_pecking_is_no_exit(log: SetitecLog) -> None:
    told = made(log, [(4, 17, 0.55)], program={4: SLOW})
    back = (pl.col("index") >= 1900) & (pl.col("index") < 1960)
    signals = told.signals.with_columns(
        position_mm=pl.when(back).then(9.0).otherwise(pl.col("position_mm")),
        torque_a=pl.when(back).then(0.0).otherwise(pl.col("torque_a")),
    )
    found = phases(dataclasses.replace(told, signals=signals))
    assert names(found) == names(phases(told))


def test_empty_cells_are_bridged_and_doubted(log: SetitecLog) -> None:
    told = made(log, [(2, 8.8, 2.8), (3, 17, 0.55)], program={2: FAST, 3: SLOW})
    # Samples missing around the step change as well; half of the approach.
    row, change = pl.col("index"), int(np.flatnonzero(np.diff(told.signals["step"].to_numpy()))[0])
    gone = (row % 7 == 0) | row.is_between(change - 2, change + 2) | ((row < 60) & (row % 2 == 0))
    signals = told.signals.with_columns(
        pl.when(~gone).then(pl.col(name)).alias(name) for name in ("torque_a", "step", "position_mm")
    )
    holed = dataclasses.replace(told, signals=signals)
    found = phases(holed)
    assert_covers(holed, found)
    assert names(found) == names(phases(told))
    assert [start_of(found, name) for name in BOUNDARIES] == pytest.approx([3, 8, 13], abs=0.4)
    assert "% of the samples miss a depth or a current" in found[0].reasons[0]


def test_without_a_complete_sample_nothing_is_claimed(log: SetitecLog) -> None:
    told = made(log, [(2, 8.8, 2.8), (3, 17, 0.55)])
    signals = told.signals.with_columns(torque_a=pl.lit(None, dtype=pl.Float64))
    found = phases(dataclasses.replace(told, signals=signals))
    assert_covers(told, found)
    assert [(phase.name, phase.step, phase.confidence) for phase in found] == [("air", 2, 0), ("air", 3, 0)]
    assert found[0].reasons == ("no sample has a depth and a torque",)
    assert np.isnan([found[0].from_mm, found[0].to_mm]).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 30, 56])
def test_very_short_logs(log: SetitecLog, rows: int) -> None:
    short = dataclasses.replace(log, signals=log.signals.head(rows))
    (found,) = phases(short)
    assert_covers(short, (found,))
    assert found.name == "air"
    assert found.confidence < 0.5
    assert "too short to tell drilling in air from an approach" in found.reasons[0]


def test_a_log_without_samples_has_no_phases(log: SetitecLog) -> None:
    assert phases(dataclasses.replace(log, signals=log.signals.head(0))) == ()


def test_any_part_of_a_log_is_covered_whatever_is_missing(
    drilled: list[tuple[SetitecLog, dict[str, Any], tuple[Phase, ...]]],
) -> None:
    rng = np.random.default_rng(1)
    for log, _, _ in drilled[::4]:
        first, last = np.sort(rng.integers(0, log.signals.height, 2))
        part = log.signals.slice(first, last - first + 1)
        for name in ("torque_a", "thrust_a", "position_mm", "step", "stop_code"):
            kept = pl.Series(
                rng.random(part.height) > rng.choice([0.0, 0.1, 0.9, 1.0], p=[0.6, 0.2, 0.1, 0.1])
            )
            part = part.with_columns(pl.when(kept).then(pl.col(name)).alias(name))
        if rng.random() < 0.3:
            part = part.with_columns(torque_a=pl.Series(rng.normal(0, 8, part.height)))
        damaged = dataclasses.replace(log, signals=part, program=pl.DataFrame())
        assert_covers(damaged, phases(damaged))
