"""The threshold method: key points where the torque leaves one level for the next.

Entry: the first depth with more torque than air has, walked back to the start of its ramp. Transition:
the first slope beyond mean + 2 sigma before the rise to the last layer (Savitzky-Golay 11, 2). Exit:
the last depth at the last layer's level.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from drilling.labeling.coarse import SMOOTHED_CELLS, Outline, first_lasting, smoothed
from drilling.profile import DepthProfile

Floats = NDArray[np.float64]
NAME = "threshold"
_ENTRY_A = 0.1
_LASTING_CELLS = 3
_SIGMAS = 2.0
_BEFORE_MM = 2.5
_STILL_CUTTING = 0.93


def threshold_points(profile: DepthProfile, found: Outline) -> Floats:
    """Entry, transition and exit in mm, shape (3,); NaN for one that cannot be told."""
    torque = profile.net_torque_a - found.air_a
    places = (
        _entry(torque, found),
        _transition(torque, found, profile),
        _exit(torque, found),
    )
    return np.array([np.nan if place is None else profile.position_mm[place] for place in places])


def _entry(torque: Floats, found: Outline) -> int | None:
    air = torque[: max(2 * SMOOTHED_CELLS, found.rise // 2)]
    limit = max(_ENTRY_A, 4 * 1.4826 * float(np.median(np.abs(air - np.median(air)))))
    above = first_lasting(torque > limit, _LASTING_CELLS)
    if above is None:
        return None
    level = smoothed(torque)
    below = np.flatnonzero(level[: above + 1] <= limit / 3)
    return int(below[-1]) if below.size else above


def _transition(torque: Floats, found: Outline, profile: DepthProfile) -> int | None:
    if found.transition is None:
        return None
    reach = round(_BEFORE_MM / profile.spacing_mm)
    half = reach // 2
    begin, end = max(found.rise, found.transition - half), min(found.transition + half, torque.size)
    if end - begin < 2 * SMOOTHED_CELLS:
        return None
    slope = savgol_filter(torque[begin:end], 11, 2, deriv=1)
    steady = slope[: max(SMOOTHED_CELLS, half // 2)]
    steep = first_lasting(slope > steady.mean() + _SIGMAS * steady.std() + 1e-3, _LASTING_CELLS)
    return None if steep is None else begin + steep


def _exit(torque: Floats, found: Outline) -> int | None:
    if found.fall is None:
        return None
    level = smoothed(torque)
    begin = found.transition if found.transition is not None else found.rise
    upper = level[begin : found.fall]
    if not upper.size:
        return None
    cutting = np.flatnonzero(upper > _STILL_CUTTING * np.percentile(upper, 80))
    return begin + int(cutting[-1])
