"""A hole's currents as the sum of its layers, each loading the tool by the share of the tip that cuts.

The share grows over the tip's length where the tip sinks into a layer, and falls over it where the
tip comes out below; thrust, which the chisel edge makes, does so over a part of that length. One
least-squares fit of torque and thrust over the whole hole finds where: every ramp belongs to the same
tip, so that the clear one at the entry says what the noisy one at the exit must look like.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares

from drilling.labeling.coarse import Outline
from drilling.profile import DepthProfile

Floats = NDArray[np.float64]
# What a fit varies: three depths in mm, and the tip. A usual tip and how far others are from it; ramps
# of genuine logs take 1.0 to 2.4 mm from 10 to 90 %, and falls 0.9 to 2.3 mm from 80 to 15 %.
_TIP = np.array([2.0, 1.12, 1.15, 0.65])
_LENGTH_MM = 2.0
_TIP_SD = np.array([0.5, 0.1, 0.15, 0.15])
_STEP = np.array([0.8, 1.0, 1.0, 0.6, 0.25, 0.35, 0.3])
_LOWEST, _HIGHEST = np.array([0.6, 0.7, 0.6, 0.3]), np.array([4.5, 1.8, 2.5, 1.3])
_TIP_WEIGHT = 3.0
# Noise of a current in A: a floor, and a share of the level. It drifts, so that some sixteen cells next
# to each other say no more than one.
_CELLS_ALIKE = 16
_TORQUE_NOISE, _THRUST_NOISE = (0.06, 0.04), (0.015, 0.06)
_AROUND_MM, _FAR_WEIGHT = 3.0, 0.2
_AFTER_FALL_MM = 1.2
_TREND, _SPEED_CHANGE = 0.05, 0.2
_MOST_HEIGHTS = 12
_LEAST_CELLS = 30


@dataclass(frozen=True, slots=True)
class RampFit:
    """Key points in mm with their standard errors (NaN where there is none), and the tip's length in mm.

    `unexplained` is the share of the torque's variance that the fit leaves.
    """

    points_mm: Floats
    errors_mm: Floats
    length_mm: float
    unexplained: float


@dataclass(frozen=True, slots=True)
class _Signal:
    """One current in the cells that take part, its weight there, and its level in the hard layer."""

    values: Floats
    weight: Floats
    level_a: float


@dataclass(frozen=True, slots=True)
class _Problem:
    """The cells that take part, and which of the three key points there are."""

    position: Floats
    run: NDArray[np.int64]
    torque: _Signal
    thrust: _Signal
    has_transition: bool
    has_exit: bool


def fit_ramps(profile: DepthProfile, found: Outline) -> RampFit | None:
    """The fit from an outline on; None where too little of the hole is left to fit."""
    problem = _problem(profile, found)
    if problem.position.size < _LEAST_CELLS:
        return None
    rough = _rough(profile, found)
    start = _best_of(_starts(rough, _tip_from_entry(rough, problem), problem), problem)
    result = _optimised(start, problem)
    return _answer(result.x, result.jac, problem)


def _rough(profile: DepthProfile, found: Outline) -> Floats:
    """Entry, transition and exit before any fit, and a usual tip."""
    position = profile.position_mm
    beyond = position[-1] + 10.0
    transition = position[found.transition] if found.transition is not None else beyond
    leave = position[found.fall] - 0.5 * _LENGTH_MM if found.fall is not None else beyond
    return np.array([position[found.rise] - 0.3, transition, leave, *_TIP])


def _problem(profile: DepthProfile, found: Outline) -> _Problem:
    """Every cell up to the end of the fall, lighter where nothing happens near by."""
    position, spacing = profile.position_mm, profile.spacing_mm
    end = position.size if found.fall is None else found.fall + round((_LENGTH_MM + _AFTER_FALL_MM) / spacing)
    used = np.flatnonzero(~profile.changed[: min(end, position.size)])
    events = [position[place] for place in (found.rise, found.transition, found.fall) if place is not None]
    near = np.min([np.abs(position[used] - event) for event in events], axis=0) < _AROUND_MM
    weight = np.where(near, 1.0, _FAR_WEIGHT) * np.sqrt(np.clip(profile.samples[used], 0.3, 4))
    torque, thrust = profile.net_torque_a[used] - found.air_a, profile.thrust_a[used]
    thrust = thrust - np.median(profile.thrust_a[: max(found.rise // 2, 4)])
    return _Problem(
        position=position[used],
        run=profile.run[used],
        torque=_signal(torque, weight, _TORQUE_NOISE),
        thrust=_signal(thrust, weight, _THRUST_NOISE),
        has_transition=found.transition is not None,
        has_exit=found.fall is not None,
    )


def _signal(values: Floats, weight: Floats, noise: tuple[float, float]) -> _Signal:
    level = max(float(np.percentile(values, 90)), 10 * noise[0])
    return _Signal(values, weight / np.hypot(noise[0], noise[1] * values) / np.sqrt(_CELLS_ALIKE), level)


def _optimised(start: Floats, problem: _Problem) -> OptimizeResult:
    lowest, highest = start - 3 * _STEP, start + 3 * _STEP
    lowest[3:], highest[3:] = _LOWEST, _HIGHEST
    return least_squares(
        _residuals,
        np.clip(start, lowest + 1e-6, highest - 1e-6),
        args=(problem,),
        loss="soft_l1",
        f_scale=2.0,
        x_scale=_STEP,
        bounds=(lowest, highest),
        ftol=1e-5,
        xtol=1e-4,
        max_nfev=30,
    )


def _tip_from_entry(rough: Floats, problem: _Problem) -> Floats:
    """The tip as the entry alone tells it: there the torque is clearest."""
    until = min(rough[1] - 0.3 if problem.has_transition else np.inf, rough[0] + 4.5)
    until = min(until, rough[2]) if problem.has_exit else until
    near = (problem.position > rough[0] - 1.5) & (problem.position < until)
    if np.count_nonzero(near) < _LEAST_CELLS:
        return rough[3:]
    alone = replace(
        problem,
        position=problem.position[near],
        run=problem.run[near],
        torque=_part(problem.torque, near),
        thrust=_part(problem.thrust, near),
        has_transition=False,
        has_exit=False,
    )
    return np.asarray(_optimised(rough, alone).x[3:])


def _part(signal: _Signal, cells: NDArray[np.bool_]) -> _Signal:
    return replace(signal, values=signal.values[cells], weight=signal.weight[cells])


def _starts(rough: Floats, tip: Floats, problem: _Problem) -> Iterator[Floats]:
    """Places to begin from: the exit's ramp may reach up to a tip's length above the half fall."""
    half_fall = rough[2] + 0.5 * _LENGTH_MM
    shifts = np.linspace(0.25, 0.85, 6) if problem.has_exit else [0.5]
    moves = np.linspace(-0.6, 0.6, 3) if problem.has_transition else [0.0]
    for shift in shifts:
        for move in moves:
            leave = half_fall - shift * tip[0] * tip[1]
            yield np.array([rough[0], rough[1] + move, leave, *tip])


def _best_of(starts: Iterable[Floats], problem: _Problem) -> Floats:
    return min(starts, key=lambda start: float(np.sum(np.abs(_residuals(start, problem)))))


def _residuals(parameters: Floats, problem: _Problem) -> Floats:
    """Weighted misfits of both currents with the best heights, then how unusual heights and tip are."""
    tip = parameters[3:]
    return np.concatenate(
        [
            _misfit(parameters, 1.0, problem.torque, problem),
            _misfit(parameters, tip[3], problem.thrust, problem),
            _TIP_WEIGHT * (tip - _TIP) / _TIP_SD,
        ]
    )


def _misfit(parameters: Floats, reach: float, signal: _Signal, problem: _Problem) -> Floats:
    columns, limits = _columns(parameters, reach, signal, problem)
    weighted, target = columns * signal.weight[:, None], signal.values * signal.weight
    gram = weighted.T @ weighted
    gram.flat[:: limits.size + 1] += 1 / limits**2 + 1e-6
    heights = np.linalg.solve(gram, weighted.T @ target)
    unused = np.zeros(_MOST_HEIGHTS - limits.size)
    return np.concatenate([target - weighted @ heights, heights / limits, unused])


def _columns(parameters: Floats, reach: float, signal: _Signal, problem: _Problem) -> tuple[Floats, Floats]:
    """What a current is a sum of, and how large each height may become in A (infinite: any).

    Each layer, its trend with depth, and what another speed changes in the last layer: a step change
    inside a ramp changes its height.
    """
    first, second = _shares(parameters, reach, problem)
    trend, speed_change = _TREND * signal.level_a, _SPEED_CHANGE * signal.level_a
    columns, limits = [first, first * _across(first, problem)], [np.inf, trend]
    if second is not None:
        columns += [second, second * _across(second, problem)]
        limits += [np.inf, trend]
        for run in np.unique(problem.run[second > 0.02])[1 : _MOST_HEIGHTS - 3]:
            columns.append(second * (problem.run >= run))
            limits.append(speed_change)
    return np.stack(columns, axis=1), np.array(limits)


def _shares(parameters: Floats, reach: float, problem: _Problem) -> tuple[Floats, Floats | None]:
    """How far the tip cuts in the first layer and, where there are two, in the second."""
    entry, transition, leave, length, stretch, shape, _ = parameters

    def sunk(top: float, over: float) -> Floats:
        return np.asarray(np.clip((problem.position - top) / (over * reach), 0, 1) ** shape)

    out = sunk(leave, length * stretch) if problem.has_exit else 0.0
    into = sunk(entry, length)
    if not problem.has_transition:
        return into - out, None
    between = sunk(transition, length)
    return into - between, between - out


def _across(share: Floats, problem: _Problem) -> Floats:
    """Depth within a layer, from -1 at its top to 1 at its bottom."""
    inside = problem.position[share > 0.5]
    if not inside.size:
        return np.zeros(share.size)
    top, bottom = float(inside[0]), float(inside[-1])
    middle, half = (top + bottom) / 2, max((bottom - top) / 2, 0.5)
    return np.clip((problem.position - middle) / half, -1.5, 1.5)


def _answer(parameters: Floats, jacobian: Floats, problem: _Problem) -> RampFit:
    cells = problem.position.size
    residuals = _residuals(parameters, problem)[:cells]
    scale = max(1.0, float(np.mean(residuals**2)))
    # Beyond the hole a key point that it does not have moves nothing: a hair keeps this invertible.
    covariance = np.linalg.inv(jacobian.T @ jacobian + 1e-6 * np.eye(parameters.size)) * scale
    errors = np.sqrt(np.clip(np.diag(covariance)[:3], 0, None))
    present = np.array([True, problem.has_transition, problem.has_exit])
    left = residuals / problem.torque.weight
    return RampFit(
        points_mm=np.where(present, parameters[:3], np.nan),
        errors_mm=np.where(present, errors, np.nan),
        length_mm=float(parameters[3]),
        unexplained=float(np.mean(left**2) / max(float(np.var(problem.torque.values)), 1e-9)),
    )
