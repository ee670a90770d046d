"""Data quality variants: every change is counted, and copies are the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from drilling.errors import InvalidConfig
from drilling.setitec import SetitecLog
from drilling.validation import validate_log
from drilling.variants import Dropped, Variant, apply_variant
from drilling.windows import feature_table


@dataclass(frozen=True)
class Verdict:
    passed: bool


def accept(_: SetitecLog) -> Verdict:
    return Verdict(passed=True)


def hole(source: str = "/in/T1_H1_ST_100_7.xls", *, seed: int = 0, micropeck: bool = False) -> SetitecLog:
    """Air, a ramp of 1 mm, a hard layer, over two steps of 400 and 600 rows."""
    rng = np.random.default_rng(seed)
    row = np.arange(1000)
    share = np.clip((row - 300) / 200, 0, 1)
    sine = 0.13 * np.sqrt(2) * np.sin(2 * np.pi * 8.04 * row / 100) if micropeck else 0
    torque = share * 9 * (1 + sine) + rng.normal(0, 0.03 + 0.3 * share)
    thrust = 0.5 * share + rng.normal(0, 0.02, 1000)
    step = np.repeat([2, 3], [400, 600])
    stop = np.zeros(1000, dtype=np.int64)
    stop[[398, 399]], stop[[998, 999]] = 1, 8
    signals = pl.DataFrame(
        {
            "index": row,
            "step_time_s": row / 100,
            "position_mm": 0.6 + row * 0.005 - 0.2 * (step == 3),
            "torque_a": np.round(torque / 0.0488) * 0.0488,
            "thrust_a": np.round(thrust / 0.0117) * 0.0117,
            "torque_empty_a": np.where(step == 2, 0.9, 1.2),
            "thrust_empty_a": np.full(1000, 0.25),
            "step": step,
            "stop_code": stop,
        }
    )
    return SetitecLog(source, 4, 100.0, None, {}, pl.DataFrame(), {}, pl.DataFrame(), signals, ())


def with_cells(log: SetitecLog, column: str, cells: dict[int, float | None]) -> SetitecLog:
    values = log.signals[column].to_list()
    for row, value in cells.items():
        values[row] = value
    return replace(log, signals=log.signals.with_columns(pl.Series(column, values)))


def one(log: SetitecLog, variant: Variant, **options: object) -> tuple[SetitecLog, object]:
    (result,) = apply_variant([log], variant, 0, **options)
    return result


def test_raw_logs_are_as_read() -> None:
    log = with_cells(hole(), "torque_a", {5: None, 200: 40.0})
    found, provenance = one(log, "raw")
    assert found is log
    assert (provenance.origin, provenance.variant, provenance.training_only) == (log.source, "raw", False)


@pytest.mark.parametrize("micropeck", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_sound_log_is_not_changed_by_cleaning(seed: int, micropeck: bool) -> None:
    log = hole(seed=seed, micropeck=micropeck)
    found, provenance = one(log, "cleaned")
    assert found.signals.equals(log.signals)
    assert (provenance.filled, provenance.spikes) == ({}, {})


def test_short_gaps_are_filled_inside_a_step_and_counted() -> None:
    log = with_cells(hole(), "torque_a", dict.fromkeys([0, 100, 101, 398, 399, 400, *range(600, 606)]))
    log = with_cells(log, "thrust_a", {50: None})
    log = with_cells(log, "torque_empty_a", {0: None})
    found, provenance = one(log, "cleaned")
    assert provenance.filled == {"torque_a": 2, "thrust_a": 1, "torque_empty_a": 1}
    torque = found.signals["torque_a"]
    assert np.flatnonzero(torque.is_null()).tolist() == [0, 398, 399, 400, *range(600, 606)]
    a, b = torque[99], torque[102]
    assert torque[100] == pytest.approx(a + (b - a) / 3)
    assert found.signals["torque_empty_a"][0] == 0.9
    assert "torque_a" in log.signals.columns
    assert log.signals["torque_a"].null_count() == 12


@pytest.mark.parametrize("row", [50, 350, 420, 700])
def test_a_spike_of_one_sample_is_replaced_and_counted(row: int) -> None:
    log = with_cells(hole(), "torque_a", {row: 40.0})
    found, provenance = one(log, "cleaned")
    assert provenance.spikes == {"torque_a": 1}
    torque = log.signals["torque_a"]
    assert found.signals["torque_a"][row] == pytest.approx((torque[row - 1] + torque[row + 1]) / 2)
    changed = found.signals["torque_a"] != torque
    assert np.flatnonzero(changed).tolist() == [row]


def test_downward_and_thrust_spikes_count_too() -> None:
    log = with_cells(with_cells(hole(), "thrust_a", {120: 3.0}), "torque_a", {800: -20.0})
    assert one(log, "cleaned")[1].spikes == {"torque_a": 1, "thrust_a": 1}


def test_peaks_of_two_samples_and_what_ends_a_step_are_kept() -> None:
    log = with_cells(hole(), "torque_a", {700: 52.0, 701: 50.0, 399: 30.0, 999: 30.0, 997: 30.0, 402: 20.0})
    found, provenance = one(log, "cleaned")
    assert provenance.spikes == {}
    assert found.signals.equals(log.signals)


def test_a_sharp_corner_is_no_spike() -> None:
    levels = np.repeat([0.0, 12.0, 1.0], [300, 400, 300])
    log = replace(hole(), signals=hole().signals.with_columns(pl.Series("torque_a", levels)))
    assert one(log, "cleaned")[1].spikes == {}


def test_a_log_with_too_few_rows_or_no_currents_is_left_alone() -> None:
    short = replace(hole(), signals=hole().signals.head(9))
    assert one(short, "cleaned")[0].signals.equals(short.signals)
    bare = with_cells(hole(), "thrust_a", dict.fromkeys(range(1000)))
    assert one(bare, "cleaned")[0].signals["thrust_a"].null_count() == 1000
    assert len(list(apply_variant([short, bare], "augmented", 0, validate=accept))) == 8


def test_holes_that_do_not_pass_are_dropped_and_told_of() -> None:
    bad, good = with_cells(hole("bad.xls"), "torque_a", {700: 99.0}), hole("good.xls")
    judged: list[float] = []

    def validate(log: SetitecLog) -> Verdict:
        judged.append(log.signals["torque_a"][700])
        return Verdict(log.source != "bad.xls")

    dropped: list[Dropped] = []
    kept = list(apply_variant([bad, good], "validated", 0, validate=validate, on_dropped=dropped.append))
    assert [log.source for log, _ in kept] == ["good.xls"]
    assert [(drop.origin, drop.report) for drop in dropped] == [("bad.xls", Verdict(passed=False))]
    assert judged[0] < 20  # the validator judges the cleaned log
    assert len(list(apply_variant([bad, good], "augmented", 0, copies=2, validate=validate))) == 3


def test_the_projects_own_validator_is_the_default() -> None:
    tool_break = [0] * 998 + [0x200] * 2
    broken = replace(hole(), signals=hole().signals.with_columns(pl.Series("stop_code", tool_break)))
    dropped: list[Dropped] = []
    kept = [log for log, _ in apply_variant([hole(), broken], "validated", 0, on_dropped=dropped.append)]
    assert all(validate_log(log).passed for log in kept)
    assert not any(drop.report.passed for drop in dropped)
    assert len(kept) + len(dropped) == 2


def test_copies_follow_their_hole_and_say_how_they_differ() -> None:
    log = hole()
    (same, first), *copies = apply_variant([log], "augmented", 5, copies=4, validate=accept)
    assert same.signals.equals(log.signals)
    assert (first.copy, first.variant, first.training_only) == (0, "augmented", False)
    assert [provenance.copy for _, provenance in copies] == [1, 2, 3, 4]
    label = np.array([2.1, np.nan, 5.0])
    for copy, provenance in copies:
        assert provenance.origin == log.source
        assert provenance.training_only
        offset = copy.signals["position_mm"].to_numpy() - log.signals["position_mm"].to_numpy()
        assert offset == pytest.approx(provenance.depth_offset_mm)
        assert abs(provenance.depth_offset_mm) <= 0.4
        assert copy.signals["position_mm"].min() >= 0
        assert provenance.moved(label) == pytest.approx(label + offset[0], nan_ok=True)
        hard = slice(600, 990)
        for column, gain in provenance.gains.items():
            assert 0.9 <= gain <= 1.1
            ratio = copy.signals[column][hard].mean() / log.signals[column][hard].mean()
            assert ratio == pytest.approx(gain, abs=0.01)
        untouched = pl.exclude("position_mm", "torque_a", "thrust_a")
        assert copy.signals.select(untouched).equals(log.signals.select(untouched))
        assert np.isfinite(feature_table(copy).values).all()
    assert len({provenance.depth_offset_mm for _, provenance in copies}) > 1


def test_the_added_noise_has_the_level_measured_around_each_sample() -> None:
    log = hole()
    added = []
    for copy, provenance in list(apply_variant([log], "augmented", 1, copies=40, validate=accept))[1:]:
        gain = provenance.gains["torque_a"]
        added.append(copy.signals["torque_a"].to_numpy() - gain * log.signals["torque_a"].to_numpy())
        assert 0.05 < provenance.noise_a["torque_a"] < 0.4
    level = np.std(added, axis=0)
    assert 0.02 < level[20:250].mean() < 0.05
    assert level[600:980].mean() == pytest.approx(log.signals["torque_a"][600:980].std(), rel=0.1)


def test_an_empty_cell_stays_empty_in_a_copy() -> None:
    log = with_cells(hole(), "torque_a", dict.fromkeys(range(600, 620)))
    copy = list(apply_variant([log], "augmented", 0, copies=1, validate=accept))[1][0]
    assert np.flatnonzero(copy.signals["torque_a"].is_null()).tolist() == list(range(600, 620))


def test_copies_depend_on_the_seed_and_the_hole_alone() -> None:
    a, b = hole("/in/a.xls"), hole("/in/b.xls", seed=1)

    def copies(logs: list[SetitecLog], seed: int) -> dict[tuple[str, int], pl.DataFrame]:
        found = apply_variant(logs, "augmented", seed, copies=2, validate=accept)
        return {(log.source[-5:], provenance.copy): log.signals for log, provenance in found}

    once, again = copies([a, b], 3), copies([b, replace(a, source="/other/a.xls")], 3)
    assert once.keys() == again.keys()
    assert all(once[key].equals(again[key]) for key in once)
    assert not once["a.xls", 1].equals(copies([a], 4)["a.xls", 1])
    assert not once["a.xls", 1].equals(once["a.xls", 2])


def test_an_unknown_variant_is_refused_before_anything_is_read() -> None:
    def never() -> object:
        raise AssertionError
        yield

    with pytest.raises(InvalidConfig, match="'polished' is not one of"):
        apply_variant(never(), "polished", 0)
    with pytest.raises(InvalidConfig, match="-1 copies"):
        apply_variant(never(), "augmented", 0, copies=-1)
