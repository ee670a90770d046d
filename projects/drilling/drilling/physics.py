"""The currents of a drill that passes a stack of layers, sample by sample.

A layer loads the tool by the share of its tip that cuts in it: the share grows while the tip
sinks in over its length, and falls as the tip comes out below, a little later where the exit
face bends. Figures are those of genuine logs (resolution, noise, ramps, jump-backs).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
RATE_HZ = 100.0
POSITION_STEP_MM, TORQUE_STEP_A, THRUST_STEP_A = 0.00385, 0.0488, 0.0117
FEED_REACHED = 0.976
RE_ENGAGED_MM = 0.3
# Measured at 320 rpm: 8.04 Hz, torque SD over mean 0.13.
PECKS_PER_REVOLUTION, PECKING_TORQUE_SHARE, PECKING_MM = 1.507, 0.13, 0.0015
_ENCODER_JITTER_MM = 0.001
_TORQUE_CONSTANT_W = 0.011
_THRUST_NOISE_A = 0.012
_SPIKE_ROWS = 4
_MOST_MEMORY = 0.92


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer between two depths, with the net currents and the torque noise of a full tip.

    The currents are those at `feed_mm_rev`. `noise_memory` is the noise's correlation from one written
    sample to the next; `rise` the share by which the torque grows from the layer's top to its bottom.
    """

    top_mm: float
    bottom_mm: float
    torque_a: float
    thrust_a: float
    noise_a: float
    noise_memory: float
    feed_mm_rev: float
    rise: float = 0.0


@dataclass(frozen=True, slots=True)
class Tip:
    """The drill's point: ramp lengths at a layer's top and at the stack's bottom, and their shape."""

    length_mm: float
    exit_length_mm: float
    shape: float


@dataclass(frozen=True, slots=True)
class StepRun:
    """One recipe step as it ran: to a depth, where a stop code ended it.

    `stop_torque_a` and `stop_thrust_a` are what the hard stop, or a countersink's edge before it, adds;
    `spike_a` is the torque that a jam of a few samples adds at `spike_mm`.
    """

    number: int
    rpm: float
    feed_mm_rev: float
    end_mm: float
    stop_code: int
    jump_back_mm: float
    stop_torque_a: float = 0.0
    stop_thrust_a: float = 0.0
    spike_mm: float = 0.0
    spike_a: float = 0.0
    pecking: bool = False

    @property
    def feed_mm_s(self) -> float:
        """The programmed feed."""
        return self.rpm * self.feed_mm_rev / 60


@dataclass(frozen=True, slots=True)
class Stack:
    """The layers, the tip that passes them, and the torque noise of a tool in air.

    `no_load` is the unit's share of the usual currents without load.
    """

    layers: tuple[Layer, ...]
    tip: Tip
    air_noise_a: float
    no_load: float = 1.0


def drill(
    stack: Stack, start_mm: float, steps: tuple[StepRun, ...], rng: np.random.Generator
) -> pl.DataFrame:
    """The log's samples of a hole, under the column names of `SetitecLog.signals`."""
    parts: list[pl.DataFrame] = []
    deepest = start_mm
    for number, step in enumerate(steps):
        begin = start_mm if number == 0 else deepest - step.jump_back_mm
        advance = step.feed_mm_s * FEED_REACHED / RATE_HZ
        depth = np.arange(begin, max(step.end_mm, begin + 6 * advance), advance)
        engaged = np.ones_like(depth) if number == 0 else np.clip((depth - begin) / RE_ENGAGED_MM, 0, 1)
        parts.append(_step_samples(stack, step, depth, engaged, rng))
        deepest = float(depth[-1])
    return pl.concat(parts)


def cutting_share(
    depth: Floats, layer: Layer, tip: Tip, side: Literal["torque", "thrust"], *, last: bool = True
) -> Floats:
    """The share of the tip that cuts in a layer at each depth of its point, 0 to 1."""
    # The chisel edge takes most of the thrust, so thrust rises earlier than torque.
    reach = 1.0 if side == "torque" else 0.6
    below = tip.exit_length_mm if last else tip.length_mm
    into = _sunk((depth - layer.top_mm) / (tip.length_mm * reach), tip.shape)
    out = _sunk((depth - layer.bottom_mm) / (below * reach), tip.shape)
    return into - out


def _sunk(share: Floats, shape: float) -> Floats:
    return np.asarray(np.clip(share, 0, 1) ** shape)


