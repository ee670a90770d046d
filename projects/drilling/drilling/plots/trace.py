"""A log as arrays to draw, and where its samples, depths and stop codes lie on either axis."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drilling.errors import InvalidConfig
from drilling.labeling import KEY_POINTS, KeyPoints
from drilling.labeling.label import Label
from drilling.profile import samples_of
from drilling.setitec import SetitecLog
from drilling.setitec.header import number
from drilling.stop_codes import StepEnd, decode, step_ends, unknown_bits
from drilling.synthetic import NOTE
from drilling.validation.program import program_steps

Floats = NDArray[np.float64]
Over = Literal["position", "samples"]
Marks = KeyPoints | Label | ArrayLike
"""Three key points: found, labelled, or depths in mm in the order of KEY_POINTS (NaN where unknown)."""

_MOST_STOPS = 12


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop code where it begins, in a few words; `normal` is false for a fault or an unknown code."""

    index: int
    words: str
    normal: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """A log's samples, NaN where it has no number, and what happened at which sample.

    Depths that leap for a sample or two are NaN. `changes` are the samples, first and last, over which
    the tool engages again after a step change.
    """

    index: NDArray[np.int64]
    position_mm: Floats
    torque_a: Floats
    thrust_a: Floats
    runs: tuple[StepEnd, ...]
    changes: tuple[tuple[int, int], ...]
    stops: tuple[Stop, ...]
    rate_hz: float

    def x(self, over: Over) -> Floats:
        """Each sample's place on an axis."""
        return self.position_mm if over == "position" else self.index.astype(np.float64)

    def place(self, index: int, over: Over) -> float:
        """A sample's place on an axis; NaN where no depth is known."""
        known = np.isfinite(self.position_mm)
        if over == "samples":
            return float(index)
        return float(np.interp(index, self.index[known], self.position_mm[known])) if known.any() else np.nan

    def index_at(self, depth_mm: float) -> float:
        """The first sample at a depth or below; NaN where none is."""
        reached = np.flatnonzero(self.position_mm >= depth_mm)
        return float(self.index[reached[0]]) if reached.size else np.nan


def trace_of(log: SetitecLog) -> Trace:
    """A log's arrays, step runs and stop codes."""
    table = log.signals
    index = table["index"].to_numpy()
    position, torque, thrust = (
        np.array(table[name].cast(float).to_numpy(), dtype=np.float64)
        for name in ("position_mm", "torque_a", "thrust_a")
    )
    samples = samples_of(log)
    complete = np.isfinite(position) & np.isfinite(torque) & np.isfinite(thrust)
    # What is complete and yet no sample of the profile leaps.
    position[complete & ~np.isin(index, samples.index)] = np.nan
    edges = np.diff(np.concatenate([[False], samples.changed, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    changes = zip(samples.index[starts].tolist(), samples.index[ends].tolist(), strict=True)
    return Trace(
        index=index,
        position_mm=position,
        torque_a=torque,
        thrust_a=thrust,
        runs=step_ends(log),
        changes=tuple(changes),
        stops=_stops(index, table["stop_code"].fill_null(0).to_numpy()),
        rate_hz=log.sample_rate_hz,
    )


def is_synthetic(log: SetitecLog) -> bool:
    """Whether the generator wrote the log, by what its header says."""
    return any(NOTE in section.values() for section in log.header.values())


def file_name(log: SetitecLog) -> str:
    """The name of the log's file, without its folder."""
    return PurePath(log.source).name or "no file name"


def recipe_of(log: SetitecLog) -> str:
    """The recipe as a group's name, such as `Pset 3, steps 2-3`: its number and the steps that are on.

    The steps are those that ran where the log has no program.
    """
    pset = log.header.get("Pset", {})
    text = next((text for name, text in pset.items() if name.startswith(("Pset n", "Pset Nb"))), "")
    value = number(text)
    numbers = [step.number for step in program_steps(log.program) if step.on]
    if not numbers:
        numbers = [end.step for end in step_ends(log) if end.step is not None]
    steps = "-".join(map(str, numbers))
    return f"Pset {text.strip() or '?' if value is None else f'{value:g}'}, steps {steps or '?'}"


def checked_over(over: str) -> Over:
    """The axis that a word names. Raises InvalidConfig for another word."""
    known: tuple[Over, ...] = get_args(Over)
    for axis in known:
        if axis == over:
            return axis
    raise InvalidConfig("log_figure", f"over {over!r} is not one of {known}")


def checked_labels(labels: Mapping[str, Marks] | None) -> dict[str, Marks]:
    """Labels by who says so. Raises InvalidConfig where one has no three depths."""
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise InvalidConfig("labels", "give a mapping of a name, such as 'truth', to three key points")
    for name, marks in labels.items():
        try:
            wrong = depths_of(marks).shape != (len(KEY_POINTS),)
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            raise InvalidConfig("labels", f"{name!r} is no label and has no three depths in mm")
    return dict(labels)


def depths_of(marks: Marks) -> Floats:
    """The depths of three key points in mm, NaN where unknown."""
    if isinstance(marks, KeyPoints | Label):
        marks = [getattr(marks, name) for name in KEY_POINTS]
    return np.asarray(marks, dtype=np.float64)


def places_of(marks: Marks, trace: Trace, over: Over) -> Floats:
    """Where three key points lie on an axis: by depth, or at the labelled sample, else the first so deep."""
    depths = depths_of(marks)
    if over == "position":
        return depths
    places = np.array([trace.index_at(depth) if np.isfinite(depth) else np.nan for depth in depths])
    if isinstance(marks, KeyPoints | Label):
        said = [getattr(marks, f"{name.removesuffix('_mm')}_index") for name in KEY_POINTS]
        known = np.asarray(said, dtype=np.float64)
        places = np.where(np.isfinite(known), known, places)
    return places


def _stops(index: NDArray[np.int64], code: NDArray[np.int64]) -> tuple[Stop, ...]:
    begins = np.flatnonzero((code != 0) & (code != np.concatenate([[0], code[:-1]])))
    return tuple(_stop(int(index[place]), int(code[place])) for place in begins[:_MOST_STOPS])


def _stop(index: int, code: int) -> Stop:
    unknown = unknown_bits(code) if code > 0 else code
    reasons = decode(code - unknown)
    words = [(reason.code.name or str(int(reason.code))).lower().replace("_", " ") for reason in reasons]
    if unknown:
        words.append("unknown bits")
    return Stop(index, f"{' + '.join(words)} ({code})", not unknown and all(one.normal for one in reasons))
