"""Features of samples, windows of 512 rows, their merging, and the scaler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilling.errors import InvalidConfig, LogUnreadable
from drilling.gaps import fill_gaps
from drilling.setitec import SetitecLog
from drilling.windows import (
    FEATURES,
    LENGTH,
    FeatureScaler,
    FeatureTable,
    NothingToFit,
    OtherFeatures,
    ScalerSawHole,
    WindowMismatch,
    feature_table,
    merge,
    windows_of,
)

NAMES = tuple(FEATURES)
FEED_MM_S = 0.5


def log_of(
    steps: Mapping[int, int],
    *,
    source: str = "T1_H1_ST_100_7.xls",
    head: Mapping[str, str] | None = None,
    **columns: list[float | None],
) -> SetitecLog:
    """A log with so many rows of each step; torque climbs by 0.01 A a row, no-load torque is the step."""
    rows = sum(steps.values())
    step = np.repeat(list(steps), list(steps.values()))
    jump = 0.1 * np.cumsum(np.diff(step, prepend=step[:1]) != 0)
    signals = pl.DataFrame(
        {
            "index": np.arange(rows),
            "step_time_s": np.zeros(rows),
            "position_mm": 0.6 + np.arange(rows) * FEED_MM_S / 100 - jump,
            "torque_a": 1 + 0.01 * np.arange(rows),
            "thrust_a": np.full(rows, 0.5),
            "torque_empty_a": step.astype(float),
            "thrust_empty_a": np.full(rows, 0.25),
            "step": step,
            "stop_code": np.zeros(rows, dtype=np.int64),
        }
    ).with_columns(pl.Series(name, values, strict=False) for name, values in columns.items())
    sections = {"Head Datas": dict(head or {})}
    return SetitecLog(source, 4, 100.0, None, sections, pl.DataFrame(), {}, pl.DataFrame(), signals, ())


def channel(table: FeatureTable, name: str) -> np.ndarray:
    return table.values[:, NAMES.index(name)]


def test_every_feature_of_a_plain_log() -> None:
    table = feature_table(log_of({2: 300}, head={"Head Local Counter": "12,000", "Micropeck Osc.": "3,000"}))
    assert table.names == NAMES
    assert table.values.shape == (300, 21)
    assert table.values.dtype == np.float32
    assert table.index.tolist() == list(range(300))
    assert table.position_mm[[0, -1]].tolist() == pytest.approx([0.6, 0.6 + 299 * 0.005])
    assert channel(table, "log_feed") == pytest.approx(np.log1p(FEED_MM_S), abs=1e-6)
    assert {float(value) for value in channel(table, "tool_age")} == {12.0}
    assert channel(table, "micropeck").all()
    assert not channel(table, "predrilled").any()
    assert not channel(table, "step_change").any()


def test_the_torque_stack_is_fifteen_means_of_three_rows_around_a_row() -> None:
    rng = np.random.default_rng(0)
    torque = rng.normal(5, 1, 200)
    table = feature_table(log_of({2: 200}, torque_a=torque.tolist()))
    total = torque + 2
    for phase in (-1, 0, 1):
        for lag in (-2, -1, 0, 1, 2):
            centre = 100 + 3 * lag + phase
            expected = total[centre - 1 : centre + 2].mean()
            assert channel(table, f"torque_p{phase}_l{lag}")[100] == pytest.approx(expected, rel=1e-6)
    first = [channel(table, f"torque_p{phase}_l-2")[0] for phase in (-1, 0, 1)]
    assert first == pytest.approx([total[:3].mean()] * 3, rel=1e-6)


@pytest.mark.parametrize("steps", [{4: 80}, {2: 60, 3: 60}, {0: 9, 1: 2, 2: 1, 3: 40}, {7: 30, 5: 30}])
def test_no_channel_mixes_two_steps(steps: dict[int, int]) -> None:
    torque = np.repeat([100.0 * number for number in range(len(steps))], list(steps.values())).tolist()
    table = feature_table(log_of(steps, torque_a=torque))
    number = np.repeat(np.arange(len(steps)), list(steps.values()))
    level = number * 100.0 + np.repeat(list(steps), list(steps.values()))
    assert np.allclose(table.values[:, :15], level[:, None])
    assert np.isfinite(table.values).all()


def test_a_step_change_is_flagged_until_the_tool_is_deeper_by_a_fifth_of_a_millimetre() -> None:
    table = feature_table(log_of({2: 100, 3: 200}))
    flagged = np.flatnonzero(channel(table, "step_change"))
    assert flagged[0] == 100
    assert table.position_mm[flagged[-1] + 1] >= table.position_mm[99] + 0.2 > table.position_mm[flagged[-1]]
    assert np.array_equal(flagged, np.arange(100, flagged[-1] + 1))


def test_empty_cells_are_interpolated_inside_a_step_and_nowhere_else() -> None:
    torque: list[float | None] = [float(row) for row in range(200)]
    for row in (0, 1, 50, 51, 99, 100, 199):
        torque[row] = None
    table = feature_table(log_of({2: 100, 3: 100}, torque_a=torque))
    assert sorted(set(range(200)) - set(table.index.tolist())) == [0, 1, 99, 100, 199]
    at = table.index.tolist().index(50)
    assert channel(table, "torque_p0_l0")[at] == pytest.approx(52)
    assert np.isfinite(table.values).all()


def test_a_gap_of_more_than_half_a_second_is_left_out_and_not_reached_across() -> None:
    torque: list[float | None] = [1.0] * 100 + [None] * 60 + [9.0] * 100
    table = feature_table(log_of({2: 260}, torque_a=torque))
    assert len(table) == 200
    assert np.allclose(table.values[:100, :15], 3)
    assert np.allclose(table.values[100:, :15], 11)
    assert np.allclose(channel(table, "log_feed"), np.log1p(FEED_MM_S), atol=1e-5)


def test_the_no_load_current_is_constant_in_a_step_and_0_where_the_step_lacks_it() -> None:
    empty: list[float | None] = [None] * 20 + [2.0] * 20 + [None] * 40
    table = feature_table(log_of({2: 40, 3: 40}, torque_empty_a=empty, torque_a=[1.0] * 80))
    assert np.allclose(table.values[:40, :15], 3)
    assert np.allclose(table.values[40:, :15], 1)


def test_a_log_without_steps_is_one_step() -> None:
    table = feature_table(log_of({2: 50}, step=[None] * 50))
    assert len(table) == 50
    assert not channel(table, "step_change").any()


@pytest.mark.parametrize("column", ["position_mm", "torque_a", "thrust_a"])
def test_a_log_without_a_needed_column_is_refused(column: str) -> None:
    with pytest.raises(LogUnreadable, match="a position, a torque and a thrust"):
        feature_table(log_of({2: 50}, **{column: [None] * 50}))


@pytest.mark.parametrize(
    ("source", "age", "predrilled"),
    [
        ("/a/TAG1_HD 1_ST_1203_20.xls", 20, False),
        ("C:\\logs\\SN9_HD1_ST_2_1_1.XLS", 1, True),
        ("SN9_H_ST_1_ST_1203_20_1", 20, True),
        ("the bytes given", np.nan, False),
    ],
)
def test_the_file_name_tells_a_hole_drilled_in_air_first(source: str, age: float, predrilled: bool) -> None:
    table = feature_table(log_of({2: 20}, source=source))
    assert channel(table, "predrilled").all() == predrilled
    assert channel(table, "tool_age")[0] == pytest.approx(age, nan_ok=True)
    named = feature_table(log_of({2: 20}, source="bytes"), file_name=source)
    assert np.array_equal(named.values, table.values, equal_nan=True)


def test_the_header_knows_the_age_better_than_the_file_name() -> None:
    for name in ("Head Local Counter", "Head Counter 2"):
        table = feature_table(log_of({2: 20}, head={name: "3,000", "Micropeck Osc.": "0,000"}))
        assert channel(table, "tool_age")[0] == 3
        assert not channel(table, "micropeck").any()


def test_a_long_log_takes_little_time_and_its_windows_end_at_its_last_sample() -> None:
    table = feature_table(log_of({4: 11_466}))
    batch = windows_of(table)
    assert batch.signals.shape == (44, LENGTH, 21)
    assert batch.start[-1] + LENGTH == 11_466
    assert batch.mask.all()
    assert np.array_equal(batch.signals[-1], table.values[-LENGTH:])
    assert batch.position_mm[3] == pytest.approx(table.position_mm[768 : 768 + LENGTH], abs=1e-5)


def test_a_short_log_is_padded_by_its_last_sample_and_the_mask_says_so() -> None:
    table = feature_table(log_of({2: 56}))
    batch = windows_of(table)
    assert batch.signals.shape == (1, LENGTH, 21)
    assert batch.rows == 56
    assert np.flatnonzero(batch.mask[0]).tolist() == list(range(56))
    assert (batch.signals[0, 56:] == table.values[-1]).all()
    assert (batch.position_mm[0, 56:] == np.float32(table.position_mm[-1])).all()


sizes = st.tuples(st.integers(1, 90), st.integers(1, 40)).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), st.integers(1, pair[1]))
)


def table_of(rows: int, seed: int = 0) -> FeatureTable:
    values = np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32)
    return FeatureTable(values, ("a", "b", "c"), np.arange(rows), np.arange(rows) * 0.01)


@given(sizes)
def test_windows_cover_every_row_and_merging_is_their_inverse(size: tuple[int, int, int]) -> None:
    rows, length, stride = size
    table = table_of(rows)
    batch = windows_of(table, length, stride=stride)
    covered = np.unique(np.concatenate([batch.start + place for place in range(length)]))
    assert set(range(rows)) <= set(covered.tolist())
    assert batch.rows == rows
    assert (np.diff(batch.start) > 0).all()
    assert (np.diff(batch.start) <= stride).all()
    weights = np.random.default_rng(1).uniform(0.1, 5, batch.mask.shape)
    for merged in (merge(batch, batch.signals), merge(batch, batch.signals, weights)):
        assert merged.shape == (rows, 3)
        assert np.allclose(merged, table.values, atol=1e-6)


@given(st.integers(1, 40), st.floats(0, 0.99))
def test_any_overlap_makes_windows_without_a_gap(length: int, overlap: float) -> None:
    batch = windows_of(table_of(100), length, overlap)
    assert (np.diff(batch.start) <= length).all()
    assert batch.rows == 100


def test_merging_weighs_windows_by_their_inverse_variance() -> None:
    batch = windows_of(table_of(6), 4, stride=2)
    values = np.stack([np.full((4, 2), 1.0), np.full((4, 2), 3.0)])
    plain = merge(batch, values)
    assert plain[:, 0].tolist() == [1, 1, 2, 2, 3, 3]
    weights = np.stack([np.full((4, 2), 1.0), np.full((4, 2), 3.0)])
    assert merge(batch, values, weights)[:, 1].tolist() == [1, 1, 2.5, 2.5, 3, 3]
    weights[0] = 0
    values[0] = np.nan
    merged = merge(batch, values, weights)
    assert np.isnan(merged[:2]).all()
    assert (merged[2:] == 3).all()


@pytest.mark.parametrize(
    ("values", "weights", "problem"),
    [
        (np.zeros((2, 3, 1)), None, "values have shape"),
        (np.zeros((2, 4)), None, "values have shape"),
        (np.zeros((2, 4, 2)), np.ones((2, 4, 3)), "weights have shape"),
        (np.zeros((2, 4, 1)), np.ones(8), "weights have shape"),
        (np.zeros((2, 4, 1)), -np.ones((2, 4)), "negative"),
        (np.zeros((2, 4, 1)), np.full((2, 4), np.inf), "not finite"),
    ],
)
def test_what_does_not_fit_the_windows_is_refused(
    values: np.ndarray, weights: np.ndarray | None, problem: str
) -> None:
    with pytest.raises(WindowMismatch, match=problem) as caught:
        merge(windows_of(table_of(6), 4, stride=2), values, weights)
    assert caught.value.remedy


@pytest.mark.parametrize(("length", "overlap", "stride"), [(0, 0.5, None), (8, 1.0, None), (8, 0.5, 9)])
def test_windows_that_would_leave_rows_out_are_refused(
    length: int, overlap: float, stride: int | None
) -> None:
    with pytest.raises(InvalidConfig):
        windows_of(table_of(20), length, overlap, stride=stride)


def fitted(count: int = 5) -> FeatureScaler:
    return FeatureScaler.fit((f"hole{seed}", table_of(30 + seed, seed)) for seed in range(count))


def test_each_hole_counts_the_same_however_long_it_is() -> None:
    short = replace(table_of(2), values=np.array([[0, 5, 1], [2, 5, 1]], dtype=np.float32))
    long = replace(table_of(1000), values=np.full((1000, 3), 5, dtype=np.float32))
    scaler = FeatureScaler.fit([("short", short), ("long", long)])
    assert scaler.mean == (3.0, 5.0, 3.0)
    assert scaler.scale == pytest.approx((np.sqrt(0.5 + 4), 1.0, 2.0))


def test_scaled_features_have_mean_0_and_scale_1_and_the_order_of_holes_does_not_matter() -> None:
    holes = [(f"hole{seed}", table_of(50, seed)) for seed in range(20)]
    scaler = FeatureScaler.fit(holes)
    values = np.concatenate([scaler.apply(table).values for _, table in holes])
    assert values.mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert values.std(axis=0) == pytest.approx(1, rel=1e-5)
    assert FeatureScaler.fit(reversed(holes)) == scaler


def test_an_unknown_tool_age_becomes_the_mean_and_is_not_fitted_on() -> None:
    known, unknown = feature_table(log_of({2: 60})), feature_table(log_of({2: 60}, source="bytes"))
    scaler = FeatureScaler.fit([("known", known), ("unknown", unknown)])
    assert scaler.mean[NAMES.index("tool_age")] == 7
    scaled = scaler.apply(unknown)
    assert np.isfinite(scaled.values).all()
    assert (channel(scaled, "tool_age") == 0).all()
    nowhere = FeatureScaler.fit([("unknown", unknown)])
    assert np.isfinite(nowhere.apply(known).values).all()


def test_a_scaler_is_the_same_after_json_and_says_what_it_saw() -> None:
    scaler = fitted()
    text = scaler.to_json()
    assert FeatureScaler.from_json(text) == scaler
    assert json.loads(text)["digest"] == scaler.digest
    assert "hole1" not in text
    assert fitted(4).digest != scaler.digest
    scaler.check_unseen(["hole5", "another"])
    with pytest.raises(ScalerSawHole, match="1 of the held-out holes: hole2"):
        FeatureScaler.from_json(text).check_unseen(["another", "hole2"])


def test_a_scaler_is_not_fitted_on_nothing_nor_on_or_for_other_features() -> None:
    with pytest.raises(NothingToFit):
        FeatureScaler.fit([])
    other = replace(table_of(5), names=("a", "b", "d"))
    with pytest.raises(OtherFeatures, match="c, d"):
        FeatureScaler.fit([("one", table_of(5)), ("two", other)])
    with pytest.raises(OtherFeatures, match="c, d"):
        fitted().apply(other)
    with pytest.raises(OtherFeatures, match="their order"):
        fitted().apply(replace(table_of(5), names=("b", "a", "c")))
    with pytest.raises(OtherFeatures, match="scaled already"):
        fitted().apply(fitted().apply(table_of(5)))


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"mean": [0.0]}, {"scale": [1.0, 0.0, 1.0]}, {"fitted_on": ["x"]}, {"mean": None}],
)
def test_a_damaged_scaler_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidConfig, match="scaler"):
        FeatureScaler.from_json(json.dumps(json.loads(fitted().to_json()) | change))
    with pytest.raises(InvalidConfig, match="not a stored scaler"):
        FeatureScaler.from_json("{")


cells = st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=12, max_size=12)


@given(cells, st.integers(1, 11), st.integers(0, 6))
@settings(max_examples=60)
def test_filling_never_changes_a_known_cell_nor_leaves_its_bounds(
    torque: list[float | None], change: int, most: int
) -> None:
    signals = log_of({2: change, 3: 12 - change}, torque_a=torque).signals
    filled, counts = fill_gaps(signals, most)
    now = filled["torque_a"].to_list()
    assert all(before is None or before == after for before, after in zip(torque, now, strict=True))
    assert counts.get("torque_a", 0) == torque.count(None) - now.count(None)
    for first, last in ((0, change), (change, 12)):
        known = [value for value in torque[first:last] if value is not None]
        assert all(min(known) <= value <= max(known) for value in now[first:last] if value is not None)
        if now[first] is not None:
            assert torque[first] is not None
        if now[last - 1] is not None:
            assert torque[last - 1] is not None
