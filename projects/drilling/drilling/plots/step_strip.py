"""The recipe's steps as bands under the currents, with the stop codes that ended them."""

import numpy as np
from matplotlib.axes import Axes

from drilling.plots import style
from drilling.plots.trace import Over, Trace

STEP_HEIGHT, LANE_HEIGHT = 0.28, 0.24
_BANDS = ("#D5DBE1", "#BCC5CE")
_MOST_BANDS = 60


def draw_steps(axes: Axes, trace: Trace, over: Over, width_in: float) -> int:
    """Draw a band for each run of a step with its number, and under them each stop code in words.

    Gives the number of lines that the stop codes need, so that they touch neither.
    """
    axes.set_yticks([])
    axes.set_ylabel("steps,\nstops", rotation=0, ha="right", va="center", fontsize=style.SMALL)
    low, high = axes.get_xlim()
    for place, run in enumerate(trace.runs[:_MOST_BANDS]):
        start, end = trace.place(run.first_index, over), trace.place(run.last_index, over)
        end += over == "samples"
        if not np.isfinite(start + end):
            continue
        axes.broken_barh(
            [(start, end - start)],
            (0.1, 0.9),
            facecolor=_BANDS[place % 2],
            edgecolor="white",
            alpha=0.85,
            gid="step",
        )
        text = "no step numbers" if run.step is None else f"step {run.step}"
        if style.text_share(text, width_in) > (end - start) / (high - low):
            text = "" if run.step is None else str(run.step)
        middle = (start + end) / 2
        axes.text(middle, 0.52, text, ha="center", va="center", fontsize=style.SMALL, clip_on=True)
    lanes = _draw_stops(axes, trace, over, width_in)
    axes.set_ylim(-lanes, 1)
    return lanes


def _draw_stops(axes: Axes, trace: Trace, over: Over, width_in: float) -> int:
    low, high = axes.get_xlim()
    shown, spans = [], []
    for stop in trace.stops:
        place = trace.place(stop.index, over)
        if not np.isfinite(place):
            continue
        share = (place - low) / (high - low)
        width = style.text_share(stop.words, width_in) + 0.015
        left = share - width >= 0
        spans.append((share - width, share) if left else (share, share + width))
        shown.append((stop, place, "right" if left else "left"))
    lanes = style.lanes_of(spans)
    for (stop, place, side), lane in zip(shown, lanes, strict=True):
        color = "black" if stop.normal else style.FAULT
        axes.plot([place], [-0.45 - lane], marker="|", color=color, markersize=8, gid="stop")
        axes.annotate(
            stop.words,
            (place, -0.45 - lane),
            xytext=(-3 if side == "right" else 3, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=style.SMALL,
            color=color,
        )
    return max(lanes, default=0) + 1
