"""Signals that no drilling makes: everything that looks at a log answers, or refuses by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import polars as pl
import pytest

from drilling.depth_grid import grid_of
from drilling.errors import DrillingError, LogUnreadable
from drilling.labeling import estimate_keypoints
from drilling.labeling.hole_features import hole_features
from drilling.phases import phases
from drilling.setitec import SetitecLog, read_log
from drilling.synthetic import make_hole
from drilling.validation import validate_log
from drilling.windows import feature_table

Change = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]


def _with(name: str, value: object) -> Change:
    return lambda signals, _: signals.with_columns(pl.lit(value).cast(signals[name].dtype).alias(name))


def _holed(signals: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    gone = {name: pl.Series(rng.random(signals.height) < 0.3) for name in ("position_mm", "torque_a", "step")}
    return signals.with_columns(pl.when(~mask).then(pl.col(name)).alias(name) for name, mask in gone.items())


CHANGES: dict[str, Change] = {
    "one row": lambda signals, _: signals.head(1),
    "forty rows": lambda signals, _: signals.head(40),
    "the end alone": lambda signals, _: signals.tail(150),
    "no torque": _with("torque_a", 0.0),
    "a huge torque": _with("torque_a", 1e6),
    "a negative torque": _with("torque_a", -3.0),
    "no thrust": _with("thrust_a", None),
    "one position": _with("position_mm", 3.0),
    "no steps": _with("step", None),
    "backwards": lambda signals, _: signals.reverse().with_columns(index=pl.int_range(pl.len())),
    "noise": lambda signals, rng: signals.with_columns(torque_a=pl.Series(rng.normal(0, 50, signals.height))),
    "positions at random": lambda signals, rng: signals.with_columns(
        position_mm=pl.Series(rng.random(signals.height) * 20)
    ),
    "steps at random": lambda signals, rng: signals.with_columns(
        step=pl.Series(rng.integers(0, 4, signals.height))
    ),
    "a kilometre": lambda signals, _: signals.with_columns(pl.col("position_mm") * 1e5),
    "a micrometre": lambda signals, _: signals.with_columns(pl.col("position_mm") * 1e-4),
    "holes": _holed,
    "spikes": lambda signals, rng: signals.with_columns(
        torque_a=pl.when(pl.Series(rng.random(signals.height) < 0.01)).then(1e4).otherwise("torque_a")
    ),
}
LOOKS: dict[str, Callable[[SetitecLog], object]] = {
    "key points": lambda log: hole_features(log, estimate_keypoints(log)),
    "phases": phases,
    "validation": validate_log,
    "depth grid": grid_of,
    "features": feature_table,
}


@pytest.fixture(scope="module", params=[0, 7, 20])
def log(request: pytest.FixtureRequest) -> SetitecLog:
    return read_log(make_hole(request.param, holes=40, seed=7).content)


@pytest.mark.parametrize("change", CHANGES)
def test_everything_answers_or_refuses_by_name(log: SetitecLog, change: str) -> None:
    hostile = dataclasses.replace(log, signals=CHANGES[change](log.signals, np.random.default_rng(0)))
    for look in LOOKS.values():
        with suppress(DrillingError):
            look(hostile)
    found = estimate_keypoints(hostile)
    points = found.as_array()
    assert (np.diff(points[np.isfinite(points)]) > 0).all()
    assert np.isfinite(points).any() or found.reasons


def test_positions_deeper_than_any_machine_are_refused_before_they_fill_memory(log: SetitecLog) -> None:
    far = dataclasses.replace(log, signals=CHANGES["a kilometre"](log.signals, np.random.default_rng(0)))
    with pytest.raises(LogUnreadable, match=r"its positions reach over \d{5,} mm, .* deeper than a metre"):
        grid_of(far)


def test_a_single_row_that_leaps_hides_nothing(log: SetitecLog) -> None:
    leaping = log.signals.with_columns(
        position_mm=pl.when(pl.col("index") == 50).then(60.0).otherwise("position_mm")
    )
    found = estimate_keypoints(dataclasses.replace(log, signals=leaping)).as_array()
    assert found == pytest.approx(estimate_keypoints(log).as_array(), abs=0.05)
