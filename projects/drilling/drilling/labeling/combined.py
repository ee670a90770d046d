"""Automatic key points."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drilling.labeling.coarse import Outline, outline
from drilling.labeling.keypoints import KeyPoints
from drilling.labeling.ramps import RampFit, fit_ramps
from drilling.profile import Samples, depth_profile, samples_of
from drilling.setitec import SetitecLog

METHOD = "combined"
Floats = NDArray[np.float64]
_SPACING_MM = 0.03
_LEAST_CELLS = 36


def estimate_keypoints(log: SetitecLog) -> KeyPoints:
    """The key points of a log with a confidence; nothing is found where nothing was drilled."""
    samples = samples_of(log)
    profile = depth_profile(samples, _SPACING_MM)
    if profile.position_mm.size < _LEAST_CELLS:
        return _nothing("the log is too short")
    found = outline(profile)
    if found is None:
        return _nothing("the torque never leaves that of air")
    fit = fit_ramps(profile, found)
    if fit is None:
        return _nothing("the log is too short")
    depths = [None if np.isnan(depth) else float(depth) for depth in fit.points_mm]
    indices = [_nearest_index(samples, depth) for depth in depths]
    return KeyPoints(*depths, *indices, METHOD, 1 - min(1, float(np.nanmax(fit.errors_mm))), ())


def _nearest_index(samples: Samples, depth: float | None) -> int | None:
    """The first fresh sample nearest to a depth; positions jump back at step changes."""
    if depth is None:
        return None
    fresh = np.flatnonzero(samples.fresh)
    return int(samples.index[fresh[np.argmin(np.abs(samples.position_mm[fresh] - depth))]])


def _nothing(reason: str) -> KeyPoints:
    return KeyPoints(None, None, None, None, None, None, METHOD, 0.0, (reason,))
