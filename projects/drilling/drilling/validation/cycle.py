"""Checks of the cycle: its steps against the program, how it ended, whether it went through."""

from collections.abc import Iterator

import numpy as np

from drilling.validation.finding import Finding, Severity
from drilling.validation.recording import Recording

# Bits that stop the cycle. The others end a step as the recipe means it to.
ALARMS = {
    0x2: "torque limit (70 A)",
    0x10: "thrust safety",
    0x20: "torque safety",
    0x80: "stop button",
    0x100: "stop cycle or over-temperature",
    0x200: "tool breakage",
    0x400: "abort",
    0x10000: "short circuit of motor 2",
    0x20000: "short circuit of motor 1",
    0x40000: "power maximum",
    0x100000: "drive over-temperature",
    0x200000: "tool over-temperature",
    0x400000: "overload of motor 1",
    0x800000: "overload of motor 2",
}
_STROKE_REACHED = 0x40
_RETRACTS = 0x8 | 0x2000
_SHORT_OF_STROKE_MM = 0.5
_DISTANCE_MM = {4: 0.1, 11: 0.005}
_REACHED, _BROKEN_THROUGH, _HALF_THROUGH = 0.8, 0.35, 0.6


def missing_step(recording: Recording) -> Iterator[Finding]:
    """A step that the program has on and that did not run."""
    ran = {run.number for run in recording.runs}
    if not recording.steps_known:
        return
    for step in recording.program:
        if not step.on or step.number in ran:
            continue
        ended = step.number > max(ran) and bool(_alarms(recording) or recording.last_code & _RETRACTS)
        # Units need not log what comes before the cut: most genuine logs begin with step 2.
        before = step.number < min(ran)
        yield Finding(
            "missing_step",
            Severity.INFO if ended or before else Severity.WARNING,
            f"Step {step.number} is on in the program and did not run"
            + (": the cycle ended before it." if ended else "."),
            "Compare the program with the unit's; the hole may lack a pass.",
            None,
            float(step.number),
            None,
        )


def unplanned_step(recording: Recording) -> Iterator[Finding]:
    """A step that ran although the program has it off."""
    for number in sorted({run.number for run in recording.runs}):
        step = recording.programmed(number)
        if step is not None and step.on is False:
            rows = [run for run in recording.runs if run.number == number]
            yield Finding(
                "unplanned_step",
                Severity.WARNING,
                f"Step {number} ran although the program has it off.",
                "Check that this program is the one that the unit ran.",
                recording.rows(rows[0].start, rows[-1].stop),
                float(number),
                None,
            )


def step_gap(recording: Recording) -> Iterator[Finding]:
    """Step numbers that leave one out, or go back, where the program does not explain it."""
    for before, after in zip(recording.runs, recording.runs[1:], strict=False):
        skipped = [n for n in range(before.number + 1, after.number) if recording.programmed(n) is None]
        if after.number > before.number and not skipped:
            continue
        back = after.number < before.number
        yield Finding(
            "step_gap",
            Severity.WARNING if back else Severity.INFO,
            f"Step {after.number} follows step {before.number}"
            + ("." if back else ", and the program does not say why."),
            "Check the log for lost rows, and the program for steps that are off.",
            recording.rows(after.start - 1, after.start + 1),
            float(after.number),
            float(before.number + 1),
        )


def cycle_not_ok(recording: Recording) -> Iterator[Finding]:
    """The unit says that the cycle was not in order."""
    if recording.log.results.get("cycle_ok") is False:
        yield Finding(
            "cycle_not_ok",
            Severity.ERROR,
            "The unit says that the cycle was not OK.",
            "Inspect the hole; leave it out of training.",
        )


