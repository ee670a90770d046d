"""A log taken apart once for all checks: numpy arrays, the runs of steps, the program and who drilled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drilling.setitec import SetitecLog
from drilling.validation.identity import Identity, identity_of
from drilling.validation.program import ProgramStep, program_steps

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
TORQUE_STEP_A, THRUST_STEP_A = 0.0488, 0.0117
# Net currents above these are a tool that cuts: carbon fibre takes 3-7 A of torque, 0.1-0.3 A of thrust.
CUTTING_TORQUE_A, CUTTING_THRUST_A = 1.0, 0.1
THRUST_LIMIT_CODE = 0x8
_NO_STEP = -1
_SMOOTHED_ROWS = 9
# Where a hard stop ends the cycle, its rise of the currents lies in the last rows.
_HARD_STOP_ROWS = 40
# After a step change the tool cuts fully again 0.3 mm below where it had been.
_RE_ENGAGED_MM = 0.3


@dataclass(frozen=True, slots=True)
class Current:
    """One motor's current in A, NaN where the log has none; `smooth_a` is the net one over 9 rows."""

    name: str
    net_a: Floats
    empty_a: Floats
    total_a: Floats
    smooth_a: Floats
    resolution_a: float
    cutting_a: float

    @property
    def recorded(self) -> bool:
        """Whether the log holds this current at all."""
        return bool(np.isfinite(self.net_a).any())

    def cuts(self, body: slice) -> bool:
        """Whether the current leaves that of air in more than a hundredth of those rows."""
        smooth = self.smooth_a[body]
        return int(np.count_nonzero(smooth >= self.cutting_a)) > 0.01 * smooth.size


@dataclass(frozen=True, slots=True)
class Run:
    """Rows `start` to `stop` (exclusive) of one step, and every stop code bit in them.

    Where the log has no steps, all rows are one run of the number -1.
    """

    number: int
    start: int
    stop: int
    stop_code: int

    @property
    def label(self) -> str:
        """The step as a sentence names it."""
        return "the cycle" if self.number == _NO_STEP else f"step {self.number}"


@dataclass(frozen=True, slots=True)
class Recording:
    """A log's rows that have a position; `index` says which samples they are.

    `body` leaves out the rise against a hard stop, `level_a` is the net torque of the hardest layer
    (None where the torque stays that of air), `codes_known` whether any stop code was recorded.
    """

    log: SetitecLog
    now: datetime
    identity: Identity
    index: NDArray[np.int64]
    position_mm: Floats
    torque: Current
    thrust: Current
    runs: tuple[Run, ...]
    codes_known: bool
    program: tuple[ProgramStep, ...]
    body: slice
    level_a: float | None

    @property
    def currents(self) -> tuple[Current, Current]:
        """Torque and thrust."""
        return self.torque, self.thrust

    @property
    def steps_known(self) -> bool:
        """Whether the log says which step ran."""
        return bool(self.runs) and self.runs[0].number != _NO_STEP

    @property
    def last_code(self) -> int:
        """The stop code that ended the cycle, 0 where there is none."""
        return self.runs[-1].stop_code if self.runs else 0

    def rows(self, start: int, stop: int) -> tuple[int, int]:
        """The sample indices of rows `start` to `stop` (exclusive)."""
        return int(self.index[start]), int(self.index[stop - 1])

    def programmed(self, number: int) -> ProgramStep | None:
        """What the program says of a step."""
        return next((step for step in self.program if step.number == number), None)

    def undisturbed(self) -> Mask:
        """Rows in which the tool is not re-engaging after a step change."""
        mask = np.ones(self.position_mm.size, dtype=bool)
        for run in self.runs[1:]:
            until = float(self.position_mm[: run.start].max()) + _RE_ENGAGED_MM
            recovered = np.flatnonzero(self.position_mm[run.start :] >= until)
            mask[run.start : run.start + recovered[0] if recovered.size else None] = False
        return mask


def open_recording(log: SetitecLog, now: datetime | None = None) -> Recording:
    """Take a log apart; `now` (local time) is what its clock is held against."""
    signals = log.signals
    position = _floats(signals["position_mm"])
    kept = np.isfinite(position)
    if not kept.all():
        signals, position = signals.filter(pl.Series(kept)), position[kept]
    runs = _runs(_whole(signals["step"]), _whole(signals["stop_code"], previous=False))
    torque = _current(signals, "torque", TORQUE_STEP_A, CUTTING_TORQUE_A)
    ended_hard = bool(runs and runs[-1].stop_code & THRUST_LIMIT_CODE)
    body = slice(0, max(0, position.size - _HARD_STOP_ROWS) if ended_hard else position.size)
    program = program_steps(log.program)
    return Recording(
        log=log,
        now=now or datetime.now(),
        identity=identity_of(log, program),
        index=signals["index"].to_numpy(),
        position_mm=position,
        torque=torque,
        thrust=_current(signals, "thrust", THRUST_STEP_A, CUTTING_THRUST_A),
        runs=runs,
        codes_known=signals["stop_code"].null_count() < signals.height,
        program=program,
        body=body,
        level_a=_level(torque, body),
    )


def longest_run(mask: Mask) -> tuple[int, int]:
    """Start and stop (exclusive) of the longest stretch of true values; (0, 0) where there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).view(np.int8)))
    if not edges.size:
        return 0, 0
    starts, stops = edges[::2], edges[1::2]
    longest = int((stops - starts).argmax())
    return int(starts[longest]), int(stops[longest])


def _floats(column: pl.Series) -> Floats:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _whole(column: pl.Series, *, previous: bool = True) -> NDArray[np.int64]:
    """Whole numbers; an empty cell as the one before it (-1 where none is known), or as 0."""
    if column.null_count():
        if previous:
            column = column.fill_null(strategy="forward").fill_null(strategy="backward")
        column = column.fill_null(_NO_STEP if previous else 0)
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _current(signals: pl.DataFrame, name: str, resolution_a: float, cutting_a: float) -> Current:
    net, empty = _floats(signals[f"{name}_a"]), _floats(signals[f"{name}_empty_a"])
    total = net + np.where(np.isfinite(empty), empty, 0.0)
    return Current(name, net, empty, total, _smoothed(net), resolution_a, cutting_a)


def _smoothed(values: Floats) -> Floats:
    known = np.isfinite(values)
    if not known.all():
        if not known.any():
            return np.zeros_like(values)
        values = np.interp(np.arange(values.size), np.flatnonzero(known), values[known])
    if not values.size:
        return values
    half = _SMOOTHED_ROWS // 2
    padded = np.concatenate((np.repeat(values[:1], half), values, np.repeat(values[-1:], half)))
    return np.convolve(padded, np.full(_SMOOTHED_ROWS, 1 / _SMOOTHED_ROWS), "valid")


def _runs(step: NDArray[np.int64], code: NDArray[np.int64]) -> tuple[Run, ...]:
    if not step.size:
        return ()
    bounds: Sequence[int] = [0, *(np.flatnonzero(np.diff(step)) + 1).tolist(), step.size]
    ended = np.bitwise_or.reduceat(code, np.asarray(bounds[:-1]))
    spans = zip(bounds[:-1], bounds[1:], ended.tolist(), strict=True)
    return tuple(Run(int(step[start]), start, stop, bits) for start, stop, bits in spans)


def _level(torque: Current, body: slice) -> float | None:
    if not torque.cuts(body):
        return None
    smooth = torque.smooth_a[body]
    return float(np.percentile(smooth[smooth >= torque.cutting_a], 90))
