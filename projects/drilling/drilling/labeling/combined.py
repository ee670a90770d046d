"""Automatic key points: where the net torque leaves one level for another, found by broken lines.

Each key point is the knee of a line that is level and then climbs (or the reverse), fitted by least
squares around a crossing that noise cannot make. Levels come from the hole itself: no step numbers,
no fixed currents. Samples that cut again what was cut before a step change do not count, since
their ramp looks like a layer's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.labeling.keypoints import KeyPoints
from drilling.profile import DepthProfile, Samples, depth_profile, samples_of
from drilling.setitec import SetitecLog

METHOD = "broken line"

Floats = NDArray[np.float64]
_SPACING_MM = 0.03
_RAMP_MM = 1.2
_SMOOTHED_CELLS = 9
_LEAST_HARD_TORQUE_A = 1.0
_LAYER_CONTRAST = 1.35


@dataclass(frozen=True, slots=True)
class _Knee:
    """A knee's depth, and the share of the signal's variance that its broken line leaves."""

    position_mm: float
    unexplained: float


def estimate_keypoints(log: SetitecLog) -> KeyPoints:
    """The key points of a log with a confidence; nothing is found where nothing was drilled."""
    samples = samples_of(log)
    profile = depth_profile(samples, _SPACING_MM)
    if profile.position_mm.size < 4 * _SMOOTHED_CELLS:
        return _nothing("the log is too short")
    smooth = _smoothed(profile.net_torque_a)
    hard = float(np.percentile(smooth, 90))
    if hard < _LEAST_HARD_TORQUE_A:
        return _nothing("the torque never leaves that of air")
    reasons: list[str] = []
    entry = _entry(profile, smooth, hard)
    leave = _exit(profile, smooth, hard)
    transition = _transition(profile, smooth, hard, entry, leave)
    knees = {"entry": entry, "transition": transition, "exit": leave}
    confidence = _confidence(knees, profile, reasons)
    return KeyPoints(
        entry_mm=_depth(entry),
        transition_mm=_depth(transition),
        exit_mm=_depth(leave),
        entry_index=_nearest_index(samples, entry),
        transition_index=_nearest_index(samples, transition),
        exit_index=_nearest_index(samples, leave),
        method=METHOD,
        confidence=confidence,
        reasons=tuple(reasons),
    )


def _entry(profile: DepthProfile, smooth: Floats, hard: float) -> _Knee | None:
    air = smooth[: 2 * _SMOOTHED_CELLS]
    threshold = float(np.median(air)) + max(0.1 * hard, 6 * float(np.std(air)))
    crossing = _first_lasting(smooth > threshold)
    if crossing is None or crossing == 0:
        return None
    return _rising_knee(profile, crossing)


def _exit(profile: DepthProfile, smooth: Floats, hard: float) -> _Knee | None:
    """The knee before the last fall from the hard level: a later rise is the hard stop or a countersink."""
    cutting = np.flatnonzero(smooth > 0.7 * hard)
    if cutting.size == 0 or cutting[-1] >= smooth.size - _SMOOTHED_CELLS:
        return None
    flipped = DepthProfile(-profile.position_mm[::-1], profile.net_torque_a[::-1], profile.changed[::-1])
    fall = cutting[-1]
    knee = _falling_knee(flipped, smooth.size - 1 - fall)
    return None if knee is None else _Knee(-knee.position_mm, knee.unexplained)


def _transition(
    profile: DepthProfile, smooth: Floats, hard: float, entry: _Knee | None, leave: _Knee | None
) -> _Knee | None:
    """The knee where the torque leaves the first layer's level for the last one's."""
    if entry is None or leave is None:
        return None
    inside = (profile.position_mm > entry.position_mm + _RAMP_MM) & (profile.position_mm < leave.position_mm)
    places = np.flatnonzero(inside)
    if places.size < 2 * _SMOOTHED_CELLS:
        return None
    crossing = _crossing_between_layers(smooth, places, hard)
    if crossing is None:
        return None
    return _rising_knee(profile, crossing)


def _crossing_between_layers(smooth: Floats, places: NDArray[np.int64], hard: float) -> int | None:
    soft = float(np.percentile(smooth[places], 10))
    for _ in range(3):
        if hard < _LAYER_CONTRAST * soft:
            return None
        lasting = _first_lasting(smooth[places] > soft + 0.25 * (hard - soft))
        if lasting is None or lasting == 0:
            return None
        before = smooth[places[:lasting]]
        soft = float(np.median(before))
    return int(places[lasting])


def _rising_knee(profile: DepthProfile, crossing: int) -> _Knee | None:
    """Fit `level, then a climb` to the signal around a crossing, and give the knee between them."""
    reach = round(_RAMP_MM / _SPACING_MM)
    window = slice(max(0, crossing - 2 * reach), crossing + reach // 4)
    return _broken_line(profile, window)


def _falling_knee(flipped: DepthProfile, fall: int) -> _Knee | None:
    """Fit `a fall, then level`, read backwards, around the place where the fall is well under way."""
    reach = round(_RAMP_MM / _SPACING_MM)
    window = slice(max(0, fall - reach // 4), fall + 2 * reach)
    return _broken_line(flipped, window, level_first=False)


def _broken_line(profile: DepthProfile, window: slice, *, level_first: bool = True) -> _Knee | None:
    position, torque = profile.position_mm[window], profile.net_torque_a[window]
    used = ~profile.changed[window]
    position, torque = position[used], torque[used]
    if position.size < _SMOOTHED_CELLS or np.ptp(torque) == 0:
        return None
    knees = position[2:-2]
    sign = 1.0 if level_first else -1.0
    slopes = np.maximum(0, sign * (position[None, :] - knees[:, None]))
    centred_slopes = slopes - slopes.mean(axis=1, keepdims=True)
    centred = torque - torque.mean()
    gain = (centred_slopes @ centred) / np.sum(centred_slopes**2, axis=1)
    residual = np.sum((centred - gain[:, None] * centred_slopes) ** 2, axis=1)
    best = int(np.argmin(residual))
    return _Knee(float(knees[best]), float(residual[best] / np.sum(centred**2)))


def _confidence(knees: dict[str, _Knee | None], profile: DepthProfile, reasons: list[str]) -> float:
    confidence = 1.0
    for name, knee in knees.items():
        if knee is None:
            reasons.append(f"no {name} found")
            confidence *= 0.3
            continue
        if knee.unexplained > 0.1:
            reasons.append(f"the torque around the {name} is not a clear ramp")
        confidence *= 1 - min(knee.unexplained, 0.5)
        place = int(np.argmin(np.abs(profile.position_mm - knee.position_mm)))
        if profile.changed[max(0, place - 5) : place + 5].any():
            reasons.append(f"the {name} lies at a step change")
            confidence *= 0.7
    found = [knee.position_mm for knee in knees.values() if knee]
    if found != sorted(found):
        reasons.append("the key points are out of order")
        confidence *= 0.2
    return round(confidence, 3)


def _first_lasting(above: NDArray[np.bool_]) -> int | None:
    """The first place from which the condition holds for `_SMOOTHED_CELLS` cells."""
    run = np.convolve(above, np.ones(_SMOOTHED_CELLS), "valid")
    lasting = np.flatnonzero(run >= _SMOOTHED_CELLS - 0.5)
    return int(lasting[0]) if lasting.size else None


def _smoothed(values: Floats) -> Floats:
    half = _SMOOTHED_CELLS // 2
    padded = np.pad(values, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, _SMOOTHED_CELLS), axis=1)


def _depth(knee: _Knee | None) -> float | None:
    return knee.position_mm if knee else None


def _nearest_index(samples: Samples, knee: _Knee | None) -> int | None:
    """The first fresh sample nearest to a depth; positions jump back at step changes."""
    if knee is None:
        return None
    fresh = np.flatnonzero(samples.fresh)
    nearest = fresh[np.argmin(np.abs(samples.position_mm[fresh] - knee.position_mm))]
    return int(samples.index[nearest])


def _nothing(reason: str) -> KeyPoints:
    return KeyPoints(None, None, None, None, None, None, METHOD, 0.0, (reason,))
