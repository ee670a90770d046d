"""Figures of one hole: currents, phases, key points, steps and stop codes over depth or samples."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from drilling.dataset import Hole
from drilling.errors import InvalidConfig
from drilling.labeling import KeyPoints
from drilling.phases import Phase
from drilling.plots import style
from drilling.plots.key_points import draw_key_points, legend_of
from drilling.plots.phase_strip import PHASE_HEIGHT, Band, bands_of, draw_phases
from drilling.plots.step_strip import LANE_HEIGHT, STEP_HEIGHT, draw_steps
from drilling.plots.trace import (
    Floats,
    Marks,
    Over,
    Trace,
    checked_labels,
    checked_over,
    file_name,
    is_synthetic,
    trace_of,
)
from drilling.setitec import SetitecLog

_CHANGE = "#B0A58F"
_LEAST_TORQUE_A, _LEAST_THRUST_A = 1.0, 0.25
_AXES_IN = style.WIDTH_IN * 0.86


def log_figure(
    log: SetitecLog,
    keypoints: KeyPoints | None = None,
    phases: Sequence[Phase] | None = None,
    labels: Mapping[str, Marks] | None = None,
    over: Literal["position", "samples"] = "position",
) -> Figure:
    """Net torque and thrust of a hole, with its steps and stop codes, over depth or over samples.

    `keypoints` are dashed lines; `labels` are drawn in a style of their own by who says so: 'truth',
    'human', 'predicted' (or 'model'), or another name. `phases` are bands with their names, and a question
    mark where their confidence is under 0.6. Raises InvalidConfig for another axis or unusable labels.
    """
    axis, others = checked_over(over), checked_labels(labels)
    if keypoints is not None and "automatic" in others:
        raise InvalidConfig("labels", "'automatic' is the name of the key points")
    return _figure(log, keypoints, phases, others, (axis,), _title(log, keypoints))


def hole_report_figure(
    log: SetitecLog, keypoints: KeyPoints | None = None, phases: Sequence[Phase] | None = None
) -> Figure:
    """A hole over depth, and below it over samples."""
    return _figure(log, keypoints, phases, {}, ("position", "samples"), _title(log, keypoints))


def hole_figure(hole: Hole, predicted_mm: Floats | None = None) -> Figure:
    """Torque and thrust over depth, with the key points: truth, automatic and predicted."""
    found = {"truth": hole.truth_mm, "predicted": predicted_mm}
    labels = checked_labels({name: depths for name, depths in found.items() if depths is not None})
    synthetic = hole.truth_mm is not None or is_synthetic(hole.log)
    title = style.titled(style.plain(hole.path.name), synthetic=synthetic)
    return _figure(hole.log, hole.automatic, None, labels, ("position",), title)


def _figure(
    log: SetitecLog,
    keypoints: KeyPoints | None,
    phases: Sequence[Phase] | None,
    labels: dict[str, Marks],
    axes: tuple[Over, ...],
    title: str,
) -> Figure:
    trace, bands = trace_of(log), bands_of(phases or ())
    height = 4.5 + (PHASE_HEIGHT if bands else 0)
    figure = style.new_figure(height * (1 if len(axes) == 1 else 0.85 * len(axes)), title)
    marks = labels if keypoints is None else {"automatic": keypoints, **labels}
    parts: list[Figure | SubFigure] = [figure]
    if len(axes) > 1:
        parts = list(np.asarray(figure.subfigures(len(axes), 1), dtype=object))
    unnamed: dict[str, Band] = {}
    for part, over in zip(parts, axes, strict=True):
        unnamed |= _draw_hole(part, trace, bands, marks, over)
    style.legend_below(figure, _legend(trace, marks, unnamed))
    return figure


def _title(log: SetitecLog, keypoints: KeyPoints | None) -> str:
    title = style.titled(style.plain(file_name(log)), synthetic=is_synthetic(log))
    if keypoints is None or not keypoints.reasons:
        return title
    doubts = textwrap.shorten(f"confidence {keypoints.confidence:.2f}: {'; '.join(keypoints.reasons)}", 120)
    return f"{title}\n{style.plain(doubts)}"


def _draw_hole(
    part: Figure | SubFigure, trace: Trace, bands: Sequence[Band], marks: dict[str, Marks], over: Over
) -> dict[str, Band]:
    """Draw the panels over one axis; gives the phases back whose names found no room, by their label."""
    heights = ([PHASE_HEIGHT] if bands else []) + [3.4, STEP_HEIGHT + LANE_HEIGHT]
    panels = list(part.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    steps, torque = panels[-1], panels[-2]
    _set_span(torque, trace.x(over), over)
    thrust = _draw_currents(torque, trace, over)
    _draw_changes(thrust, trace, over)
    draw_key_points(torque, trace, marks, over, _AXES_IN)
    heights[-1] = STEP_HEIGHT + LANE_HEIGHT * draw_steps(steps, trace, over, _AXES_IN)
    grid = steps.get_subplotspec()
    if grid is not None:
        grid.get_gridspec().set_height_ratios(heights)
    unnamed = draw_phases(panels[0], thrust, bands, over, _AXES_IN) if bands else {}
    steps.set_xlabel("depth, mm of |position|" if over == "position" else "sample index")
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
    if over == "samples":
        time = panels[0].secondary_xaxis(
            "top", functions=(lambda x: x / trace.rate_hz, lambda s: s * trace.rate_hz)
        )
        time.set_xlabel("recorded time, s", fontsize=style.SMALL)
        time.tick_params(labelsize=style.SMALL)
    return unnamed


def _set_span(axes: Axes, x: Floats, over: Over) -> None:
    known = x[np.isfinite(x)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    margin = max(0.01 * (high - low), 0.05 if over == "position" else 1.0)
    axes.set_xlim(low - margin, high + margin)


def _draw_currents(torque: Axes, trace: Trace, over: Over) -> Axes:
    """Draw torque, and behind it thrust on an axis of its own, in the lower half; gives that one."""
    thrust = torque.twinx()
    thrust.set_label("thrust")
    x, few = trace.x(over), trace.index.size < 3
    marker = "o" if few else ""
    thrust.plot(x, trace.thrust_a, color=style.THRUST, linewidth=0.8, marker=marker, rasterized=True)
    torque.plot(x, trace.torque_a, color=style.TORQUE, linewidth=0.9, marker=marker, rasterized=True)
    torque.set_zorder(thrust.get_zorder() + 1)
    torque.patch.set_visible(False)
    _set_heights(
        (torque, trace.torque_a, _LEAST_TORQUE_A, 0.2), (thrust, trace.thrust_a, _LEAST_THRUST_A, 1.2)
    )
    torque.set_ylabel("net torque current, A", color=style.TORQUE)
    thrust.set_ylabel("net thrust current, A", color=style.THRUST_TEXT)
    if not np.isfinite(trace.torque_a[np.isfinite(x)]).any():
        style.say_nothing(torque, "no sample has a torque" + (" at a depth" if over == "position" else ""))
    return thrust


def _set_heights(*currents: tuple[Axes, Floats, float, float]) -> None:
    """Room above all values, and the zeros at one height; `least` keeps noise in air small."""
    limits = []
    for axes, values, least, room in currents:
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        limits.append((axes, low, max(high, least) * (1 + room)))
    below = max(0.04, *(-1.1 * low / top for _, low, top in limits))
    for axes, _, top in limits:
        axes.set_ylim(-below * top, top)


def _draw_changes(axes: Axes, trace: Trace, over: Over) -> None:
    for first, last in trace.changes:
        start, end = sorted((trace.place(first, over), trace.place(last, over)))
        axes.axvspan(start, end, color=_CHANGE, alpha=0.35, linewidth=0, zorder=0.5)
    for run in trace.runs[1:]:
        place = trace.place(run.first_index, over)
        if np.isfinite(place):
            axes.axvline(place, color=_CHANGE, linewidth=0.8, zorder=0.6, gid="step-change")


def _legend(trace: Trace, marks: dict[str, Marks], unnamed: dict[str, Band]) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], color=style.TORQUE, linewidth=1.5, label="net torque"),
        Line2D([], [], color=style.THRUST, linewidth=1.5, label="net thrust"),
    ]
    if len(trace.runs) > 1:
        handles.append(Patch(color=_CHANGE, alpha=0.5, label="step change"))
    handles += legend_of(marks)
    handles += [Patch(color=band.color, label=label) for label, band in unnamed.items()]
    return handles
