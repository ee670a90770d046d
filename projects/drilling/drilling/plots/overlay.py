"""The torque of many holes over depth, a panel for each group of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from drilling.errors import InvalidConfig
from drilling.labeling import estimate_keypoints
from drilling.plots import style
from drilling.plots.trace import is_synthetic, recipe_of
from drilling.profile import depth_profile, samples_of
from drilling.setitec import SetitecLog

Floats = NDArray[np.float64]
_SPACING_MM = 0.05
# A median over few holes, or over those that happen to be deep, jumps with each hole that ends.
_LEAST_HOLES, _LEAST_SHARE = 5, 0.75
_USUAL_PERCENT, _ROOM = 99.8, 1.25


@dataclass(frozen=True, slots=True)
class _Curve:
    """One hole's torque on a grid of depths that all holes share: its first cell and its values."""

    group: str
    first: int
    torque_a: Floats

    @property
    def depth_mm(self) -> Floats:
        """The depth of each cell."""
        return np.asarray((self.first + np.arange(self.torque_a.size)) * _SPACING_MM, dtype=np.float64)


def overlay_figure(
    logs: Iterable[SetitecLog],
    align: Literal["entry"] | None = "entry",
    groups: Iterable[str] | None = None,
    entries_mm: Iterable[float | None] | None = None,
) -> Figure:
    """Net torque over depth of many holes, a panel and colour for each group.

    A group of at least five holes has its median and its 10-90 % band. With `align` "entry" the depth
    counts from each hole's own entry; holes without one are left out, and the title counts them. The
    entries are `entries_mm` in the order of the logs, or found by the automatic method (0.04 s a hole).
    `groups` names each log's group, by default its recipe; beyond the five largest, groups share a
    panel. Torques far above all others, as in a jam, lie outside, and the title says so. Logs are taken
    one at a time. Raises InvalidConfig for another `align`, or fewer groups or entries than logs.
    """
    if align not in ("entry", None):
        raise InvalidConfig("overlay_figure", f"align {align!r} is neither 'entry' nor None")
    curves: list[_Curve] = []
    holes, synthetic = 0, False
    for log, group, entry in _read(logs, align, groups, entries_mm):
        holes += 1
        synthetic |= is_synthetic(log)
        curve = None if entry is None else _curve(log, group, entry)
        curves += [] if curve is None else [curve]
    title = f"Net torque of {len(curves)} holes"
    if holes > len(curves):
        title += f"; left out: {holes - len(curves)} without {'an entry' if align else 'a torque'}"
    bottom, top, note = _height(curves) if curves else (0.0, 1.0, "")
    figure, panel = _draw(curves, style.titled(title + note, synthetic=synthetic), align)
    panel.set_ylim(bottom, top)
    return figure


def _read(
    logs: Iterable[SetitecLog],
    align: str | None,
    groups: Iterable[str] | None,
    entries_mm: Iterable[float | None] | None,
) -> Iterator[tuple[SetitecLog, str, float | None]]:
    """Each log with its group, and the depth that its own counts from."""
    names = iter(groups) if groups is not None else repeat(None)
    entries = iter(entries_mm) if entries_mm is not None else None
    for log in logs:
        try:
            name = next(names)
            known = next(entries) if entries is not None else None
        except StopIteration:
            raise InvalidConfig("overlay_figure", "there are fewer groups or entries than logs") from None
        if align is None:
            entry: float | None = 0.0
        elif entries is None:
            entry = estimate_keypoints(log).entry_mm
        else:
            entry = known if known is not None and np.isfinite(known) else None
        yield log, recipe_of(log) if name is None else str(name), entry


def _curve(log: SetitecLog, group: str, entry_mm: float) -> _Curve | None:
    profile = depth_profile(samples_of(log), _SPACING_MM)
    if profile.position_mm.size < 2:
        return None
    depth = profile.position_mm - entry_mm
    first = int(np.ceil(depth[0] / _SPACING_MM))
    grid = np.arange(first, int(np.floor(depth[-1] / _SPACING_MM)) + 1)
    return _Curve(group, first, np.interp(grid * _SPACING_MM, depth, profile.net_torque_a))


