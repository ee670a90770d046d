"""The generated set against the facts of genuine logs, each measured from the logs that are read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from drilling.setitec import SetitecLog, read_log
from drilling.synthetic import make_hole

Floats = NDArray[np.float64]
HOLES, EVERY, SEED = 1300, 4, 7
POSITION_STEP_MM, TORQUE_STEP_A, THRUST_STEP_A = 0.00385, 0.0488, 0.0117
RE_ENGAGED_MM = 0.35
# Three decimals are written.
ROUNDING = 0.00051


@dataclass(frozen=True)
class Hole:
    """A log that was read back, its size, and the truth about where its layers are."""

    log: SetitecLog
    kilobytes: float
    family: str
    material: str
    cycle: str
    entry_mm: float
    transition_mm: float
    exit_mm: float

    def column(self, name: str) -> Floats:
        return self.log.signals[name].to_numpy().astype(np.float64)

    @property
    def steps(self) -> list[int]:
        return [int(step) for step in self.log.signals["step"].unique(maintain_order=True)]

    def rows_of(self, step: int) -> pl.DataFrame:
        return self.log.signals.filter(pl.col("step") == step)

    def between(self, name: str, top_mm: float, bottom_mm: float) -> Floats:
        """A column over a stretch of depth, in the step that has most of its rows, once it has engaged."""
        deep = pl.col("position_mm")
        begun = (deep.first().over("step") + RE_ENGAGED_MM) * (pl.col("step") != pl.col("step").first())
        rows = self.log.signals.filter(deep.is_between(top_mm, bottom_mm) & (deep > begun))
        steps = rows["step"].value_counts(sort=True)["step"]
        return rows.filter(pl.col("step") == steps.first())[name].to_numpy().astype(np.float64)

    def air(self, name: str) -> Floats:
        return self.between(name, 0.0, self.entry_mm - 0.1)

    def soft(self, name: str) -> Floats:
        """Where the full tip cuts the first layer."""
        return self.between(name, self.transition_mm - 1.8, self.transition_mm - 0.1)

    def hard(self, name: str) -> Floats:
        """Where the full tip cuts the last layer."""
        return self.between(name, self.exit_mm - 0.3, self.exit_mm - 0.02)


@pytest.fixture(scope="module")
def holes() -> list[Hole]:
    return read_set()


@pytest.fixture(scope="module")
def drilled(holes: list[Hole]) -> list[Hole]:
    return [hole for hole in holes if hole.cycle == "drilled"]


@pytest.fixture(scope="module")
def dry(drilled: list[Hole]) -> list[Hole]:
    return [hole for hole in drilled if hole.family != "lubricated"]


@pytest.fixture(scope="module")
def pecked(drilled: list[Hole]) -> list[Hole]:
    return [hole for hole in drilled if hole.family == "lubricated"]


def read_set() -> list[Hole]:
    """Every fourth hole of a set as large as the genuine one."""
    return [_read(number) for number in range(0, HOLES, EVERY)]


def _read(number: int) -> Hole:
    made = make_hole(number, holes=HOLES, seed=SEED)
    points = [made.truth[name] for name in ("entry_mm", "transition_mm", "exit_mm")]
    entry, transition, leave = (np.nan if point is None else float(point) for point in points)
    words = (str(made.truth[name]) for name in ("family", "material", "cycle"))
    size = len(made.content) / 1000
    return Hole(read_log(made.content), size, *words, entry, transition, leave)


def quantiles(values: Sequence[float] | Floats, *at: float) -> list[float]:
    return [float(value) for value in np.quantile(np.asarray(values, dtype=np.float64), at)]


def per_hole(holes: Sequence[Hole], measure: Callable[[Hole], float]) -> Floats:
    return np.array([measure(hole) for hole in holes])


def lag_1(values: Floats) -> float:
    """The correlation of each value with the next, about a straight line."""
    time = np.arange(values.size)
    off = values - np.polyval(np.polyfit(time, values, 1), time)
    return float((off[:-1] * off[1:]).sum() / (off**2).sum()) if off.any() else 0.0


def smooth(values: Floats, rows: int) -> Floats:
    padded = np.pad(values, rows // 2, mode="edge")
    return np.convolve(padded, np.ones(rows) / rows, "valid")


def entry_ramp_mm(hole: Hole) -> float:
    """How far the tool goes while the torque rises from 10 to 90 % of the first layer's."""
    rows = hole.log.signals.filter(pl.col("position_mm") < hole.transition_mm)
    torque, depth = rows["torque_a"].to_numpy(), rows["position_mm"].to_numpy()
    share = smooth(torque, 5) / np.median(hole.soft("torque_a"))
    above = np.flatnonzero(share > 0.9)[0]
    below = np.flatnonzero(share[:above] < 0.1)[-1]
    return float(depth[above] - depth[below])


