"""The phases of a hole: what the tool does at each sample of a log, from recipe and signal.

The torque's levels over depth say what is cut (`torque_levels`); the recipe's speeds, the thrust and
the stop codes support that or contradict it, which the confidence shows (`phase_judgement`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from drilling.phase_judgement import Hole, Judgement, Material, StepSpeed, judge, judged, speed_of
from drilling.profile import samples_of
from drilling.setitec import SetitecLog
from drilling.stop_codes import StepEnd, StopCode, step_ends
from drilling.torque_levels import Doubt, PhaseName, Section, levels_of, sections_of

__all__ = ["Material", "Phase", "PhaseName", "phases"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Two periods of the torque's 8 Hz when micro-pecking in titanium.
_SMOOTHED_S, _QUICK_S = 0.25, 0.05
_SPIKE_ROWS = 5
# A tool that is pulled back by more than jitter cuts nothing.
_PULLED_BACK_MM = 0.05
_STOP_REACH_MM, _STOP_TORQUE_A, _STOP_THRUST_A = 0.6, 0.5, 0.25
_SHORT_TRAVEL_MM, _AIR_THRUST_A = 3.0, 0.35
_MISSING_SHARE = 0.2
_UNFINISHED = ("approach", "entry", "cutting", "transition")


@dataclass(frozen=True, slots=True)
class Phase:
    """What the tool does from one sample to another, both included, within one step.

    The indices are those of `signals["index"]`; the depths are mm of |position|, the deepest that the
    tool had reached at those samples (NaN where no sample is complete). `material` is what is cut, None
    when unsure or where nothing is; `step` is None where the log has no step numbers. `confidence` is 0
    to 1; `reasons` says in words what lowered it.
    """

    name: PhaseName
    material: Material | None
    step: int | None
    first_index: int
    last_index: int
    from_mm: float
    to_mm: float
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Trace:
    """A log's complete samples: their rows, the deepest depth so far, and smoothed net currents.

    `index` is that of every row. `quick` currents are smoothed over 0.05 s. `cutting` is false while the
    tool engages again after a step change, or is pulled back.
    """

    index: Ints
    row: Ints
    depth_mm: Floats
    torque_a: Floats
    thrust_a: Floats
    quick_torque_a: Floats
    quick_thrust_a: Floats
    cutting: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of equal steps: its rows, its complete samples (both without their stop), and its speed."""

    end: StepEnd
    rows: tuple[int, int]
    samples: tuple[int, int]
    speed: StepSpeed


def phases(log: SetitecLog) -> tuple[Phase, ...]:
    """The phases of a log in order, without a gap over its samples; none for a log without samples.

    A log in which nothing is cut is "air" throughout, with confidence 0 where no sample is complete.
    """
    trace = _trace(log)
    runs = [_run(log, trace, end) for end in step_ends(log)]
    if not runs:
        return ()
    spike = _spike_start(trace, runs[-1])
    cutting = np.flatnonzero(trace.cutting[:spike])
    changes = trace.depth_mm[[run.samples[0] for run in runs[1:] if run.samples[0] < trace.row.size]]
    sections: tuple[Section, ...] = ()
    if cutting.size:
        currents = trace.torque_a[cutting], trace.thrust_a[cutting]
        sections = sections_of(levels_of(trace.depth_mm[cutting], *currents, changes))
    if not sections:
        return tuple(_air(trace, run, spike) for run in runs)
    starts = [int(np.searchsorted(trace.depth_mm, section.from_mm)) for section in sections]
    stop = spike if spike is not None else _coded_stop(trace, runs[-1], sections[-1])
    if stop is not None:
        doubt = (0.6, "the stop code says hard stop, but neither torque nor thrust rises")
        doubts = (doubt,) if spike is None else ()
        sections = (*sections, Section("hard stop", float(trace.depth_mm[stop]), doubts=doubts))
        starts = [*np.minimum(starts, stop).tolist(), stop]
    return tuple(_cut(trace, runs, sections, np.maximum.accumulate([0, *starts[1:]])))


