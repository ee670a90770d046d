"""Calibrated confidence: it says how often key points are right, and its checks see where it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drilling.labeling.calibration import (
    LEAST_HOLES,
    Calibration,
    InvalidCalibration,
    expected_calibration_error,
    rank_correlation,
    reliability,
    worst_error_mm,
)

Floats = NDArray[np.float64]
KNOTS = {"raw": [0.1, 0.9], "probability": [0.2, 0.6], "tolerance_mm": 0.2, "holes": 40}


def holes(count: int, seed: int) -> tuple[Floats, Floats]:
    """Raw scores, and errors that are below 0.2 mm with probability score squared."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(size=count)
    return raw, np.where(rng.uniform(size=count) < raw**2, 0.05, 0.5)


def test_a_calibrated_score_is_the_share_within_tolerance_on_other_holes() -> None:
    calibration = Calibration.fit(*holes(2000, seed=1))
    raw, errors = holes(4000, seed=2)
    assert expected_calibration_error(raw, errors) > 0.1
    assert expected_calibration_error(calibration.apply(raw), errors) < 0.03
    np.testing.assert_allclose(calibration.apply([0.3, 0.6, 0.9]), [0.09, 0.36, 0.81], atol=0.08)


def test_it_never_turns_the_order_round_and_keeps_shapes() -> None:
    calibration = Calibration.fit(*holes(200, seed=3))
    raw = np.linspace(0, 1, 101)
    assert (np.diff(calibration.apply(raw)) >= 0).all()
    assert calibration.apply(raw.reshape(1, 101)).shape == (1, 101)
    assert calibration.apply(0.5).shape == ()


@pytest.mark.parametrize(("error", "expected"), [(0.0, 1 - 1 / 52), (float("inf"), 1 / 52)])
def test_it_never_promises_certainty(error: float, expected: float) -> None:
    calibration = Calibration.fit(np.linspace(0.2, 0.8, 50), np.full(50, error))
    np.testing.assert_allclose(calibration.apply([0, 0.5, 1]), expected)
    assert calibration.holes == 50


def test_one_score_for_all_holes_is_one_knot() -> None:
    calibration = Calibration.fit(np.full(40, 0.5), np.tile([0.1, 0.3], 20))
    assert (calibration.raw, len(calibration.probability)) == ((0.5,), 1)
    assert calibration.apply(0.9) == pytest.approx(0.5)


def test_an_error_at_the_tolerance_is_not_within() -> None:
    raw = np.full(30, 0.5)
    assert Calibration.fit(raw, np.full(30, 0.3), tolerance_mm=0.3).probability[0] < 0.1
    assert Calibration.fit(raw, np.full(30, 0.3), tolerance_mm=0.31).probability[0] > 0.9


def test_json_brings_it_back_without_scikit_learn() -> None:
    calibration = Calibration.fit(*holes(100, seed=4), tolerance_mm=0.25)
    again = Calibration.from_json(calibration.to_json())
    assert again == calibration
    assert again.tolerance_mm == 0.25
    code = (
        "import sys; from drilling.labeling.calibration import Calibration\n"
        "print(Calibration.from_json(sys.stdin.read()).apply(0.5))\n"
        "assert 'sklearn.isotonic' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=calibration.to_json(), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(float(calibration.apply(0.5)))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "3",
        "{}",
        "[" * 100_000,
        json.dumps({"format": "another", **KNOTS}),
        *(
            json.dumps({"format": "drilling calibration", **KNOTS, **change})
            for change in (
                {"raw": []},
                {"raw": [0.1, 0.2, 0.3]},
                {"raw": [0.9, 0.1]},
                {"raw": [0.1, 1.9]},
                {"raw": ["a", "b"]},
                {"raw": 3},
                {"raw": [0.1, float("nan")]},
                {"probability": [0.6, 0.2]},
                {"probability": [-0.1, 0.2]},
                {"tolerance_mm": 0},
                {"tolerance_mm": None},
                {"holes": float("inf")},
            )
        ),
    ],
)
def test_text_that_is_no_calibration_is_refused(text: str) -> None:
    with pytest.raises(InvalidCalibration) as refused:
        Calibration.from_json(text)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"raw": np.full(LEAST_HOLES, 1.5)}, "from 0 to 1"),
        ({"raw": np.full(LEAST_HOLES, np.nan)}, "from 0 to 1"),
        ({"raw": np.full(3, 0.5)}, "shapes"),
        ({"raw": np.full((4, 5), 0.5), "errors_mm": np.ones((4, 5))}, "shapes"),
        ({"raw": np.full(19, 0.5), "errors_mm": np.ones(19)}, "fewer than 20"),
        ({"errors_mm": np.full(LEAST_HOLES, -0.1)}, "negative"),
        ({"errors_mm": np.full(LEAST_HOLES, np.nan)}, "NaN"),
        ({"tolerance_mm": 0.0}, "above 0"),
        ({"tolerance_mm": float("nan")}, "above 0"),
    ],
)
def test_refusals_of_fit(arguments: dict[str, Any], problem: str) -> None:
    good = {"raw": np.full(LEAST_HOLES, 0.5), "errors_mm": np.ones(LEAST_HOLES)}
    with pytest.raises(InvalidCalibration, match=problem):
        Calibration.fit(**{**good, **arguments})


