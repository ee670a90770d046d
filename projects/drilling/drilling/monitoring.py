"""What of a hole is watched for drift: levels, extents and durations of its phases, wear, and how sure the
model is of its key points.

The phases are those that the model's key points bound: above the entry, the upper layer down to the
transition (to the exit where there is none), and the lower layer. All comes from the model's own inputs: the
feed is one of its channels, so time is too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drilling.depth_grid import CHANNELS, SPACING_MM
from drilling.labeling.keypoints import KEY_POINTS

Floats = NDArray[np.float64]

_TORQUE, _THRUST, _FEED = (CHANNELS.index(name) for name in ("torque_p0_l0", "net_thrust", "log_feed"))
_PRESENT = 0.5
_LEAST_CELLS = 5
_LEAST_FEED_MM_S = 0.01
_CHIP_EXPONENT = 0.7
"""Kienzle's law of cutting forces: they grow with the chip's thickness to the power of 1 - m, m about 0.3."""


def features(
    inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
) -> dict[str, dict[str, Floats]]:
    """Features by name, a value for each hole, NaN where the hole lacks the phase or the point.

    `inputs`: of `approach`, `upper` and `lower` the extent `_mm`, the duration `_s`, and, where it cuts, the
    median total torque `_torque_a` and net thrust `_thrust_a`; and `wear`. `outputs`: of each key point the
    depth, `presence`, and `uncertainty_mm`.

    `wear` is the mean net thrust, in A, between entry and exit, each cell's over its feed in mm/s to the
    power of 0.7. A blunt edge presses more before it cuts, so the thrust rises at an equal chip; the power
    takes out what a faster feed alone would add. Another material or recipe moves it, too.
    """
    present = np.asarray(outputs["presence"]) >= _PRESENT
    points = np.where(present, outputs["keypoints_mm"], np.nan).astype(np.float64)
    arrays = (np.asarray(inputs[name], dtype=np.float64) for name in ("signals", "start_mm", "length"))
    holes = [_hole(*parts) for parts in zip(*arrays, points, strict=True)]
    return {
        "inputs": {name: np.array([hole[name] for hole in holes]) for name in holes[0]} if holes else {},
        "outputs": _of_points(points, present, outputs),
    }


def _of_points(
    points: Floats, present: NDArray[np.bool_], outputs: Mapping[str, NDArray[Any]]
) -> dict[str, Floats]:
    unsure = np.where(present, outputs["uncertainty_mm"], np.nan).astype(np.float64)
    found: dict[str, Floats] = {}
    for place, name in enumerate(KEY_POINTS):
        point = name.removesuffix("_mm")
        found[name] = points[:, place]
        found[f"{point}_presence"] = np.asarray(outputs["presence"], dtype=np.float64)[:, place]
        found[f"{point}_uncertainty_mm"] = unsure[:, place]
    return found


def _hole(signals: Floats, start_mm: Floats, length: Floats, points: Floats) -> dict[str, float]:
    depth, cells = _joined(signals, start_mm, length.astype(np.int64))
    entry, transition, leave = points
    below = transition if np.isfinite(transition) else leave
    bounds = {"approach": (depth[0], entry), "upper": (entry, below), "lower": (transition, leave)}
    feed = np.maximum(np.expm1(cells[:, _FEED]), _LEAST_FEED_MM_S)
    found: dict[str, float] = {}
    for name, (top, bottom) in bounds.items():
        within = (depth >= top) & (depth < bottom)  # none where a bound is NaN
        is_there = int(within.sum()) >= _LEAST_CELLS
        found[f"{name}_mm"] = float(bottom - top) if is_there else np.nan
        found[f"{name}_s"] = float((SPACING_MM / feed[within]).sum()) if is_there else np.nan
        if name != "approach":
            found[f"{name}_torque_a"] = float(np.median(cells[within, _TORQUE])) if is_there else np.nan
            found[f"{name}_thrust_a"] = float(np.median(cells[within, _THRUST])) if is_there else np.nan
    cut = (depth >= entry) & (depth < leave)
    worn = cells[cut, _THRUST] / feed[cut] ** _CHIP_EXPONENT
    found["wear"] = float(worn.mean()) if worn.size >= _LEAST_CELLS else np.nan
    return found


def _joined(signals: Floats, start_mm: Floats, length: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The hole's depths (n,) and cells (n, c) of its overlapping windows, padding left out."""
    first = np.round((start_mm - start_mm[0]) / SPACING_MM).astype(np.int64)
    used = np.flatnonzero(length > 0)
    cells = np.zeros((int((first + length)[used].max()), signals.shape[-1]))
    for window in used:
        cells[first[window] : first[window] + length[window]] = signals[window, : length[window]]
    return start_mm[0] + SPACING_MM * np.arange(len(cells)), cells