def _draw(curves: Sequence[_Curve], title: str, align: str | None) -> tuple[Figure, Axes]:
    """A figure of all groups, and one of its panels, which share their scales."""
    panels_of = _by_group(curves)
    across = 1 if len(panels_of) < 2 else 2
    down = max(1, -(-len(panels_of) // across))
    figure = style.new_figure(1.1 + (4.0 if down == 1 else 2.2 * down), title)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for panel, (name, members), color in zip(
        panels.flat, panels_of.items(), (*style.GROUP_COLORS[: len(panels_of)],), strict=False
    ):
        _draw_curves(panel, members, color)
        panel.set_title(f"{style.plain(name)} ({len(members)} holes)", fontsize=style.NORMAL)
        if align:
            panel.axvline(0, color="black", linewidth=0.9, linestyle="--", gid="entry")
    for panel in list(panels.flat)[max(1, len(panels_of)) :]:
        panel.set_axis_off()
    for panel in panels[:, 0]:
        panel.set_ylabel("net torque current, A")
    for place in range(max(0, len(panels_of) - across), max(1, len(panels_of))):
        panels.flat[place].set_xlabel("depth below the entry, mm" if align else "depth, mm of |position|")
        panels.flat[place].tick_params(labelbottom=True)
    if not curves:
        style.say_nothing(panels[0, 0], "no hole to draw")
    style.legend_below(figure, _legend(align) if curves else [])
    return figure, panels[0, 0]


def _by_group(curves: Sequence[_Curve]) -> dict[str, list[_Curve]]:
    """The groups, the largest first; those beyond the colours together."""
    groups: dict[str, list[_Curve]] = {}
    for curve in curves:
        groups.setdefault(curve.group, []).append(curve)
    largest = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    most = len(style.GROUP_COLORS)
    if len(largest) <= most:
        return dict(largest)
    others = [curve for _, members in largest[most - 1 :] for curve in members]
    return {**dict(largest[: most - 1]), f"{len(largest) - most + 1} other groups": others}


def _draw_curves(axes: Axes, curves: Sequence[_Curve], color: str) -> None:
    lines = [np.column_stack([curve.depth_mm, curve.torque_a]) for curve in curves]
    alpha = float(np.clip(8 / len(curves), 0.08, 0.6))
    axes.add_collection(LineCollection(lines, colors=color, linewidths=0.7, alpha=alpha, rasterized=True))
    axes.autoscale_view()
    if len(curves) < _LEAST_HOLES:
        return
    first = min(curve.first for curve in curves)
    stop = max(curve.first + curve.torque_a.size for curve in curves)
    table = np.full((len(curves), stop - first), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[curve.first - first : curve.first - first + curve.torque_a.size] = curve.torque_a
    enough = np.isfinite(table).sum(axis=0) >= max(_LEAST_HOLES, _LEAST_SHARE * len(curves))
    if enough.any():
        depth = (first + np.flatnonzero(enough)) * _SPACING_MM
        low, middle, high = np.nanpercentile(table[:, enough], [10, 50, 90], axis=0)
        axes.fill_between(depth, low, high, color=color, alpha=0.2, linewidth=0, zorder=2.5)
        axes.plot(depth, middle, color="black", linewidth=2.2, zorder=3)
        axes.plot(depth, middle, color=color, linewidth=1.4, zorder=3.1, gid="median")


def _height(curves: Sequence[_Curve]) -> tuple[float, float, str]:
    """Limits for nearly all torques, and what to say of holes that go above."""
    values = np.concatenate([curve.torque_a for curve in curves])
    peaks = np.array([curve.torque_a.max() for curve in curves])
    top = max(1.0, min(_ROOM * float(np.percentile(values, _USUAL_PERCENT)), 1.05 * float(peaks.max())))
    bottom = min(0.0, float(values.min()))
    above = int((peaks > top).sum())
    note = (
        f"; {above} {'peaks lie' if above > 1 else 'peak lies'} above, up to {peaks.max():.1f} A"
        if above
        else ""
    )
    return bottom - 0.03 * (top - bottom), top, note


def _legend(align: str | None) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], color=style.OTHER, linewidth=0.7, label="one hole"),
        Line2D([], [], color="black", linewidth=2.2, label="median"),
        Patch(color=style.OTHER, alpha=0.3, label="10-90 % of the holes"),
    ]
    entry = [Line2D([], [], color="black", linewidth=0.9, linestyle="--", label="entry")] if align else []
    return [*handles, *entry]
