"""Why a drilling step ended: the stop codes of the units, a bit field."""

import operator
from dataclasses import dataclass
from enum import IntFlag
from typing import Literal, SupportsIndex

import numpy as np
import polars as pl

from drilling.errors import InvalidConfig
from drilling.setitec import SetitecLog

# The last 2 rows of a step carry its code, the last 4 or 5 for TORQUE_MIN and STROKE_MAX.
_FINAL_ROWS = 5


class StopCode(IntFlag):
    """The bits of a stop code. Motor 1 turns the tool (torque), motor 2 feeds it (thrust)."""

    NORMAL = 0
    TORQUE_MAX = 0x1
    TORQUE_LIMIT = 0x2
    THRUST_MAX = 0x4
    THRUST_LIMIT = 0x8
    THRUST_SAFETY = 0x10
    TORQUE_SAFETY = 0x20
    STEP_STROKE = 0x40
    STOP_BUTTON = 0x80
    STOP_CYCLE = 0x100
    TOOL_BREAK = 0x200
    ABORT = 0x400
    TORQUE_MIN = 0x800
    THRUST_MIN = 0x1000
    STROKE_MAX = 0x2000
    STROKE_TORQUE_LIMIT = 0x4000
    STROKE_THRUST_LIMIT = 0x8000
    MOTOR_2_SHORT_CIRCUIT = 0x10000
    MOTOR_1_SHORT_CIRCUIT = 0x20000
    POWER_MAX = 0x40000
    DELAY = 0x80000
    DRIVE_OVER_TEMPERATURE = 0x100000
    TOOL_OVER_TEMPERATURE = 0x200000
    MOTOR_1_OVERLOAD = 0x400000
    MOTOR_2_OVERLOAD = 0x800000


