"""Drift: what is found, what is not, and why something cannot be judged."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.entities import ColumnDrift, ColumnKind, DriftCheck, DriftReport
from mlops.errors import InvalidInput
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.evidently import EvidentlyMonitor
from mlops.monitoring.sample import Sample, SampledColumn

KEEN = DriftSettings(least_rows=2)


def sample(outputs: dict[str, Any] | None = None, **inputs: Any) -> Sample:
    columns = [
        SampledColumn.of(name, side, list(values))
        for side, given in (("inputs", inputs), ("outputs", outputs or {}))
        for name, values in given.items()
    ]
    return Sample(tuple(columns), max((len(column.values) for column in columns), default=0))


def judged(reference: Sample, current: Sample, manner: DriftSettings | None = None) -> DriftReport:
    return EvidentlyMonitor().report(reference, current, manner or DriftSettings())


def row(report: DriftReport, check: DriftCheck, column: str = "x") -> ColumnDrift:
    found = [one for one in report.columns if (one.column, one.check) == (column, check)]
    assert len(found) == 1
    return found[0]


def drifted(report: DriftReport) -> set[DriftCheck]:
    return {one.check for one in report.columns if one.drifted}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


# -- what is found ---------------------------------------------------------------------------------


def test_nothing_has_drifted_against_itself(rng: np.random.Generator) -> None:
    same = sample(x=rng.normal(size=500), c=rng.choice(["a", "b"], size=500).tolist(), flag=[True] * 500)
    report = judged(same, same)
    assert not report.drifted
    assert report.share == 0
    assert [one.score for one in report.columns if one.check is DriftCheck.DISTRIBUTION] == [0, 0, 0]
    assert (report.reference_rows, report.current_rows) == (500, 500)


def test_a_mean_that_moved(rng: np.random.Generator) -> None:
    reference = sample(x=rng.normal(size=5000), z=rng.normal(size=5000))
    report = judged(reference, sample(x=rng.normal(0.5, size=1000), z=rng.normal(size=1000)))
    assert [(one.column, one.check) for one in report.columns if one.drifted] == [
        ("x", DriftCheck.DISTRIBUTION)
    ]
    assert report.drifted
    assert report.share == 0.5
    found = row(report, DriftCheck.DISTRIBUTION)
    assert found.method == "Kolmogorov-Smirnov distance"
    assert found.score == pytest.approx(0.2, abs=0.05)
    assert found.threshold is not None
    assert 0.05 < found.threshold < 0.1
    assert "median" in found.detail


def test_a_prediction_that_moved_is_told_as_an_output(rng: np.random.Generator) -> None:
    reference = sample({"x": rng.normal(size=2000)}, x=rng.normal(size=2000))
    report = judged(reference, sample({"x": rng.normal(1, size=500)}, x=rng.normal(size=500)))
    assert {one.side for one in report.columns if one.drifted} == {"outputs"}


def test_a_spread_that_grew(rng: np.random.Generator) -> None:
    report = judged(sample(x=rng.normal(size=5000)), sample(x=rng.normal(0, 1.5, size=2000)))
    assert DriftCheck.DISTRIBUTION in drifted(report)


def test_a_category_that_is_new(rng: np.random.Generator) -> None:
    reference = sample(x=rng.choice(["a", "b"], size=3000).tolist())
    current = rng.choice(["a", "b", "brand new"], p=[0.49, 0.49, 0.02], size=1000).tolist()
    found = row(judged(reference, sample(x=current)), DriftCheck.NEW_CATEGORIES)
    assert found.drifted
    assert found.detail.endswith("brand new")
    assert found.detail.startswith("0.00% → ")


def test_many_new_categories_are_counted(rng: np.random.Generator) -> None:
    reference = sample(x=["a", "b"] * 500)
    found = row(judged(reference, sample(x=[f"n{k % 9}" for k in range(90)])), DriftCheck.NEW_CATEGORIES)
    assert found.detail.endswith("n0, n1, n2, n3, n4 and 4 more")


def test_new_categories_are_no_news_where_every_tenth_always_is(rng: np.random.Generator) -> None:
    def names(rows: int) -> list[str]:
        return [
            "usual" if common else f"id {number}"
            for common, number in zip(rng.random(rows) < 0.9, rng.integers(10**9, size=rows), strict=True)
        ]

    reference = sample(x=names(2000))
    assert reference.columns[0].kind is ColumnKind.CATEGORICAL
    assert not judged(reference, sample(x=names(1000))).drifted
    assert judged(reference, sample(x=[f"id {k}" for k in range(1000)])).drifted


def test_shares_of_categories_that_moved(rng: np.random.Generator) -> None:
    reference = sample(x=rng.choice(["a", "b"], p=[0.5, 0.5], size=3000).tolist())
    report = judged(reference, sample(x=rng.choice(["a", "b"], p=[0.7, 0.3], size=500).tolist()))
    assert drifted(report) == {DriftCheck.DISTRIBUTION}
    assert row(report, DriftCheck.DISTRIBUTION).method == "Jensen-Shannon distance"


def test_values_that_went_missing(rng: np.random.Generator) -> None:
    current = [None if gone else value for gone, value in zip(rng.random(1000) < 0.1, rng.normal(size=1000))]  # noqa: B905
    report = judged(sample(x=rng.normal(size=3000)), sample(x=current))
    assert drifted(report) == {DriftCheck.MISSING}
    found = row(report, DriftCheck.MISSING)
    assert found.reference_missing == 0
    assert found.current_missing == current.count(None) / 1000


def test_values_that_are_all_missing_are_told_though_there_is_nothing_to_compare() -> None:
    report = judged(sample(x=np.arange(300.0)), sample(x=[None] * 300))
    assert drifted(report) == {DriftCheck.MISSING}
    assert row(report, DriftCheck.DISTRIBUTION).reason == "the window has no value of it"


def test_fewer_missing_values_are_no_alarm() -> None:
    report = judged(sample(x=[None, 1.0] * 500), sample(x=[1.0] * 500))
    assert row(report, DriftCheck.MISSING).score == 0


def test_numbers_out_of_the_range() -> None:
    reference = sample(x=np.linspace(0, 1, 2000))
    current = np.linspace(0, 1, 1000)
    current[::20] = 7
    report = judged(reference, sample(x=current))
    found = row(report, DriftCheck.OUT_OF_RANGE)
    assert found.drifted
    assert found.detail == "0.10% → 5.00% range 0 to 1"


def test_a_sensor_that_stands_still() -> None:
    reference = sample(x=np.random.default_rng(0).normal(size=1000))
    report = judged(reference, sample(x=[0.123] * 100))
    found = row(report, DriftCheck.CONSTANT)
    assert found.drifted
    assert found.detail == "always 0.123"


def test_a_rare_flag_that_did_not_come_up_is_no_alarm(rng: np.random.Generator) -> None:
    reference = sample(x=(rng.random(5000) < 0.02).tolist())
    report = judged(reference, sample(x=[False] * 100))
    assert not report.drifted
    assert not row(report, DriftCheck.CONSTANT).drifted


def test_a_constant_that_stays_one_has_no_row_of_its_own() -> None:
    report = judged(sample(x=[3.0] * 100), sample(x=[3.0] * 100))
    assert DriftCheck.CONSTANT not in {one.check for one in report.columns}
    assert row(report, DriftCheck.DISTRIBUTION).score == 0


def test_texts_that_grew_longer(rng: np.random.Generator) -> None:
    def texts(longest: int) -> list[str]:
        return [f"{k}".rjust(int(length), "x") for k, length in enumerate(rng.integers(5, longest, size=600))]

    reference = sample(x=texts(20))
    report = judged(reference, sample(x=texts(60)))
    found = row(report, DriftCheck.DISTRIBUTION)
    assert found.kind is ColumnKind.TEXT
    assert found.method == "Kolmogorov-Smirnov distance of length"
    assert found.drifted


# -- false alarms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [40, 400])
def test_windows_without_a_shift_hardly_ever_alarm(rng: np.random.Generator, rows: int) -> None:
    def stream(count: int) -> Sample:
        numbers = {f"x{k}": rng.normal(size=count) for k in range(6)}
        skewed = {f"s{k}": rng.lognormal(sigma=2, size=count) for k in range(3)}
        flags = {f"f{k}": (rng.random(count) < 0.02 * (k + 1)).tolist() for k in range(3)}
        kinds = {
            f"c{k}": rng.zipf(1.5 + k / 2, size=count).clip(max=500).astype(str).tolist() for k in range(3)
        }
        gaps = {"g": [None if gone else 1.5 for gone in rng.random(count) < 0.1]}
        return sample(**numbers, **skewed, **flags, **kinds, **gaps)

    reference = stream(2000)
    alarms = sum(judged(reference, stream(rows)).drifted for _ in range(60))
    assert alarms <= 2


def test_what_is_sure_but_small_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    reference = sample(x=rng.normal(size=40_000))
    current = sample(x=rng.normal(0.06, size=40_000))
    assert not judged(reference, current).drifted
    assert judged(reference, current, DriftSettings(least_effect=0)).drifted


@pytest.mark.parametrize(("gone", "found"), [(60, False), (200, True)])
def test_a_share_that_rose_by_next_to_nothing_is_no_drift(gone: int, found: bool) -> None:
    reference = sample(x=np.linspace(0, 1, 50_000))
    current = [None] * gone + [0.5, 0.25, 0.75, 0.1, 0.9] * 9988
    report = judged(reference, sample(x=current), DriftSettings(least_effect=0.9))
    assert row(report, DriftCheck.MISSING).drifted is found
    assert row(judged(reference, sample(x=current), DriftSettings(least_rise=0)), DriftCheck.MISSING).drifted


def test_a_threshold_does_not_depend_on_what_the_other_columns_hold() -> None:
    rng = np.random.default_rng(0)
    x = {"x": rng.normal(size=500)}
    calm = judged(sample(**x, z=rng.normal(size=500)), sample(**x, z=rng.normal(size=500)))
    wild = judged(sample(**x, z=[None] * 500), sample(**x, z=["a"] * 500))
    for check in (DriftCheck.DISTRIBUTION, DriftCheck.MISSING):
        assert row(calm, check) == row(wild, check)


# -- what cannot be judged -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "current", "reason"),
    [
        ({}, {"x": [1.0] * 50}, "the reference does not have this column"),
        ({"x": [1.0] * 50}, {}, "no inference of the window has this column"),
        ({"x": [None] * 50}, {"x": [1.0] * 50}, "the reference has no value of it"),
        ({"x": [1.0] * 50}, {"x": [None] * 50}, "the window has no value of it"),
        ({"x": [1.0] * 50}, {"x": [2.0]}, "the window has 1 values of it, and 30 are needed"),
        ({"x": [1.0] * 9}, {"x": [2.0] * 50}, "the reference has 9 values of it, and 30 are needed"),
        ({"x": [1.5] * 50}, {"x": ["a"] * 50}, "the window has other values where the reference has numbers"),
        (
            {"x": [f"part {k}" for k in range(500)]},
            {"x": [1.5] * 50},
            "the window has numbers where the reference has texts",
        ),
        (
            {"x": [f"part {k}" for k in range(90)]},
            {"x": [f"piece {k}" for k in range(90)]},
            "no category is frequent enough to be compared",
        ),
    ],
)
def test_a_column_that_cannot_be_judged_says_why(
    reference: dict[str, Any], current: dict[str, Any], reason: str
) -> None:
    report = judged(sample(**reference), sample(**current))
    found = row(report, DriftCheck.DISTRIBUTION)
    assert found.reason == reason
    assert (found.score, found.threshold, found.drifted, found.method) == (None, None, False, "")


def test_the_share_is_of_columns_whichever_check_drifted() -> None:
    reference = sample(x=[0.5] * 25 + [1.0] * 25, z=[0.5] * 25 + [1.0] * 25, few=[1.5] * 9)
    report = judged(reference, sample(x=[None] * 50, z=[0.5] * 25 + [1.0] * 25, few=[1.5] * 50))
    drifted = {(one.column, one.check) for one in report.columns if one.drifted}
    assert drifted == {("x", DriftCheck.MISSING)}
    assert (report.judged, report.drifted_columns) == (2, 1), "of `few` nothing can be judged"
    assert report.share == 0.5


def test_columns_that_are_not_there_are_missing_altogether() -> None:
    found = row(judged(sample(x=[1.0] * 50), sample()), DriftCheck.DISTRIBUTION)
    assert (found.reference_missing, found.current_missing) == (0, 1)


def test_an_empty_window_is_a_report_and_so_is_nothing_against_nothing() -> None:
    report = judged(sample(x=[1.0] * 50), Sample.of_inferences([]))
    assert (report.drifted, report.share, report.current_rows, report.since) == (False, 0, 0, None)
    assert judged(sample(), sample()).columns == ()


def test_numbers_of_labels_are_compared_as_labels_whatever_the_window_makes_of_them() -> None:
    reference = sample(x=[0, 1, 2, 3] * 100)
    few = sample(x=[0, 1, 2, 3] * 8)
    assert few.columns[0].kind is ColumnKind.NUMERICAL
    assert row(judged(reference, few), DriftCheck.DISTRIBUTION).score == 0


values = st.lists(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["a", "b"])
    | st.text(max_size=3),
    max_size=15,
)
repeated = st.builds(lambda held, times: held * times, values, st.sampled_from([1, 9]))
frames = st.dictionaries(st.sampled_from(["x", "y", "z"]), repeated, max_size=3)


@settings(deadline=None)
@given(frames, frames)
def test_no_frame_breaks_it(reference: dict[str, Any], current: dict[str, Any]) -> None:
    for manner in (KEEN, DriftSettings()):
        report = judged(sample(**reference), sample(**current), manner)
        assert {one.column for one in report.columns} == reference.keys() | current.keys()
        for one in report.columns:
            assert bool(one.reason) == (one.score is None) == (one.threshold is None) == (one.method == "")
            assert one.score is None or math.isfinite(one.score)
            assert not one.drifted or (one.score or 0) >= (one.threshold or 0) > 0
            assert 0 <= one.reference_missing <= 1
            assert 0 <= one.current_missing <= 1
        assert 0 <= report.share <= 1


@settings(deadline=None)
@given(frames)
def test_no_frame_drifts_from_itself(frame: dict[str, Any]) -> None:
    assert not judged(sample(**frame), sample(**frame), KEEN).drifted


@settings(deadline=None)
@given(frames, frames, st.randoms())
def test_the_order_of_the_rows_is_nothing(
    reference: dict[str, Any], current: dict[str, Any], chance: Any
) -> None:
    first, second = sample(**reference), sample(**current)
    mixed = replace(
        second,
        columns=tuple(
            replace(one, values=one.values[chance.sample(range(len(one.values)), len(one.values))])
            for one in second.columns
        ),
    )
    assert judged(first, second, KEEN) == judged(first, mixed, KEEN)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("false_alarms", 0),
        ("false_alarms", 0.6),
        ("false_alarms", math.nan),
        ("least_effect", -0.1),
        ("least_effect", 1),
        ("least_rise", -0.1),
        ("least_rise", 1),
        ("least_rows", 1),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidInput) as caught:
        DriftSettings(**{field: value})
    assert caught.value.field == field
    assert caught.value.remedy
