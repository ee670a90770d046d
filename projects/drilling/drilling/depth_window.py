"""A hole as a model's input: 512 places spread evenly over its depth, five channels at each.

Channels, in the order of CHANNELS: total torque (A), net torque (A), net thrust (A), the natural
logarithm of 1 + feed in mm/s, and 1 where a step change disturbs the cut, else 0. A place holds the
mean of the samples around it that cut new material; places without one are interpolated. Values are
not scaled here: the scaler belongs to the model.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.errors import LogUnreadable
from drilling.profile import Floats, Samples, binned, samples_of
from drilling.setitec import SetitecLog

LENGTH = 512
CHANNELS = ("total_torque_a", "net_torque_a", "thrust_a", "log_feed", "step_change")

_LEAST_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Window:
    """`signals` (512, 5) and the depth of each place in mm, `position_mm` (512,), both float32."""

    signals: NDArray[np.float32]
    position_mm: NDArray[np.float32]


def window_of(log: SetitecLog) -> Window:
    """A whole hole as one window. Raises LogUnreadable where too few samples cut new material."""
    samples = samples_of(log)
    fresh = samples.fresh
    if np.count_nonzero(fresh) < _LEAST_SAMPLES or np.ptp(samples.position_mm[fresh]) == 0:
        raise LogUnreadable(log.source, f"fewer than {_LEAST_SAMPLES} samples go deeper than the one before")
    position = samples.position_mm[fresh]
    edges = np.linspace(position[0], position[-1], LENGTH + 1)
    places = (edges[:-1] + edges[1:]) / 2
    signals = np.stack(
        [
            _mean_at(places, edges, position, samples.total_torque_a[fresh]),
            _mean_at(places, edges, position, samples.net_torque_a[fresh]),
            _mean_at(places, edges, position, samples.thrust_a[fresh]),
            np.log1p(_feed_at(places, samples, log.sample_rate_hz)),
            _disturbed_at(edges, samples),
        ],
        axis=1,
    )
    return Window(signals.astype(np.float32), places.astype(np.float32))


def stacked(windows: list[Window]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Several windows as a batch: (n, 512, 5) and (n, 512)."""
    return np.stack([window.signals for window in windows]), np.stack(
        [window.position_mm for window in windows]
    )


def _mean_at(places: Floats, edges: Floats, position: Floats, values: Floats) -> Floats:
    count, total = binned(position, edges), binned(position, edges, values)
    filled = count > 0
    return np.interp(places, places[filled], total[filled] / count[filled])


def _feed_at(places: Floats, samples: Samples, rate_hz: float) -> Floats:
    """Depth gained per second; it falls to almost 0 where the tool cuts again after a step change."""
    fresh = samples.fresh
    position, first = np.unique(samples.position_mm[fresh], return_index=True)
    time = np.interp(places, position, samples.index[fresh][first] / rate_hz)
    return np.gradient(places) / np.maximum(np.gradient(time), 0.1 / rate_hz)


def _disturbed_at(edges: Floats, samples: Samples) -> Floats:
    return (binned(samples.position_mm[samples.changed], edges) > 0).astype(np.float64)