def exit_fall_mm(hole: Hole) -> float:
    """How far the tool goes while the torque falls from 80 to 15 % of the last layer's."""
    step = next(s for s in hole.steps if hole.rows_of(s)["position_mm"].max() > hole.exit_mm)
    rows = hole.rows_of(step).filter(pl.col("position_mm") > hole.exit_mm - 0.5)
    torque, depth = rows["torque_a"].to_numpy(), rows["position_mm"].to_numpy()
    share = smooth(torque, 25) / np.mean(hole.hard("torque_a"))
    low = np.flatnonzero(share < 0.15)[0]
    return float(depth[low] - depth[np.flatnonzero(share[:low] > 0.8)[-1]])


def spectrum_peak(values: Floats) -> tuple[float, float]:
    """The strongest frequency in Hz, and the share of the power within 1 Hz of it."""
    power = np.abs(np.fft.rfft((values - values.mean()) * np.hanning(values.size), 8192)) ** 2
    frequency = np.fft.rfftfreq(8192, 0.01)
    peak = frequency[power.argmax()]
    return float(peak), float(power[np.abs(frequency - peak) < 1].sum() / power.sum())


def oscillation_mm(hole: Hole) -> float:
    """From crest to crest: how far the position swings at the pecking's frequency."""
    position = hole.hard("position_mm")
    time = np.arange(position.size) / 100
    beat = 2 * np.pi * 8.04 * time
    terms = np.column_stack([np.ones_like(time), time, np.sin(beat), np.cos(beat)])
    fit = np.linalg.lstsq(terms, position, rcond=None)[0]
    return float(2 * np.hypot(fit[2], fit[3]))


def program_of(hole: Hole, step: int) -> dict[str, float]:
    return dict(hole.log.program.row(step, named=True))


def jumps_mm(hole: Hole) -> Floats:
    """How far |position| jumps back at each step change."""
    changed = np.flatnonzero(np.diff(hole.column("step")))
    return np.asarray(-np.diff(hole.column("position_mm"))[changed])


def last_thrust(hole: Hole) -> float:
    return float(hole.column("thrust_a")[-40:].max())


def step_codes(hole: Hole) -> list[int]:
    return [int(hole.rows_of(step)["stop_code"][-1]) for step in hole.steps]


def test_rows_per_file(holes: list[Hole]) -> None:
    rows = per_hole(holes, lambda hole: hole.log.signals.height)
    assert rows.min() >= 56
    assert rows.max() <= 11466
    assert rows.max() > 7500
    assert np.median(rows) == pytest.approx(1050, rel=0.07)
    low, high = quantiles(rows, 0.05, 0.95)
    assert 500 < low < 850
    assert 3000 < high < 10000


def test_file_sizes(holes: list[Hole]) -> None:
    sizes = per_hole(holes, lambda hole: hole.kilobytes)
    assert sizes.min() >= 6
    assert 400 < sizes.max() <= 660


def test_versions(holes: list[Hole]) -> None:
    counts = Counter(hole.log.version for hole in holes)
    assert counts[4] / len(holes) == pytest.approx(0.83, abs=0.025)
    assert counts[9] / len(holes) == pytest.approx(0.16, abs=0.025)
    assert 0 < counts[7] + counts[8] + counts[11] < 0.03 * len(holes)