def _cut(trace: _Trace, runs: list[_Run], sections: Sequence[Section], starts: Ints) -> Iterator[Phase]:
    """A phase for each section in each run of steps; `starts` are the sections' first samples."""
    hole = _hole(trace, runs, sections, starts)
    sample = np.clip(np.searchsorted(trace.row, np.arange(trace.index.size), side="right") - 1, 0, None)
    section = np.searchsorted(starts, sample, side="right") - 1
    run = np.searchsorted([run.rows[0] for run in runs], np.arange(trace.index.size), side="right") - 1
    changes = np.flatnonzero((np.diff(section) != 0) | (np.diff(run) != 0)) + 1
    for first, stop in pairwise([0, *changes.tolist(), trace.index.size]):
        here, steps = sections[section[first]], runs[run[first]]
        doubts = list(_row_doubts(trace, first, stop))
        if stop == trace.index.size and here.name in _UNFINISHED:
            doubts.append(_unfinished(here, steps.end))
        deepest = float(trace.depth_mm[sample[stop - 1]])
        yield _phase(trace, here.name, steps, (first, stop), judge(here, deepest, steps.speed, hole, doubts))


def _air(trace: _Trace, run: _Run, spike: int | None) -> Phase:
    """A run of steps of a log in which nothing is cut, except perhaps against the hard stop."""
    doubts = list(_row_doubts(trace, *run.rows))
    if not trace.row.size:
        doubts = [(0.0, "no sample has a depth and a torque")]
    elif trace.depth_mm[-1] - trace.depth_mm[0] < _SHORT_TRAVEL_MM:
        doubts.append((0.5, "the cycle is too short to tell drilling in air from an approach"))
    thrust = trace.quick_thrust_a[:spike][slice(*run.samples)]
    if thrust.size and thrust.max() > _AIR_THRUST_A:
        doubts.append((0.7, "the thrust rises, though the torque stays that of air"))
    return _phase(trace, "air", run, run.rows, judged(None, doubts))


def _phase(trace: _Trace, name: PhaseName, run: _Run, rows: tuple[int, int], judgement: Judgement) -> Phase:
    first, last = rows[0], rows[1] - 1
    nearest = np.clip(np.searchsorted(trace.row, [first, last], side="right") - 1, 0, None)
    from_mm, to_mm = trace.depth_mm[nearest].tolist() if trace.row.size else (np.nan, np.nan)
    return Phase(
        name=name,
        material=judgement.material,
        step=run.end.step,
        first_index=int(trace.index[first]),
        last_index=int(trace.index[last]),
        from_mm=from_mm,
        to_mm=to_mm,
        confidence=judgement.confidence,
        reasons=judgement.reasons,
    )


def _hole(trace: _Trace, runs: list[_Run], sections: Sequence[Section], starts: Ints) -> Hole:
    stops = [*starts[1:].tolist(), trace.row.size]
    spans = zip(sections, starts.tolist(), stops, strict=True)
    cut = [(start, stop) for section, start, stop in spans if section.name == "cutting"]
    paces = {
        run.speed.pace
        for run in runs
        if any(start < run.samples[1] and stop > run.samples[0] for start, stop in cut)
    }
    slowed = [
        float(trace.depth_mm[below.samples[0]])
        for above, below in pairwise(runs)
        if {above.speed.pace, below.speed.pace} == {"fast", "slow"}
        and cut
        and cut[0][0] <= below.samples[0] < cut[-1][1]
    ]
    layers = tuple(section for section in sections if section.name == "cutting")
    return Hole(layers, frozenset(paces), tuple(slowed))


def _row_doubts(trace: _Trace, first: int, stop: int) -> Iterator[Doubt]:
    complete = np.diff(np.searchsorted(trace.row, [first, stop]))[0]
    missing = 1 - complete / (stop - first)
    if missing > _MISSING_SHARE:
        yield 1 - 0.5 * missing, f"{100 * missing:.0f} % of the samples miss a depth or a current"


def _unfinished(section: Section, end: StepEnd) -> Doubt:
    faults = [reason.meaning for reason in end.reasons if not reason.normal]
    where = "before the tool met anything" if section.name == "approach" else "inside the stack"
    return 0.8, " ".join([f"the log ends {where}", *([f"({' '.join(faults)})"] if faults else [])])


