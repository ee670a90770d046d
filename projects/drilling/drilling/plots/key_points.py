"""Key points over a hole's currents: a line for each, in a style for each source."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from drilling.plots import style
from drilling.plots.trace import Floats, Marks, Over, Trace, depths_of, places_of

Line = Literal["-", "--", ":", "-."]
_STYLES: dict[str, Line] = {"truth": "-", "automatic": "--", "predicted": ":", "model": ":", "human": "-."}
_OTHER_STYLE: Line = "-."
# A solid line is wide and pale, so that others show on it.
_SOLID_WIDTH, _SOLID_ALPHA, _LINE_WIDTH = 4.0, 0.45, 1.5
_LABEL_ROOM = 0.075


def draw_key_points(
    axes: Axes, trace: Trace, marks: Mapping[str, Marks], over: Over, width_in: float
) -> None:
    """Draw the lines of every source, and the names and depths of the first that has any."""
    for name, marked in marks.items():
        _draw_lines(axes, places_of(marked, trace, over), name)
    found = [marked for marked in marks.values() if np.isfinite(depths_of(marked)).any()]
    if found:
        _name_key_points(axes, found[0], trace, over, width_in)


def legend_of(marks: Mapping[str, Marks]) -> list[Artist]:
    """An entry for each source, then one for each key point that any of them has."""
    handles: list[Artist] = []
    for name, marked in marks.items():
        source = Line2D([], [], color="black", label=_said(name, marked))
        _give_look(source, name)
        handles.append(source)
    known = [np.zeros(3, dtype=bool), *(np.isfinite(depths_of(marked)) for marked in marks.values())]
    for (name, color), drawn in zip(style.KEY_POINT_COLORS.items(), np.any(known, axis=0), strict=True):
        if drawn:
            handles.append(Line2D([], [], color=color, linewidth=4, label=style.short(name)))
    return handles


def _draw_lines(axes: Axes, places: Floats, name: str) -> None:
    for place, color in zip(places, style.KEY_POINT_COLORS.values(), strict=True):
        if np.isfinite(place):
            line = axes.axvline(place, color=color, gid=f"key-point-{name}")
            _give_look(line, name)


def _give_look(line: Line2D, name: str) -> None:
    look = _STYLES.get(name, _OTHER_STYLE)
    line.set_linestyle(look)
    line.set_linewidth(_SOLID_WIDTH if look == "-" else _LINE_WIDTH)
    line.set_alpha(_SOLID_ALPHA if look == "-" else None)
    line.set_zorder(2.2 if look == "-" else 2.4)


def _name_key_points(axes: Axes, marks: Marks, trace: Trace, over: Over, width_in: float) -> None:
    """The names and depths of the first key points that are drawn, above the currents."""
    low, high = axes.get_xlim()
    names, spans = [], []
    for name, depth, place in zip(
        style.KEY_POINT_COLORS, depths_of(marks), places_of(marks, trace, over), strict=True
    ):
        share = (place - low) / (high - low)
        if 0 <= share <= 1:
            text = f"{style.short(name)} {depth:.2f} mm"
            width = style.text_share(text, width_in) + 0.012
            right = share + width > 1
            spans.append((share - width, share) if right else (share, share + width))
            names.append((name, text, place, "right" if right else "left"))
    for (name, text, place, side), lane in zip(names, style.lanes_of(spans), strict=True):
        axes.annotate(
            text,
            (place, 0.985 - lane * _LABEL_ROOM),
            xycoords=axes.get_xaxis_transform(),
            xytext=(3 if side == "left" else -3, 0),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=style.SMALL,
            color=style.KEY_POINT_TEXT[name],
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )


def _said(name: str, marks: Marks) -> str:
    """A source with its confidence, or with how many key points it lacks."""
    confidence = getattr(marks, "confidence", None)
    missing = int(np.isnan(depths_of(marks)).sum())
    notes = [f"confidence {confidence:.2f}"] if confidence is not None else []
    if missing:
        notes.append("no key point" if missing == len(style.KEY_POINT_COLORS) else f"{missing} not known")
    return style.plain(f"{name} ({', '.join(notes)})" if notes else name)