def test_step_sequences(drilled: list[Hole]) -> None:
    counts = Counter(tuple(hole.steps) for hole in drilled)
    wanted = {(2, 3): 0.74, (1, 2, 3): 0.15, (4,): 0.09, (0, 1, 2, 3): 0.01}
    assert set(counts) == set(wanted)
    for steps, share in wanted.items():
        assert counts[steps] / len(drilled) == pytest.approx(share, abs=0.03)


def test_the_first_position(holes: list[Hole]) -> None:
    first = per_hole(holes, lambda hole: hole.column("position_mm")[0])
    assert first.min() >= 0.5 - POSITION_STEP_MM
    assert first.max() <= 0.9 + POSITION_STEP_MM
    assert quantiles(first, 0.1, 0.9) == pytest.approx([0.54, 0.86], abs=0.04)


@pytest.mark.parametrize(
    ("name", "step"),
    [("position_mm", POSITION_STEP_MM), ("torque_a", TORQUE_STEP_A), ("thrust_a", THRUST_STEP_A)],
)
def test_the_resolution(holes: list[Hole], name: str, step: float) -> None:
    for hole in holes:
        values = hole.column(name)
        assert np.abs(values - np.round(values / step) * step).max() < ROUNDING


def test_slow_feeds_repeat_positions_and_jitter_back_by_one_step(drilled: list[Hole]) -> None:
    slow = [np.diff(hole.hard("position_mm")) for hole in drilled]
    repeats = np.array([np.mean(np.abs(moved) < ROUNDING) for moved in slow])
    back = np.concatenate([moved[moved < -ROUNDING] for moved in slow])
    assert 0.02 < np.median(repeats) < 0.4
    assert back.size
    assert np.quantile(back, 0.02) > -POSITION_STEP_MM - 2 * ROUNDING


def test_jump_back_at_step_changes(drilled: list[Hole]) -> None:
    jumps = np.concatenate([jumps_mm(hole) for hole in drilled])
    assert jumps.min() > 0.09 - 2 * POSITION_STEP_MM
    assert jumps.max() < 0.29 + 2 * POSITION_STEP_MM
    assert quantiles(jumps, 0.1, 0.9) == pytest.approx([0.11, 0.27], abs=0.02)


def test_no_load_currents_are_constant_in_a_step(holes: list[Hole]) -> None:
    for hole in holes:
        counts = hole.log.signals.group_by("step").agg(
            pl.col("torque_empty_a", "thrust_empty_a").n_unique().name.suffix("_values")
        )
        assert set(counts["torque_empty_a_values"]) | set(counts["thrust_empty_a_values"]) == {1}


def test_net_currents_may_be_negative(drilled: list[Hole]) -> None:
    assert np.mean([hole.column("torque_a").min() < 0 for hole in drilled]) > 0.9
    assert np.mean([hole.column("thrust_a").min() < 0 for hole in drilled]) > 0.9


def test_version_4_turns_at_a_negative_speed(holes: list[Hole]) -> None:
    for hole in holes:
        if hole.log.version == 4:
            assert hole.column("rotation_speed_rpm").max() < 0


def test_memories_hold_the_lowest_current_of_the_step(holes: list[Hole]) -> None:
    for hole in (hole for hole in holes if hole.log.version in (4, 7, 8)):
        for step in hole.steps:
            rows = hole.rows_of(step)
            assert rows["mem_torque_min_a"].to_list() == rows["torque_a"].cum_min().to_list()
            assert rows["mem_thrust_min_a"].to_list() == rows["thrust_a"].cum_min().to_list()


def test_the_last_rows_of_a_step_carry_its_code(holes: list[Hole]) -> None:
    for hole in holes:
        for step in hole.steps:
            codes = hole.rows_of(step)["stop_code"].to_numpy()
            carried = np.count_nonzero(codes)
            assert carried in ((4, 5) if codes[-1] in (2048, 8192) else (2,))
            assert (codes[-carried:] == codes[-1]).all()


def test_the_stop_codes_that_occur(holes: list[Hole]) -> None:
    assert {code for hole in holes for code in step_codes(hole)} == {1, 4, 8, 64, 2048, 8192, 131074}