def alarm_stop(recording: Recording) -> Iterator[Finding]:
    """A stop code by which the unit or the operator broke off the cycle."""
    for run in recording.runs:
        reasons = [text for bit, text in ALARMS.items() if run.stop_code & bit]
        if reasons:
            yield Finding(
                "alarm_stop",
                Severity.ERROR,
                f"{run.label.capitalize()} was broken off: {', '.join(reasons)} (stop code {run.stop_code}).",
                "Inspect the hole and the tool before the next one; leave the hole out of training.",
                recording.rows(run.start, run.stop),
                float(run.stop_code),
                None,
            )


def no_stop_code(recording: Recording) -> Iterator[Finding]:
    """A cycle whose last step has no stop code: the recording ends before the cycle does."""
    if recording.runs and recording.codes_known and not recording.last_code:
        last = recording.runs[-1]
        yield Finding(
            "no_stop_code",
            Severity.WARNING,
            f"The end of {last.label} has no stop code (0): the recording was cut off.",
            "Fetch the whole log from the unit; without it the exit is not sure.",
            recording.rows(last.start, last.stop),
            0.0,
            None,
        )


def no_breakthrough(recording: Recording) -> Iterator[Finding]:
    """The torque does not fall again after the hardest layer."""
    level = recording.level_a
    if level is None:
        return
    torque = recording.torque.smooth_a
    reached = int(np.argmax(torque[recording.body] >= _REACHED * level))
    after = torque[reached:][recording.undisturbed()[reached:]]
    lowest = float(after.min(initial=level))
    if lowest >= _BROKEN_THROUGH * level:
        yield Finding(
            "no_breakthrough",
            Severity.WARNING if lowest >= _HALF_THROUGH * level else Severity.INFO,
            f"The torque never falls below {lowest:.1f} A after the hardest layer's {level:.1f} A: "
            "the tool did not come out.",
            "Check the stroke and the panel's thickness; label no exit.",
            recording.rows(reached, torque.size),
            lowest,
            _BROKEN_THROUGH * level,
        )


def stroke_not_reached(recording: Recording) -> Iterator[Finding]:
    """The last step ends above its programmed stroke, and no stop code says why.

    Strokes may count from the tool's rest or from the step's start: short is what is short of both.
    """
    if not recording.runs or not recording.codes_known:
        return
    last = recording.runs[-1]
    step = recording.programmed(last.number)
    if step is None or not step.stroke_mm or last.stop_code & ~_STROKE_REACHED:
        return
    reached = float(recording.position_mm[last.start : last.stop].max())
    if step.stroke_mm - reached <= _SHORT_OF_STROKE_MM:
        return
    claimed = bool(last.stop_code & _STROKE_REACHED)
    yield Finding(
        "stroke_not_reached",
        Severity.INFO if claimed else Severity.WARNING,
        f"Step {last.number} ends at {reached:.2f} mm of its {step.stroke_mm:.2f} mm stroke"
        + (", which its stop code says was reached." if claimed else ", and no stop code says why."),
        "Compare the program's stroke with the unit's zero; measure the hole's depth.",
        recording.rows(last.start, last.stop),
        reached,
        step.stroke_mm,
    )


def distance(recording: Recording) -> Iterator[Finding]:
    """The result's distance against the final position, in the versions where it means that."""
    limit = _DISTANCE_MM.get(recording.log.version or 0)
    said = recording.log.results.get("distance_mm")
    if limit is None or isinstance(said, bool) or not isinstance(said, int | float) or not recording.runs:
        return
    final = float(recording.position_mm[-1])
    if abs(said - final) > limit:
        yield Finding(
            "distance",
            Severity.INFO,
            f"The results say {said:.2f} mm, the last sample is at {final:.2f} mm.",
            "Use the samples' position as the depth, never the results' distance.",
            None,
            abs(said - final),
            limit,
        )


def _alarms(recording: Recording) -> int:
    return sum(run.stop_code & bit for run in recording.runs for bit in ALARMS)


CHECKS = (
    missing_step,
    unplanned_step,
    step_gap,
    cycle_not_ok,
    alarm_stop,
    no_stop_code,
    no_breakthrough,
    stroke_not_reached,
    distance,
)
