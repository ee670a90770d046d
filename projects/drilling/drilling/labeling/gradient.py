"""The gradient method: key points where the torque climbs and falls most steeply over depth.

The torque is smoothed over the length of a tip, differentiated over position, and each steepest place
is walked back to where its ramp begins. Samples that cut again what was cut before a step change are
left out, since their ramp looks like a layer's.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from drilling.labeling.coarse import Outline
from drilling.profile import DepthProfile

Floats = NDArray[np.float64]
NAME = "gradient"
_SMOOTHING_MM = 0.12
_RAMP_MM = 2.4
_RAMP_BEGINS = 0.35


def gradient_points(profile: DepthProfile, found: Outline) -> Floats:
    """Entry, transition and exit in mm, shape (3,); NaN for one that the outline has not."""
    slope = np.gradient(gaussian_filter1d(profile.net_torque_a, _SMOOTHING_MM / profile.spacing_mm))
    slope = np.where(profile.changed, 0.0, slope)
    reach = round(_RAMP_MM / profile.spacing_mm)
    points = [_ramp_start(slope, found.rise - reach // 4, found.rise + reach // 2, profile)]
    points.append(
        _ramp_start(slope, found.transition - reach // 4, found.transition + reach // 2, profile)
        if found.transition is not None
        else np.nan
    )
    points.append(
        _ramp_start(-slope, found.fall - reach // 2, found.fall + reach // 4, profile)
        if found.fall is not None
        else np.nan
    )
    return np.array(points)


def _ramp_start(slope: Floats, begin: int, end: int, profile: DepthProfile) -> float:
    """Back from the steepest place of a stretch to where its slope is a third of that."""
    begin = max(begin, 0)
    stretch = slope[begin : max(end, begin + 1)]
    if not stretch.size:
        return float("nan")
    steepest = begin + int(np.argmax(stretch))
    gentle = np.flatnonzero(slope[:steepest] < _RAMP_BEGINS * slope[steepest])
    return float(profile.position_mm[gentle[-1] + 1 if gentle.size else 0])