def test_distance(holes: list[Hole]) -> None:
    for hole in holes:
        position, distance = hole.column("position_mm"), hole.log.results["distance_mm"]
        if hole.log.version == 4:
            assert distance == pytest.approx(position[-1], abs=0.061)
        if hole.log.version == 11:
            assert distance == pytest.approx(position[-1], abs=2 * ROUNDING)
    nine = [hole for hole in holes if hole.log.version == 9]
    first = [abs(hole.log.results["distance_mm"] - hole.column("position_mm")[0]) < 0.002 for hole in nine]
    assert 0.9 <= np.mean(first) <= 1


def test_cycle_time(holes: list[Hole]) -> None:
    ratio = [hole.log.results["cycle_time_s"] / hole.log.signals.height * 100 for hole in holes]
    assert quantiles(ratio, 0.05, 0.5, 0.95) == pytest.approx([1.14, 1.46, 1.81], abs=0.04)


def test_the_steady_feed(drilled: list[Hole]) -> None:
    for hole in drilled:
        for step in hole.steps:
            position = hole.rows_of(step)["position_mm"].to_numpy()
            if position.size > 150:
                feed = (position[-1] - position[0]) / (position.size - 1) * 100
                assert feed / program_of(hole, step)["feed_mm_s"] == pytest.approx(0.976, abs=0.005)


def test_the_programmed_speeds(drilled: list[Hole]) -> None:
    for hole in drilled:
        first, hard = (program_of(hole, step) for step in (hole.steps[0], _hard_step(hole)))
        if hole.family == "two speeds":
            assert 4000 <= first["rpm"] <= 4500
            assert 0.038 <= first["feed_mm_rev"] <= 0.045
        if hole.family == "lubricated":
            assert (hard["rpm"], hard["feed_mm_rev"]) == (320, 0.030)
        else:
            assert 750 <= hard["rpm"] <= 1000
            assert 0.030 <= hard["feed_mm_rev"] <= 0.045
        if hole.family != "two speeds":
            assert first["rpm"] == hard["rpm"]
        if _hard_step(hole) != hole.steps[-1]:
            assert 1500 <= program_of(hole, hole.steps[-1])["rpm"] <= 4000


def _hard_step(hole: Hole) -> int:
    return next(step for step in hole.steps if hole.rows_of(step)["position_mm"].max() > hole.exit_mm)


def test_the_three_families_occur(drilled: list[Hole]) -> None:
    counts = Counter(hole.family for hole in drilled)
    assert counts["two speeds"] > counts["one speed"] > 20
    assert counts["lubricated"] > 20
    for hole in drilled:
        fields = hole.log.header["Head Datas"]
        written = [fields.get(name) for name in ("Micropeck Osc.", "Micropeck Amplitude")]
        assert (written == ["3,000", "10,000"]) == (hole.family == "lubricated")


def test_currents_of_the_soft_layer(drilled: list[Hole]) -> None:
    torque = per_hole(drilled, lambda hole: np.median(hole.soft("torque_a")))
    thrust = per_hole(drilled, lambda hole: np.median(hole.soft("thrust_a")))
    assert quantiles(torque, 0.02, 0.98) == pytest.approx([3.4, 6.6], abs=0.5)
    assert quantiles(thrust, 0.02, 0.98) == pytest.approx([0.11, 0.29], abs=0.025)


@pytest.mark.parametrize(("name", "least", "most"), [("torque_a", 9, 17), ("thrust_a", 0.5, 1.2)])
def test_currents_of_titanium(dry: list[Hole], name: str, least: float, most: float) -> None:
    levels = [np.median(hole.hard(name)) for hole in dry if hole.material == "CFRP/titanium"]
    low, high = quantiles(levels, 0.02, 0.98)
    assert least <= low < least + 0.2 * (most - least)
    assert most - 0.3 * (most - least) < high <= most


