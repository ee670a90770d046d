"""Automatic key points: a physical fit of the whole hole, judged by two simple methods beside it."""

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from drilling.errors import InvalidConfig
from drilling.labeling import gradient, threshold
from drilling.labeling.coarse import Outline, outline
from drilling.labeling.confidence import judge
from drilling.labeling.keypoints import KeyPoints
from drilling.labeling.ramps import fit_ramps
from drilling.profile import DepthProfile, Samples, depth_profile, samples_of
from drilling.setitec import SetitecLog

Method = Literal["combined", "gradient", "threshold"]
Floats = NDArray[np.float64]
_SPACING_MM = 0.03
_LEAST_CELLS = 36
_DEEPEST_HOLE_MM = 200
_LEAST_LAYER_MM = 0.2


def estimate_keypoints(log: SetitecLog, method: Method = "combined") -> KeyPoints:
    """The key points of a log in mm of |position|, with a confidence from 0 to 1.

    `combined` fits torque and thrust of the whole hole (`ramps`) and is confident where the fit leaves
    little open and the two other methods agree with it; `gradient` and `threshold` are those methods
    alone, with the same judgement of how far the three agree. A key point that the hole has not is
    None; nothing is found where nothing was drilled. Key points are always in order. Raises
    InvalidConfig for another method.
    """
    return scored_keypoints(log, method)[0]


def scored_keypoints(log: SetitecLog, method: Method = "combined") -> tuple[KeyPoints, float]:
    """The same, with the raw score from 0 to 1 that the confidence comes from."""
    if method not in get_args(Method):
        raise InvalidConfig("estimate_keypoints", f"method {method!r} is not one of {get_args(Method)}")
    samples = samples_of(log)
    if samples.position_mm.size and np.ptp(samples.position_mm) > _DEEPEST_HOLE_MM:
        return _nothing(
            method, f"positions spread over more than {_DEEPEST_HOLE_MM} mm: no unit drills so deep"
        )
    profile = depth_profile(samples, _SPACING_MM)
    if profile.position_mm.size < _LEAST_CELLS:
        return _nothing(method, "too few samples cut new material")
    found = outline(profile)
    if found is None:
        return _nothing(method, "the torque never leaves that of air")
    return _estimated(samples, profile, found, method)


def _estimated(
    samples: Samples, profile: DepthProfile, found: Outline, method: Method
) -> tuple[KeyPoints, float]:
    fit = fit_ramps(profile, found)
    if fit is None:
        return _nothing(method, "too few samples cut new material")
    simple = {
        gradient.NAME: gradient.gradient_points(profile, found),
        threshold.NAME: threshold.threshold_points(profile, found),
    }
    points, disordered = _in_order(simple.get(method, fit.points_mm))
    fit = replace(fit, points_mm=np.where(np.isnan(points), np.nan, fit.points_mm))
    judgement = judge(fit, simple, profile)
    reasons = (*(f"the {name} would be out of order: left out" for name in disordered), *judgement.reasons)
    entry, transition, leave = (None if np.isnan(depth) else float(depth) for depth in points)
    return (
        KeyPoints(
            entry_mm=entry,
            transition_mm=transition,
            exit_mm=leave,
            entry_index=_nearest_index(samples, entry),
            transition_index=_nearest_index(samples, transition),
            exit_index=_nearest_index(samples, leave),
            method=method,
            confidence=judgement.confidence,
            reasons=reasons,
        ),
        judgement.raw,
    )


def _in_order(points: Floats) -> tuple[Floats, list[str]]:
    """The points with those left out that do not come after the one before; exit counts before transition."""
    kept, disordered = points.copy(), []
    if kept[2] < kept[0] + _LEAST_LAYER_MM:
        kept[2] = np.nan
        disordered.append("exit")
    if kept[1] < kept[0] + _LEAST_LAYER_MM or kept[1] > kept[2] - _LEAST_LAYER_MM:
        kept[1] = np.nan
        disordered.append("transition")
    return kept, disordered


def _nearest_index(samples: Samples, depth: float | None) -> int | None:
    """The first fresh sample nearest to a depth; positions jump back at step changes."""
    if depth is None:
        return None
    fresh = np.flatnonzero(samples.fresh)
    return int(samples.index[fresh[np.argmin(np.abs(samples.position_mm[fresh] - depth))]])


def _nothing(method: str, reason: str) -> tuple[KeyPoints, float]:
    return KeyPoints(None, None, None, None, None, None, method, 0.0, (reason,)), 0.0
