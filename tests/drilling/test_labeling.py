"""Automatic key points against the generator's truth, and where there is nothing to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drilling.dataset import load_holes
from drilling.labeling import estimate_keypoints
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
    assert points.method == "broken line"
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
    assert points.reasons == ("the log is too short",)


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