def _trace(log: SetitecLog) -> _Trace:
    samples, rate = samples_of(log), log.sample_rate_hz
    index = log.signals["index"].to_numpy()
    position = samples.position_mm
    deepest = np.maximum.accumulate(position) if position.size else position
    cutting = ~samples.changed & (position >= deepest - _PULLED_BACK_MM)
    torque, thrust = _without_spikes(samples.net_torque_a), _without_spikes(samples.thrust_a)
    everywhere = np.ones_like(cutting)
    return _Trace(
        index=index,
        row=np.searchsorted(index, samples.index),
        depth_mm=deepest,
        torque_a=_smoothed(torque, cutting, _SMOOTHED_S * rate),
        thrust_a=_smoothed(thrust, cutting, _SMOOTHED_S * rate),
        quick_torque_a=_smoothed(torque, everywhere, _QUICK_S * rate),
        quick_thrust_a=_smoothed(thrust, everywhere, _QUICK_S * rate),
        cutting=cutting,
    )


def _run(log: SetitecLog, trace: _Trace, end: StepEnd) -> _Run:
    first, last = np.searchsorted(trace.index, [end.first_index, end.last_index]).tolist()
    start, stop = np.searchsorted(trace.row, [first, last + 1]).tolist()
    feed = None
    if stop - start >= 2 and trace.row[stop - 1] > trace.row[start]:
        travelled = float(trace.depth_mm[stop - 1] - trace.depth_mm[start])
        feed = travelled * log.sample_rate_hz / float(trace.row[stop - 1] - trace.row[start])
    return _Run(end, (first, last + 1), (start, stop), speed_of(log.program, end.step, feed))


def _spike_start(trace: _Trace, last: _Run) -> int | None:
    """The sample at which the currents rise against the hard stop, if they do at the log's end.

    Without the hard stop's code, a rise of both currents counts after something was cut: in a tool that
    enters, only the torque rises as much.
    """
    if not trace.row.size:
        return None
    begin = int(np.searchsorted(trace.depth_mm, trace.depth_mm[-1] - _STOP_REACH_MM))
    torque, thrust = trace.quick_torque_a[begin:], trace.quick_thrust_a[begin:]
    low = torque.size - 1 - int(np.argmin(torque[::-1]))
    rise = torque[low:] - torque[low]
    push = thrust[low:] - thrust[low]
    cut_a = float(trace.torque_a[: begin + 1].max())
    in_air = torque[low] < max(1.0, 0.2 * cut_a)
    if last.end.code & StopCode.THRUST_LIMIT:
        against_stop = rise.max() > _STOP_TORQUE_A or push.max() > _STOP_THRUST_A
    else:
        against_stop = cut_a > 1 and rise.max() > _STOP_TORQUE_A and push.max() > 2 * _STOP_THRUST_A
    if not in_air or not against_stop:
        return None
    rising = (rise > max(0.15 * rise.max(), 0.3)) | (push > max(0.15 * push.max(), 0.1))
    return begin + low + int(np.argmax(rising))


def _coded_stop(trace: _Trace, last: _Run, section: Section) -> int | None:
    """The first of the two samples with the hard stop's code, where the log ends below the stack with it."""
    below = section.name in ("breakthrough", "clearance", "countersink")
    if not below or not last.end.code & StopCode.THRUST_LIMIT:
        return None
    return max(last.samples[0], trace.row.size - 2)


def _without_spikes(values: Floats) -> Floats:
    """The median of five samples around each."""
    if not values.size:
        return values
    padded = np.pad(values, _SPIKE_ROWS // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, _SPIKE_ROWS), axis=1)


def _smoothed(values: Floats, used: NDArray[np.bool_], rows: float) -> Floats:
    """The mean of the used samples in a window of at least so many rows around each; itself without any."""
    half = int(np.ceil((rows - 1) / 2))
    place = np.arange(values.size)
    first, stop = np.maximum(place - half, 0), np.minimum(place + half + 1, values.size)
    total, count = (np.concatenate([[0.0], np.cumsum(part)]) for part in (values * used, used))
    share = count[stop] - count[first]
    return np.where(share > 0, (total[stop] - total[first]) / np.maximum(share, 1), values)