@dataclass(frozen=True, slots=True)
class StopReason:
    """One bit of a stop code in an engineer's words.

    `ends` is "step" where the unit goes on with the recipe's next step, "cycle" where it stops or
    retracts. `normal` is true for a usual end, false for something to look at.
    """

    code: StopCode
    meaning: str
    ends: Literal["step", "cycle"]
    normal: bool


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a run of equal steps ended: its code (0 where no code was written) and what that says.

    `first_index` and `last_index` are the run's samples, as `signals["index"]` counts them. Bits that
    are not known stay in `code` and have no reason: see `unknown_bits`. `step` is None where the log
    has no step numbers.
    """

    step: int | None
    code: int
    reasons: tuple[StopReason, ...]
    first_index: int
    last_index: int


def _next_step(code: StopCode, meaning: str) -> StopReason:
    return StopReason(code, meaning, "step", normal=True)


def _fault(code: StopCode, meaning: str) -> StopReason:
    return StopReason(code, meaning, "cycle", normal=False)


_REASONS = (
    _next_step(StopCode.TORQUE_MAX, "The torque reached the step's maximum: a harder layer was met."),
    _fault(StopCode.TORQUE_LIMIT, "The torque reached the unit's limit of 70 A: the cycle was stopped."),
    _next_step(StopCode.THRUST_MAX, "The thrust reached the step's maximum: a harder layer was met."),
    StopReason(
        StopCode.THRUST_LIMIT,
        "The thrust reached its limit, as against the hard stop: the tool retracts.",
        "cycle",
        normal=True,
    ),
    _fault(StopCode.THRUST_SAFETY, "The thrust reached its safety threshold: the cycle was stopped."),
    _fault(StopCode.TORQUE_SAFETY, "The torque reached its safety threshold: the cycle was stopped."),
    _next_step(StopCode.STEP_STROKE, "The step's stroke was reached."),
    _fault(StopCode.STOP_BUTTON, "The operator pressed the stop button."),
    _fault(StopCode.STOP_CYCLE, "The cycle was stopped from outside or by over-temperature."),
    _fault(StopCode.TOOL_BREAK, "The unit took the cutting tool for broken."),
    _fault(StopCode.ABORT, "The cycle was aborted."),
    _next_step(StopCode.TORQUE_MIN, "The torque fell to the step's minimum: the tool came out of the layer."),
    _next_step(StopCode.THRUST_MIN, "The thrust fell to the step's minimum: the tool came out of the layer."),
    StopReason(
        StopCode.STROKE_MAX,
        "The cycle's largest stroke was reached: the tool retracts.",
        "cycle",
        normal=True,
    ),
    _fault(StopCode.STROKE_TORQUE_LIMIT, "Material detection: the torque passed its limit over the stroke."),
    _fault(StopCode.STROKE_THRUST_LIMIT, "Material detection: the thrust passed its limit over the stroke."),
    _fault(StopCode.MOTOR_2_SHORT_CIRCUIT, "Short circuit in motor 2, which feeds the tool."),
    _fault(StopCode.MOTOR_1_SHORT_CIRCUIT, "Short circuit in motor 1, which turns the tool."),
    _fault(StopCode.POWER_MAX, "The power reached its maximum."),
    _next_step(StopCode.DELAY, "The step's delay ran out."),
    _fault(StopCode.DRIVE_OVER_TEMPERATURE, "The drive is over its 80 °C."),
    _fault(StopCode.TOOL_OVER_TEMPERATURE, "The drilling unit is over its 65 °C."),
    _fault(StopCode.MOTOR_1_OVERLOAD, "Overload of motor 1, which turns the tool."),
    _fault(StopCode.MOTOR_2_OVERLOAD, "Overload of motor 2, which feeds the tool."),
)
_KNOWN = sum(StopCode)


def decode(code: SupportsIndex) -> tuple[StopReason, ...]:
    """The reasons that a stop code combines, by rising bit; none for 0.

    Raises InvalidConfig for a bit that is not known, and for what is no whole number from 0 on.
    """
    bits, unknown = _bits(code), unknown_bits(code)
    if unknown:
        raise InvalidConfig("stop code", f"{bits} has bits that are not known: {unknown:#x}")
    return _reasons(bits)


def unknown_bits(code: SupportsIndex) -> int:
    """The bits of a stop code that the format does not have, 0 where all are known.

    Raises InvalidConfig for what is no whole number from 0 on.
    """
    return _bits(code) & ~_KNOWN


def describe(code: SupportsIndex) -> str:
    """A stop code in words; unknown bits are said to be so.

    Raises InvalidConfig for what is no whole number from 0 on.
    """
    sentences = [reason.meaning for reason in _reasons(_bits(code))]
    if unknown := unknown_bits(code):
        sentences.append(f"Bits that are not known: {unknown:#x}.")
    return " ".join(sentences) or "No stop."


def step_ends(log: SetitecLog) -> tuple[StepEnd, ...]:
    """How each run of equal steps of a log ended, in order; none for a log without samples.

    The code is the last one other than 0 within the run's final 5 rows. Bits that are not known are
    kept in it and do not raise.
    """
    table = log.signals.select(
        "index", pl.col("step").forward_fill().backward_fill(), pl.col("stop_code").fill_null(0)
    )
    if table.is_empty():
        return ()
    index, code = table["index"].to_numpy(), table["stop_code"].to_numpy()
    # A log without any step number is one run.
    number = table["step"].fill_null(0).to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(number)) + 1])
    stops = np.append(starts[1:], number.size)
    has_steps = table["step"].null_count() == 0
    ends = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        final = code[max(start, stop - _FINAL_ROWS) : stop]
        last = int(final[final != 0][-1]) if final.any() else 0
        step = int(number[start]) if has_steps else None
        reasons = _reasons(last) if last > 0 else ()
        ends.append(StepEnd(step, last, reasons, int(index[start]), int(index[stop - 1])))
    return tuple(ends)


def _reasons(bits: int) -> tuple[StopReason, ...]:
    return tuple(reason for reason in _REASONS if bits & reason.code)


def _bits(code: SupportsIndex) -> int:
    """The code as an int; numpy's whole numbers count, true and false do not."""
    if isinstance(code, bool | np.bool_):
        raise InvalidConfig("stop code", f"{code} is a truth value, not a whole number")
    try:
        bits = operator.index(code)
    except TypeError:
        raise InvalidConfig("stop code", f"{code!r} is not a whole number") from None
    if bits < 0:
        raise InvalidConfig("stop code", f"{bits} is negative")
    return bits
