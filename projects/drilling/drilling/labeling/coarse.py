"""Roughly where a hole begins, changes its layer and ends, from its own levels of torque and thrust.

No step numbers and no fixed currents: the level of air is that of the hole's first tenths of a
millimetre, the level of cutting its own upper range. What is found here starts a fit, and is right
to about half a ramp.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.profile import DepthProfile

Floats = NDArray[np.float64]
SMOOTHED_CELLS = 9
_AIR_CELLS = 12
_LEAST_CUTTING_A = 0.6
_LEAST_CUTTING_MM = 0.6
_USUAL_RAMP_MM = 1.9
_MOST_STARTS = 300


@dataclass(frozen=True, slots=True)
class Outline:
    """Places on a depth profile; None where the hole has no such place.

    `fall` is where the torque has fallen to half of the last layer's level; `exit` is then about half
    a ramp above it.
    """

    air_a: float
    hard_a: float
    rise: int
    transition: int | None
    fall: int | None


def outline(profile: DepthProfile) -> Outline | None:
    """The outline of a hole; None where the torque never leaves the level of air."""
    torque = smoothed(profile.net_torque_a)
    air = float(np.median(torque[:_AIR_CELLS]))
    hard = float(np.percentile(torque, 90)) - air
    cutting = torque - air > max(0.15 * hard, _LEAST_CUTTING_A)
    if hard < _LEAST_CUTTING_A or np.count_nonzero(cutting) * profile.spacing_mm < _LEAST_CUTTING_MM:
        return None
    rise = first_lasting(cutting, SMOOTHED_CELLS)
    if rise is None:
        return None
    fall = _fall(torque - air, hard, rise)
    end = fall if fall is not None else torque.size - 1
    return Outline(air, hard, rise, _transition(profile, rise, end), fall)


def smoothed(values: Floats) -> Floats:
    """A running median over nine cells."""
    half = SMOOTHED_CELLS // 2
    padded = np.pad(values, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED_CELLS), axis=1)


def first_lasting(holds: NDArray[np.bool_], cells: int) -> int | None:
    """The first place from which a condition holds for so many cells."""
    if holds.size < cells:
        return None
    lasting = np.flatnonzero(np.convolve(holds, np.ones(cells), "valid") >= cells - 0.5)
    return int(lasting[0]) if lasting.size else None


def _fall(torque: Floats, hard: float, rise: int) -> int | None:
    """The last place of half the cutting level from which the torque goes down and stays down for a while.

    A later rise is a countersink or the hard stop, which no longer reaches the level of cutting for long.
    """
    level = _last_level(torque, hard, rise)
    above = np.flatnonzero(torque > 0.5 * level)
    runs = np.split(above, np.flatnonzero(np.diff(above) > SMOOTHED_CELLS) + 1)
    longest = max(runs, key=len)
    fall = int(longest[-1]) + 1
    if fall >= torque.size - 2:
        return None
    below = torque[fall : fall + 2 * SMOOTHED_CELLS]
    return fall if below.min() < 0.4 * level else None


def _last_level(torque: Floats, hard: float, rise: int) -> float:
    """The level of the last layer: the median of the last part that is well under way in cutting."""
    cutting = np.flatnonzero(torque[rise:] > 0.5 * hard) + rise
    return (
        float(np.median(torque[cutting[-max(SMOOTHED_CELLS, cutting.size // 4) :]])) if cutting.size else hard
    )


def _transition(profile: DepthProfile, rise: int, end: int) -> int | None:
    """Where one ramp explains most of what torque and thrust do between entry and exit, if it is clear."""
    spacing = profile.spacing_mm
    ramp = round(_USUAL_RAMP_MM / spacing)
    inside = np.arange(min(rise + ramp // 2, end), end - ramp // 4)
    if inside.size < 2 * SMOOTHED_CELLS:
        return None
    starts = np.arange(0, inside.size - SMOOTHED_CELLS, max(2, inside.size // _MOST_STARTS))
    gains, jumps = zip(
        *(_one_ramp(signal[inside], starts, ramp) for signal in _signals(profile)), strict=True
    )
    best = int(np.argmax(np.sum(gains, axis=0)))
    clear = any(
        jump[best] > max(0.25 * abs(level), 6 * noise) and gain[best] > 0.3
        for jump, gain, level, noise in zip(
            jumps, gains, *_levels(profile, inside, starts[best]), strict=True
        )
    )
    return int(inside[starts[best]]) if clear else None


def _signals(profile: DepthProfile) -> tuple[Floats, Floats]:
    return smoothed(profile.net_torque_a), smoothed(profile.thrust_a)


def _levels(profile: DepthProfile, inside: NDArray[np.int64], start: int) -> tuple[list[float], list[float]]:
    """The level before a place, and the noise from cell to cell, of each signal."""
    before = inside[: max(SMOOTHED_CELLS, int(start))]
    signals = (profile.net_torque_a[before], profile.thrust_a[before])
    levels = [float(np.median(signal)) for signal in signals]
    noises = [1.4826 * float(np.median(np.abs(np.diff(signal)))) for signal in signals]
    return levels, noises


def _one_ramp(values: Floats, starts: NDArray[np.int64], ramp: int) -> tuple[Floats, Floats]:
    """For a ramp from each start: the share of variance that it explains beyond a trend, and its height."""
    place = np.arange(values.size)
    share = np.clip((place[None, :] - starts[:, None]) / ramp, 0, 1)
    trend = np.stack([np.ones(values.size), place / values.size])
    base, _ = np.linalg.qr(trend.T)
    rest = values - base @ (base.T @ values)
    ramps = share - (share @ base) @ base.T
    power = np.sum(ramps**2, axis=1)
    height = (ramps @ rest) / np.maximum(power, 1e-9)
    gain = np.clip(height, 0, None) ** 2 * power / max(float(np.sum(rest**2)), 1e-9)
    return gain, height
