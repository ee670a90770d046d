"""A hole in a few numbers, by which holes are told alike or strange."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drilling.labeling.keypoints import KeyPoints
from drilling.setitec import SetitecLog

FEATURES = (
    "depth_mm",
    "duration_s",
    "feed_mm_s",
    "steps",
    "torque_empty_a",
    "torque_median_a",
    "torque_95_percent_a",
    "torque_noise_a",
    "thrust_median_a",
    "thrust_95_percent_a",
    "entry_mm",
    "first_layer_mm",
    "second_layer_mm",
    "first_layer_torque_a",
    "second_layer_torque_a",
)
"""What `hole_features` measures, with units; currents are net of the no-load current, but for that one."""

Floats = NDArray[np.float64]


def hole_features(log: SetitecLog, keypoints: KeyPoints) -> Floats:
    """The FEATURES of a hole, (15,); NaN where a key point or a signal that one needs is missing.

    Layers are those between the key points; the noise is the median change from a sample to the next.
    """
    table = log.signals
    position, torque, thrust = (_column(table, name) for name in ("position_mm", "torque_a", "thrust_a"))
    depth, duration = _percentile(position, 100), table.height / log.sample_rate_hz
    steps = table["step"].drop_nulls().n_unique() if "step" in table.columns else 0
    entry, transition, leave = keypoints.as_array()
    values = (
        depth,
        duration,
        depth / duration if duration else np.nan,
        float(steps),
        _percentile(_column(table, "torque_empty_a"), 50),
        _percentile(torque, 50),
        _percentile(torque, 95),
        _percentile(np.abs(np.diff(torque)), 50),
        _percentile(thrust, 50),
        _percentile(thrust, 95),
        entry,
        transition - entry,
        leave - transition,
        _percentile(torque[(position >= entry) & (position < transition)], 50),
        _percentile(torque[(position >= transition) & (position < leave)], 50),
    )
    return np.array(values, dtype=np.float64)


def _column(table: pl.DataFrame, name: str) -> Floats:
    """A column with NaN where it has no number, or wholly where there is no such column."""
    if name not in table.columns:
        return np.full(table.height, np.nan)
    return table[name].cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)


def _percentile(values: Floats, percent: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percent)) if known.size else float("nan")