def test_apply_refuses_what_is_no_score() -> None:
    with pytest.raises(InvalidCalibration, match="raw"):
        Calibration((0.0, 1.0), (0.1, 0.9), 0.2, 40).apply([0.5, 1.5])


def test_the_worst_key_point_of_each_hole() -> None:
    found = [[1.0, 2.0, 3.5], [1.0, np.nan, 3.0], [1.0, np.nan, 3.0], [1.0, 2.0, 3.0]]
    true = [[1.1, 2.0, 3.0], [1.0, 2.0, 3.0], [1.2, np.nan, 3.0], [np.nan] * 3]
    np.testing.assert_allclose(worst_error_mm(found, true), [0.5, np.inf, 0.2, np.nan])
    for shapes in (([1.0], [1.0]), ([[1.0, 2.0]], [[1.0]]), (np.empty((2, 0)), np.empty((2, 0)))):
        with pytest.raises(InvalidCalibration, match="shapes"):
            worst_error_mm(*shapes)


def test_reliability_has_a_row_a_bin() -> None:
    table = reliability([0.1, 0.3, 0.5, 0.9, 1.0], [np.inf, 0.4, 0.1, 0.1, 0.3], 0.2, bins=4)
    assert table.columns == ["from", "to", "holes", "mean_confidence", "share_within", "mean_error_mm"]
    assert table["from"].to_list() == [0, 0.25, 0.5, 0.75]
    assert table["to"].to_list() == [0.25, 0.5, 0.75, 1]
    assert table["holes"].to_list() == [1, 1, 1, 2]
    assert table["mean_confidence"].to_list() == pytest.approx([0.1, 0.3, 0.5, 0.95])
    assert table["share_within"].to_list() == [0, 0, 1, 0.5]
    assert table["mean_error_mm"].to_list() == [None, 0.4, 0.1, pytest.approx(0.2)]


def test_reliability_of_nothing_is_empty_bins() -> None:
    table = reliability([], [], 0.2, bins=2)
    assert table["holes"].to_list() == [0, 0]
    assert table["share_within"].to_list() == [None, None]
    with pytest.raises(InvalidCalibration, match="bins"):
        reliability([0.5], [0.1], 0.2, bins=0)


def test_expected_calibration_error_weighs_bins_by_holes() -> None:
    confidence, errors = [0.1, 0.9, 0.9, 0.9], [0.5, 0.1, 0.1, 0.5]
    expected = (0.1 + 3 * abs(2 / 3 - 0.9)) / 4
    assert expected_calibration_error(confidence, errors) == pytest.approx(expected)
    with pytest.raises(InvalidCalibration, match="none"):
        expected_calibration_error([], [])


def test_rank_correlation_is_minus_one_where_doubt_follows_error() -> None:
    assert rank_correlation([0.9, 0.5, 0.1], [0.01, 0.3, np.inf]) == pytest.approx(-1)
    assert rank_correlation([0.1, 0.5, 0.9], [0.01, 0.3, 0.5]) == pytest.approx(1)
    tied = rank_correlation([0.9, 0.9, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4])
    assert tied == pytest.approx(-0.8944, abs=1e-4)


def test_rank_correlation_is_none_where_there_is_no_order() -> None:
    assert rank_correlation([0.5, 0.5], [0.1, 0.2]) is None
    assert rank_correlation([0.5, 0.6], [0.1, 0.1]) is None
    assert rank_correlation([0.5], [0.1]) is None
