"""A hole's currents over depth: the samples that cut new material, averaged on an even grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.setitec import SetitecLog

Floats = NDArray[np.float64]
# After a step change the tool starts again 0.09 to 0.29 mm higher and cuts fully after 0.3 mm:
# at most so far below the depth that it had reached.
RE_ENGAGED_MM = 0.2
_LEAP_MM, _LEAP_ROWS = 0.5, 5


@dataclass(frozen=True, slots=True)
class Samples:
    """A log's complete samples as arrays, with `fresh` where the tool is deeper than ever before.

    `changed` is true from a step change until the tool cuts at full depth again; `run` counts the
    step changes before a sample.
    """

    index: NDArray[np.int64]
    position_mm: Floats
    net_torque_a: Floats
    total_torque_a: Floats
    thrust_a: Floats
    fresh: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    run: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DepthProfile:
    """Net currents on an even grid of depths: what the samples that cut new material say of each cell.

    `samples` counts those in each cell (0 where it is interpolated), `run` the step changes before it,
    `changed` marks cells that only samples disturbed by a step change have passed.
    """

    spacing_mm: float
    position_mm: Floats
    net_torque_a: Floats
    thrust_a: Floats
    samples: Floats
    run: NDArray[np.int64]
    changed: NDArray[np.bool_]


def samples_of(log: SetitecLog) -> Samples:
    """The samples that have a position and a torque.

    A missing thrust is interpolated, and counts as 0 where the log has none; so does a no-load current.
    """
    table = log.signals.drop_nulls(["position_mm", "torque_a"])
    table = table.filter(~_leaps(table["position_mm"].to_numpy()))
    position = table["position_mm"].to_numpy()
    torque = table["torque_a"].to_numpy()
    step = table["step"].fill_null(strategy="forward").fill_null(0).to_numpy()
    deepest = np.maximum.accumulate(position) if position.size else position
    return Samples(
        index=table["index"].to_numpy(),
        position_mm=position,
        net_torque_a=torque,
        total_torque_a=torque + table["torque_empty_a"].fill_null(0).to_numpy(),
        thrust_a=table["thrust_a"].interpolate().backward_fill().forward_fill().fill_null(0).to_numpy(),
        fresh=position >= deepest,
        changed=_disturbed(position, deepest, step),
        run=np.cumsum(np.diff(step, prepend=step[:1]) != 0),
    )


def depth_profile(samples: Samples, spacing_mm: float) -> DepthProfile:
    """Currents averaged over the undisturbed fresh samples of each cell, interpolated between."""
    steady = samples.fresh & ~samples.changed
    position = samples.position_mm[steady]
    if position.size < 2 or position[-1] - position[0] < spacing_mm:
        nothing = np.empty(0)
        none = np.empty(0, dtype=np.int64)
        return DepthProfile(spacing_mm, nothing, nothing, nothing, nothing, none, none.astype(bool))
    edges = np.arange(position[0], position[-1] + spacing_mm, spacing_mm)
    centres = (edges[:-1] + edges[1:]) / 2
    count = binned(position, edges)
    filled = count > 0

    def mean(values: Floats) -> Floats:
        return np.interp(
            centres, centres[filled], binned(position, edges, values[steady])[filled] / count[filled]
        )

    disturbed = binned(samples.position_mm[samples.changed], edges) > 0
    return DepthProfile(
        spacing_mm=spacing_mm,
        position_mm=centres,
        net_torque_a=mean(samples.net_torque_a),
        thrust_a=mean(samples.thrust_a),
        samples=count,
        run=np.round(mean(samples.run.astype(np.float64))).astype(np.int64),
        changed=disturbed & ~filled,
    )


def binned(values: Floats, edges: Floats, weights: Floats | None = None) -> Floats:
    """How many values, or how much weight, each cell between the edges holds."""
    return np.histogram(values, edges, weights=weights)[0].astype(np.float64)


def _leaps(position: Floats) -> NDArray[np.bool_]:
    """Single rows far from their neighbours: one too deep would hide all that come after it."""
    if position.size < _LEAP_ROWS:
        return np.zeros(position.size, dtype=bool)
    padded = np.pad(position, _LEAP_ROWS // 2, mode="edge")
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, _LEAP_ROWS), axis=1)
    return np.asarray(np.abs(position - around) > _LEAP_MM)


def _disturbed(position: Floats, deepest: Floats, step: NDArray[np.int64]) -> NDArray[np.bool_]:
    disturbed = np.zeros(position.size, dtype=bool)
    for change in np.flatnonzero(np.diff(step)) + 1:
        until = deepest[change - 1] + RE_ENGAGED_MM
        recovered = np.flatnonzero(position[change:] >= until)
        disturbed[change : change + recovered[0] if recovered.size else position.size] = True
    return disturbed
