"""How far key points can be believed, as the share of holes alike whose key points were right.

A raw score joins what the fit leaves open with how far the other methods are from it. `confidence.json`
holds what share of synthetic holes of each score had their worst key point within 0.1 mm: see
`calibration_set`. On genuine logs the order of confidences carries over; the shares are synthetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from drilling.labeling.calibration import Calibration
from drilling.labeling.keypoints import KEY_POINTS
from drilling.labeling.ramps import RampFit
from drilling.profile import DepthProfile

Floats = NDArray[np.float64]
CALIBRATION = "confidence.json"
# By how much each method is off the fit in most holes, in mm for entry, transition and exit.
_USUAL_LAG_MM = {"gradient": (0.04, 0.05, 0.08), "threshold": (0.01, -0.05, 0.35)}
_DISAGREEMENT_SHARE = 0.25
_SCORE_MM = 0.2
_NOTABLE_DISAGREEMENT_MM, _NOTABLE_ERROR_MM = 0.4, 0.12
_UNLIKE_LAYERS = 0.03
_AT_CHANGE_MM = 0.15
_WITHOUT = {"transition": 0.5, "exit": 0.4}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A confidence from 0 to 1, the raw score that it comes from, and in words what lowered it."""

    confidence: float
    raw: float
    reasons: tuple[str, ...]


def judge(fit: RampFit, others: Mapping[str, Floats], profile: DepthProfile) -> Judgement:
    """The confidence of a fit beside what other methods found, each (3,) in mm."""
    away = _disagreement(fit, others)
    expected = np.hypot(fit.errors_mm, _DISAGREEMENT_SHARE * np.nan_to_num(away, nan=1.0))
    present = np.isfinite(fit.points_mm)
    worst = float(expected[present].max()) if present.any() else np.inf
    raw = float(np.exp(-(worst + fit.unexplained) / _SCORE_MM))
    confidence = float(calibration().apply(raw)) * _for_missing(fit)
    return Judgement(round(confidence, 3), raw, tuple(_reasons(fit, away, profile)))


@cache
def calibration() -> Calibration:
    """The shares that come with the package."""
    return Calibration.from_json((files("drilling.labeling") / CALIBRATION).read_text())


def _disagreement(fit: RampFit, others: Mapping[str, Floats]) -> Floats:
    """By how many mm the nearer of the other methods is off each key point, beyond its usual lag."""
    away = [np.abs(points - fit.points_mm - _USUAL_LAG_MM[name]) for name, points in others.items()]
    return np.asarray(np.fmin.reduce(away))


def _for_missing(fit: RampFit) -> float:
    missing = [name for name, depth in zip(KEY_POINTS, fit.points_mm, strict=True) if np.isnan(depth)]
    return float(np.prod([_WITHOUT.get(name.removesuffix("_mm"), 0.1) for name in missing]))


def _reasons(fit: RampFit, away: Floats, profile: DepthProfile) -> list[str]:
    reasons: list[str] = []
    for name, depth, error, off in zip(KEY_POINTS, fit.points_mm, fit.errors_mm, away, strict=True):
        point = name.removesuffix("_mm")
        if np.isnan(depth):
            reasons.append(f"no {point} found")
            continue
        if error > _NOTABLE_ERROR_MM:
            reasons.append(f"the signal leaves the {point} open by {error:.2f} mm")
        if off > _NOTABLE_DISAGREEMENT_MM:
            reasons.append(f"the methods disagree on the {point} by {off:.2f} mm")
        near = np.abs(profile.position_mm - depth) < _AT_CHANGE_MM
        if profile.changed[near].any():
            reasons.append(f"the {point} lies at a step change")
    if fit.unexplained > _UNLIKE_LAYERS:
        reasons.append("the torque does not look like that of layers passed one after another")
    return reasons