def _step_samples(
    stack: Stack, step: StepRun, depth: Floats, engaged: Floats, rng: np.random.Generator
) -> pl.DataFrame:
    time_s = np.arange(depth.size) / RATE_HZ
    beat = 2 * np.pi * (PECKS_PER_REVOLUTION * step.rpm / 60 * time_s + rng.random())
    pecking = np.sin(beat) if step.pecking else np.zeros(depth.size)
    torque, thrust = _net_currents(stack, step, depth, engaged, pecking, rng)
    torque, thrust = _quantised(torque, TORQUE_STEP_A), _quantised(thrust, THRUST_STEP_A)
    torque_empty = _quantised(stack.no_load * (0.9 + 0.0006 * step.rpm), TORQUE_STEP_A)
    thrust_empty = _quantised(stack.no_load * (0.25 + 0.05 * step.feed_mm_s), THRUST_STEP_A)
    seen = depth + PECKING_MM * pecking + rng.normal(0, _ENCODER_JITTER_MM, depth.size)
    total = torque + float(torque_empty)
    return pl.DataFrame(
        {
            "position_mm": _quantised(seen, POSITION_STEP_MM),
            "torque_a": torque,
            "thrust_a": thrust,
            "torque_empty_a": np.full(depth.size, torque_empty),
            "thrust_empty_a": np.full(depth.size, thrust_empty),
            "step": np.full(depth.size, step.number),
            "stop_code": _stop_codes(step.stop_code, depth.size, rng),
            # The lowest current of the step so far.
            "mem_torque_min_a": np.minimum.accumulate(torque),
            "mem_thrust_min_a": np.minimum.accumulate(thrust),
            "rotation_speed_rpm": -step.rpm + rng.normal(0, 2, depth.size),
            "feed_speed_mm_s": step.feed_mm_s * FEED_REACHED + rng.normal(0, 0.02, depth.size),
            "torque_power_w": np.maximum(total, 0) * step.rpm * _TORQUE_CONSTANT_W,
            "power_w": np.maximum(total, 0) * step.rpm * _TORQUE_CONSTANT_W,
            "gap_length_mm": np.zeros(depth.size),
        }
    )


def _net_currents(
    stack: Stack, step: StepRun, depth: Floats, engaged: Floats, pecking: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    torque = _spike(step, depth)
    thrust = rng.normal(0, _THRUST_NOISE_A, depth.size)
    in_air = np.ones(depth.size)
    for layer in stack.layers:
        last = layer is stack.layers[-1]
        chip = (step.feed_mm_rev / layer.feed_mm_rev) ** 0.7
        share = cutting_share(depth, layer, stack.tip, "torque", last=last) * engaged
        in_air -= share
        within = np.clip((depth - layer.top_mm) / (layer.bottom_mm - layer.top_mm), 0, 1)
        level = layer.torque_a * chip * (1 + layer.rise * (within - 0.5))
        # Only a hard layer feels the pecking: the soft one gives way.
        beat = PECKING_TORQUE_SHARE * np.sqrt(2) * level * pecking if last else 0.0
        torque += share * (level + beat + _drifting(layer, depth.size, rng))
        pushed = cutting_share(depth, layer, stack.tip, "thrust", last=last) * engaged
        thrust += pushed * layer.thrust_a * chip * (1 + rng.normal(0, 0.05, depth.size))
    # A tool that cuts has the layer's noise in place of that in air.
    torque += np.clip(in_air, 0, 1) * rng.normal(0, stack.air_noise_a, depth.size)
    against_stop = np.clip((depth - step.end_mm) / RE_ENGAGED_MM + 1, 0, 1)
    return torque + against_stop * step.stop_torque_a, thrust + against_stop * step.stop_thrust_a


def _spike(step: StepRun, depth: Floats) -> Floats:
    """The torque of a jam: it rises and falls within a few samples."""
    reach_mm = _SPIKE_ROWS * step.feed_mm_s * FEED_REACHED / RATE_HZ
    return np.asarray(step.spike_a * np.clip(1 - np.abs(depth - step.spike_mm) / reach_mm, 0, 1))


def _drifting(layer: Layer, count: int, rng: np.random.Generator) -> Floats:
    """Noise that has the layer's memory once it is written in the torque's coarse steps."""
    lost = TORQUE_STEP_A**2 / 12 / layer.noise_a**2
    memory = min(layer.noise_memory * (1 + lost), _MOST_MEMORY)
    fresh = rng.normal(0, layer.noise_a * np.sqrt(1 - memory**2), count)
    return np.asarray(lfilter([1.0], [1.0, -memory], fresh), dtype=np.float64)


def _stop_codes(code: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    codes = np.zeros(count, dtype=np.int64)
    codes[-(int(rng.integers(4, 6)) if code in (2048, 8192) else 2) :] = code
    return codes


def _quantised(values: Floats | float, step: float) -> Floats:
    return np.asarray(np.round(np.asarray(values) / step) * step + 0.0)
