"""Automatic key points against the generator's truth, and where there is nothing to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drilling.dataset import load_holes
from drilling.errors import InvalidConfig
from drilling.labeling import KEY_POINTS, estimate_all, estimate_keypoints
from drilling.labeling.calibration import expected_calibration_error, rank_correlation, worst_error_mm
from drilling.labeling.calibration_set import holes
from drilling.labeling.confidence import calibration, judge
from drilling.labeling.ramps import RampFit
from drilling.profile import depth_profile, samples_of
from drilling.setitec import SetitecLog, read_log
from drilling.synthetic import make_hole


@pytest.fixture(scope="module")
def log() -> SetitecLog:
    return read_log(make_hole(0, holes=40, seed=7).content)


def with_signals(log: SetitecLog, signals: pl.DataFrame) -> SetitecLog:
    import dataclasses

    return dataclasses.replace(log, signals=signals)


def test_errors_on_generated_holes(synthetic_folder: Path) -> None:
    holes = load_holes(synthetic_folder, progress=False).holes
    errors = np.abs([hole.automatic.as_array() - hole.label_mm for hole in holes])
    assert np.isfinite(errors).all()
    assert (errors.mean(axis=0) < (0.10, 0.10, 0.20)).all()
    assert errors.max() < 0.5


def test_the_order_holds_and_the_samples_lie_at_the_depths(log: SetitecLog) -> None:
    points = estimate_keypoints(log)
    assert (np.diff(points.as_array()) > 0).all()
    assert points.method == "combined"
    assert 0.5 < points.confidence <= 1
    assert points.entry_index is not None
    assert log.signals["position_mm"][points.entry_index] == pytest.approx(points.entry_mm, abs=0.03)


def test_drilling_in_air_has_no_key_points(log: SetitecLog) -> None:
    air = log.signals.with_columns(torque_a=pl.col("torque_a").first(), thrust_a=pl.lit(0.0))
    points = estimate_keypoints(with_signals(log, air))
    assert np.isnan(points.as_array()).all()
    assert points.confidence == 0
    assert points.reasons == ("the torque never leaves that of air",)


def test_a_very_short_log_has_no_key_points(log: SetitecLog) -> None:
    points = estimate_keypoints(with_signals(log, log.signals.head(20)))
    assert points.entry_mm is None
    assert points.reasons == ("too few samples cut new material",)


def test_a_cycle_cut_off_in_the_stack_has_no_exit(log: SetitecLog) -> None:
    whole = estimate_keypoints(log)
    cut = log.signals.filter(pl.col("position_mm") < whole.exit_mm)
    points = estimate_keypoints(with_signals(log, cut))
    assert points.exit_mm is None
    assert points.confidence < whole.confidence
    assert "no exit found" in points.reasons


def test_missing_values_and_steps_do_not_stop_it(log: SetitecLog) -> None:
    holed = log.signals.with_columns(
        torque_a=pl.when(pl.col("index") % 50 != 0).then(pl.col("torque_a")),
        torque_empty_a=pl.lit(None, dtype=pl.Float64),
        step=pl.lit(None, dtype=pl.Int64),
    )
    assert estimate_keypoints(with_signals(log, holed)).entry_mm == pytest.approx(
        estimate_keypoints(log).entry_mm, abs=0.1
    )


def test_a_dead_thrust_sensor_leaves_the_torque_to_tell(log: SetitecLog) -> None:
    deaf = log.signals.with_columns(thrust_a=pl.lit(None, dtype=pl.Float64))
    found = estimate_keypoints(with_signals(log, deaf)).as_array()
    assert found == pytest.approx(estimate_keypoints(log).as_array(), abs=0.3)


@pytest.fixture(scope="module")
def families() -> dict[str, list[tuple[SetitecLog, np.ndarray]]]:
    """Some drilled holes of each family with their true key points."""
    found: dict[str, list[tuple[SetitecLog, np.ndarray]]] = {}
    for number in range(0, 300, 5):
        hole = make_hole(number, holes=300, seed=11)
        if hole.truth["cycle"] == "drilled" and len(found.get(str(hole.truth["family"]), [])) < 8:
            truth = np.array([hole.truth[name] for name in KEY_POINTS], dtype=np.float64)
            found.setdefault(str(hole.truth["family"]), []).append((read_log(hole.content), truth))
    return found


@pytest.mark.parametrize("family", ["two speeds", "one speed", "lubricated"])
@pytest.mark.parametrize(
    ("method", "bars"),
    [("combined", (0.1, 0.1, 0.2)), ("gradient", (0.25, 0.6, 0.6)), ("threshold", (0.25, 0.8, 0.8))],
)
def test_each_method_on_each_family(
    families: dict[str, list[tuple[SetitecLog, np.ndarray]]],
    family: str,
    method: str,
    bars: tuple[float, ...],
) -> None:
    found = np.array([estimate_keypoints(log, method).as_array() for log, _ in families[family]])
    away = np.abs(found - np.array([truth for _, truth in families[family]]))
    assert (np.nanmean(away, axis=0) < bars).all()
    assert np.isfinite(away).mean() > 0.9


def test_an_unknown_method_is_refused(log: SetitecLog) -> None:
    with pytest.raises(InvalidConfig, match="method 'guess' is not one of"):
        estimate_keypoints(log, "guess")  # type: ignore[arg-type]


def test_key_points_of_bad_signals_are_in_order_or_left_out() -> None:
    for log, _ in holes(60, seed=4):
        points = estimate_keypoints(log)
        found = points.as_array()
        known = found[np.isfinite(found)]
        assert (np.diff(known) > 0).all()
        assert 0 <= points.confidence <= 1
        indices = [points.entry_index, points.transition_index, points.exit_index]
        assert [index is None for index in indices] == np.isnan(found).tolist()


@pytest.fixture(scope="module")
def judged() -> tuple[np.ndarray, np.ndarray]:
    """Confidence and worst error in mm of fresh holes, half of them with worse signals."""
    logs, true = zip(
        *((log, truth) for log, truth in holes(120, seed=5) if np.isfinite(truth).all()), strict=True
    )
    points = [estimate.keypoints for estimate in estimate_all(logs)]
    errors = worst_error_mm([point.as_array() for point in points], true)
    return np.array([point.confidence for point in points]), errors


def test_confident_answers_have_smaller_errors(judged: tuple[np.ndarray, np.ndarray]) -> None:
    confidence, errors = judged
    least, most = np.array_split(errors[np.argsort(confidence)], 3)[::2]
    assert np.median(most) < np.median(least)
    assert (rank_correlation(confidence, errors) or 0) < -0.2


def test_a_confidence_is_the_share_of_right_answers(judged: tuple[np.ndarray, np.ndarray]) -> None:
    assert expected_calibration_error(*judged, calibration().tolerance_mm) < 0.12
    assert (np.diff(calibration().apply(np.linspace(0, 1, 50))) >= 0).all()


def test_disagreement_lowers_the_confidence_and_is_said(log: SetitecLog) -> None:
    profile = depth_profile(samples_of(log), 0.03)
    fit = RampFit(np.array([2.0, 6.0, 9.0]), np.full(3, 0.03), 2.0, 0.001)
    near = {
        "gradient": fit.points_mm + np.array([0.04, 0.05, 0.08]),
        "threshold": fit.points_mm + np.array([0.01, -0.05, 0.35]),
    }
    far = {name: points + np.array([0.0, 0.9, 0.0]) for name, points in near.items()}
    agreed, disputed = judge(fit, near, profile), judge(fit, far, profile)
    assert disputed.confidence < agreed.confidence
    assert any("disagree on the transition by 0.90 mm" in reason for reason in disputed.reasons)


def test_many_logs_in_processes_are_answered_as_one_by_one() -> None:
    logs = [read_log(make_hole(number % 8, holes=40, seed=7).content) for number in range(70)]
    estimates = list(estimate_all(logs, workers=2))
    assert len(estimates) == 70
    for place in (0, 7, 69):
        assert estimates[place].keypoints == estimate_keypoints(logs[place])