@pytest.mark.parametrize(("name", "least", "most"), [("torque_a", 7, 11), ("thrust_a", 0.3, 0.7)])
def test_currents_of_lubricated_titanium(pecked: list[Hole], name: str, least: float, most: float) -> None:
    # There are few lubricated stacks, and the holes of a stack are alike.
    levels = [smooth(hole.hard(name), 25).mean() for hole in pecked]
    assert least <= min(levels) < np.mean([least, most]) + 0.1 * (most - least)
    assert max(levels) <= most
    assert np.ptp(levels) > 0.2 * (most - least)


def test_the_noise_of_the_soft_layer(dry: list[Hole]) -> None:
    spread = per_hole(dry, lambda hole: hole.soft("torque_a").std())
    low, high = quantiles(spread, 0.05, 0.95)
    assert 0.018 < low < 0.03
    assert 0.045 < high < 0.065
    assert np.median([lag_1(hole.soft("torque_a")) for hole in dry]) == pytest.approx(0.7, abs=0.07)


def test_the_noise_of_the_hard_layer(dry: list[Hole]) -> None:
    spread = per_hole(dry, lambda hole: hole.hard("torque_a").std())
    low, high = quantiles(spread, 0.05, 0.95)
    assert 0.13 < low < 0.22
    assert 0.5 < high < 0.7


def test_the_noise_in_air(drilled: list[Hole]) -> None:
    spread = per_hole(drilled, lambda hole: hole.air("torque_a").std())
    low, high = quantiles(spread, 0.05, 0.95)
    assert 0.01 < low < 0.025
    assert 0.06 < high < 0.078
    assert np.median([lag_1(hole.air("torque_a")) for hole in drilled]) == pytest.approx(0, abs=0.06)


def test_torque_and_thrust_noise_are_uncorrelated(drilled: list[Hole]) -> None:
    together = [np.corrcoef(hole.hard("torque_a"), hole.hard("thrust_a"))[0, 1] for hole in drilled]
    assert abs(np.mean(together)) < 0.03
    assert np.median(np.abs(together)) < 0.15


def test_micropecking_is_a_sine_of_the_torque(pecked: list[Hole]) -> None:
    peaks = [spectrum_peak(hole.hard("torque_a")) for hole in pecked]
    assert np.median([peak for peak, _ in peaks]) == pytest.approx(8.04, abs=0.05)
    assert np.median([peak / (320 / 60) for peak, _ in peaks]) == pytest.approx(1.507, abs=0.01)
    assert np.median([share for _, share in peaks]) > 0.9
    shares = per_hole(pecked, lambda hole: hole.hard("torque_a").std() / hole.hard("torque_a").mean())
    assert quantiles(shares, 0.05, 0.95) == pytest.approx([0.13, 0.13], abs=0.01)
    spread = per_hole(pecked, lambda hole: hole.hard("torque_a").std())
    assert np.median(spread) == pytest.approx(1.1, abs=0.15)


def test_micropecking_swings_the_position(pecked: list[Hole]) -> None:
    assert np.median([oscillation_mm(hole) for hole in pecked]) == pytest.approx(0.003, abs=0.0005)


def test_entry_ramps(dry: list[Hole]) -> None:
    low, high = quantiles([entry_ramp_mm(hole) for hole in dry], 0.02, 0.98)
    assert 0.95 < low < 1.2
    assert 1.9 < high < 2.45


def test_exit_falls(drilled: list[Hole]) -> None:
    low, high = quantiles([exit_fall_mm(hole) for hole in drilled], 0.02, 0.98)
    assert 0.85 < low < 1.1
    assert 1.8 < high < 2.35


def test_hard_stops_often_show_no_thrust(drilled: list[Hole]) -> None:
    thrust = per_hole([hole for hole in drilled if step_codes(hole)[-1] == 8], last_thrust)
    assert 0.3 < np.mean(thrust <= 0.5) < 0.6
    low, high = quantiles(thrust[thrust > 0.5], 0.05, 0.95)
    assert 0.65 < low < 1
    assert 1.9 < high < 2.3


def test_rare_spikes_in_titanium(drilled: list[Hole]) -> None:
    peaks = per_hole(drilled, lambda hole: hole.column("torque_a").max())
    assert 0 < np.mean(peaks > 19) < 0.03
    assert peaks.max() < 53
