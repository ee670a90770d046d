"""Checks of position and time: gaps, stalls, retracts, the feed, the sample rate."""

from collections.abc import Iterator

import numpy as np

from drilling.validation.finding import Finding, Severity
from drilling.validation.recording import THRUST_LIMIT_CODE, Recording, Run, longest_run

USUAL_RATE_HZ = 100.0
_LEAST_DURATION_S = 1.5
_LARGEST_STEP_MM = 0.3
# Units jump back by 0.09 to 0.29 mm at a step change; encoders jitter by up to 0.02 mm more.
_JUMP_BACK_MM = 0.31
_STALL_S, _STALL_MM = 1.0, 0.012
# The measured feed is 0.976 of the programmed one in every recipe.
_FEED_SHARES = (0.80, 1.15)
_FEED_ROWS = 100


def short_cycle(recording: Recording) -> Iterator[Finding]:
    """A cycle too short to have drilled a stack."""
    rows = recording.position_mm.size
    duration = rows / recording.log.sample_rate_hz
    if duration < _LEAST_DURATION_S:
        yield Finding(
            "short_cycle",
            Severity.WARNING,
            f"The cycle lasts {duration:.2f} s ({rows} samples).",
            "Check whether it was stopped at once; leave it out of labelling.",
            recording.rows(0, rows) if rows else None,
            duration,
            _LEAST_DURATION_S,
        )


def sample_rate(recording: Recording) -> Iterator[Finding]:
    """A sample rate other than 100 Hz."""
    rate = recording.log.sample_rate_hz
    if rate != USUAL_RATE_HZ:
        yield Finding(
            "sample_rate",
            Severity.WARNING,
            f"The log says {rate:g} Hz; every known unit records at {USUAL_RATE_HZ:g} Hz.",
            "Check the unit's settings; windows by sample count do not fit this log.",
            None,
            rate,
            USUAL_RATE_HZ,
        )


def position_gap(recording: Recording) -> Iterator[Finding]:
    """A jump downward that no programmed feed makes: samples are missing."""
    feeds = [step.feed_mm_s for step in recording.program if step.feed_mm_s]
    limit = max(_LARGEST_STEP_MM, 3 * max(feeds, default=0.0) / recording.log.sample_rate_hz)
    jumps = np.flatnonzero(np.diff(recording.position_mm) > limit)
    if jumps.size:
        largest = float(np.diff(recording.position_mm).max())
        yield Finding(
            "position_gap",
            Severity.WARNING,
            f"The position jumps down by {largest:.2f} mm between two samples ({jumps.size} such jumps).",
            "Samples are missing: label no key point next to these rows.",
            recording.rows(int(jumps[0]), int(jumps[-1]) + 2),
            largest,
            limit,
        )


def position_back(recording: Recording) -> Iterator[Finding]:
    """The tool rises by more than the jump back at a step change, where no pecking is programmed."""
    if any(step.pecks for step in recording.program) or not recording.position_mm.size:
        return
    rise = np.maximum.accumulate(recording.position_mm) - recording.position_mm
    risen = np.flatnonzero(rise > _JUMP_BACK_MM)
    if risen.size:
        most = float(rise.max())
        yield Finding(
            "position_back",
            Severity.WARNING,
            f"The position rises by {most:.2f} mm; a step change takes it back by at most 0.29 mm.",
            "Check for a retract within the cycle or a slipping encoder.",
            recording.rows(int(risen[0]), int(risen[-1]) + 1),
            most,
            _JUMP_BACK_MM,
        )


def stalled_feed(recording: Recording) -> Iterator[Finding]:
    """The position stands still for a second or more while a feed is programmed."""
    for run in recording.runs:
        stall = _stall(recording, run)
        if stall is None:
            continue
        start, stop, allowed = stall
        duration = (stop - start) / recording.log.sample_rate_hz
        yield Finding(
            "stalled_feed",
            Severity.WARNING,
            f"The position stays at {recording.position_mm[start]:.2f} mm for {duration:.1f} s "
            f"in step {run.number} while a feed is programmed.",
            "Check the feed motor and the encoder; depths after these rows are not sure.",
            recording.rows(start, stop),
            duration,
            allowed,
        )


def feed(recording: Recording) -> Iterator[Finding]:
    """The feed of a step against the programmed one."""
    rate = recording.log.sample_rate_hz
    for run in recording.runs:
        step = recording.programmed(run.number)
        rows = run.stop - run.start
        if not step or not step.feed_mm_s or step.pecks or rows < _FEED_ROWS or _stall(recording, run):
            continue
        # The middle of the step: without run-up and hard stop.
        first, last = run.start + rows // 5, run.stop - 1 - rows // 5
        travelled = float(recording.position_mm[last] - recording.position_mm[first])
        measured = travelled * rate / (last - first)
        low, high = (share * step.feed_mm_s for share in _FEED_SHARES)
        if not low <= measured <= high:
            yield Finding(
                "feed",
                Severity.WARNING,
                f"Step {run.number} feeds at {measured:.2f} mm/s, not at the programmed "
                f"{step.feed_mm_s:.2f} mm/s.",
                "Check the sample rate, the program in the unit and the feed motor.",
                recording.rows(run.start, run.stop),
                measured,
                low if measured < low else high,
            )


def _stall(recording: Recording, run: Run) -> tuple[int, int, float] | None:
    """Rows of a step in which nothing moves, and the seconds that would be normal."""
    step = recording.programmed(run.number)
    rate = recording.log.sample_rate_hz
    allowed = _STALL_S + (step.delay_ms or 0.0) / 1000 if step else _STALL_S
    rows = int(allowed * rate)
    if not step or not step.feed_mm_s or step.feed_mm_s * allowed < 5 * _STALL_MM:
        return None
    position = recording.position_mm[run.start : run.stop]
    if position.size <= rows:
        return None
    first, last = longest_run(np.abs(position[rows:] - position[:-rows]) < _STALL_MM)
    if not last:
        return None
    start, stop = run.start + first, run.start + last + rows
    pressed = run.stop_code & THRUST_LIMIT_CODE and stop >= run.stop - 5
    return None if pressed else (start, stop, allowed)


CHECKS = (short_cycle, sample_rate, position_gap, position_back, stalled_feed, feed)
