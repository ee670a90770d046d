"""A hole's currents over depth: the samples that cut new material, averaged on an even grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.setitec import SetitecLog

Floats = NDArray[np.float64]
# After a step change the tool starts again 0.09 to 0.29 mm higher and cuts fully after 0.3 mm:
# at most so far below the depth that it had reached.
RE_ENGAGED_MM = 0.2


@dataclass(frozen=True, slots=True)
class Samples:
    """A log's complete samples as arrays, with `fresh` where the tool is deeper than ever before.

    `changed` is true from a step change until the tool cuts at full depth again.
    """

    index: NDArray[np.int64]
    position_mm: Floats
    net_torque_a: Floats
    total_torque_a: Floats
    thrust_a: Floats
    fresh: NDArray[np.bool_]
    changed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DepthProfile:
    """Net torque on an even grid of depths, and where a step change disturbs it."""

    position_mm: Floats
    net_torque_a: Floats
    changed: NDArray[np.bool_]


def samples_of(log: SetitecLog) -> Samples:
    """The samples that have a position, both currents and a step; a missing no-load current counts as 0."""
    table = log.signals.drop_nulls(["position_mm", "torque_a", "thrust_a"])
    position = table["position_mm"].to_numpy()
    torque = table["torque_a"].to_numpy()
    step = table["step"].fill_null(strategy="forward").fill_null(0).to_numpy()
    deepest = np.maximum.accumulate(position) if position.size else position
    return Samples(
        index=table["index"].to_numpy(),
        position_mm=position,
        net_torque_a=torque,
        total_torque_a=torque + table["torque_empty_a"].fill_null(0).to_numpy(),
        thrust_a=table["thrust_a"].to_numpy(),
        fresh=position >= deepest,
        changed=_disturbed(position, deepest, step),
    )


def depth_profile(samples: Samples, spacing_mm: float) -> DepthProfile:
    """Net torque averaged over the undisturbed fresh samples of each cell, interpolated between."""
    steady = samples.fresh & ~samples.changed
    position, torque = samples.position_mm[steady], samples.net_torque_a[steady]
    if position.size < 2:
        return DepthProfile(np.empty(0), np.empty(0), np.empty(0, dtype=bool))
    edges = np.arange(position[0], position[-1] + spacing_mm, spacing_mm)
    centres = (edges[:-1] + edges[1:]) / 2
    count, total = binned(position, edges), binned(position, edges, torque)
    filled = count > 0
    level = np.interp(centres, centres[filled], total[filled] / count[filled])
    gap = binned(samples.position_mm[samples.changed], edges) > 0
    return DepthProfile(centres, level, gap & ~filled)


def binned(values: Floats, edges: Floats, weights: Floats | None = None) -> Floats:
    """How many values, or how much weight, each cell between the edges holds."""
    return np.histogram(values, edges, weights=weights)[0].astype(np.float64)


def _disturbed(position: Floats, deepest: Floats, step: NDArray[np.int64]) -> NDArray[np.bool_]:
    disturbed = np.zeros(position.size, dtype=bool)
    for change in np.flatnonzero(np.diff(step)) + 1:
        until = deepest[change - 1] + RE_ENGAGED_MM
        recovered = np.flatnonzero(position[change:] >= until)
        disturbed[change : change + recovered[0] if recovered.size else position.size] = True
    return disturbed
