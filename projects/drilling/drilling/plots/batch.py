"""Figures of a batch: what the checks found, and the layers' thickness by the key points."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from drilling.errors import InvalidConfig
from drilling.labeling import KEY_POINTS
from drilling.plots import style
from drilling.validation import BatchReport, Severity

GRIP_PITCH_MM = 1.5875
"""Fastener grips come in steps of 1/16 inch."""

_MOST_GROUPS = 12


def problem_figure(
    report: BatchReport | Mapping[str, Mapping[str, int]], *, synthetic: bool = False
) -> Figure:
    """In how many files each check found something, by severity, the gravest check on top.

    Takes a report, or its `counts`: files by severity for each check. Raises InvalidConfig for a severity
    that is none.
    """
    counts = report.counts if isinstance(report, BatchReport) else report
    levels = [level.value for level in Severity]
    for check, by_severity in counts.items():
        if unknown := sorted(set(by_severity) - set(levels)):
            raise InvalidConfig("problem_figure", f"{check} has a severity {unknown[0]!r}, none of {levels}")
    title = "Files in which each check found something"
    if isinstance(report, BatchReport):
        title = f"{report.passed} of {len(report.files)} files pass; files by check"
    figure = style.new_figure(1.4 + 0.27 * max(3, len(counts)), style.titled(title, synthetic=synthetic))
    axes = figure.subplots()
    rows = np.arange(len(counts))
    start = np.zeros(len(counts))
    for level in reversed(levels):
        files = np.array([by_severity.get(level, 0) for by_severity in counts.values()], dtype=np.float64)
        axes.barh(rows, files, left=start, color=style.SEVERITY_COLORS[level], height=0.72)
        start += files
    for row, total in zip(rows.tolist(), start.tolist(), strict=True):
        axes.annotate(
            f"{total:.0f}", (total, row), xytext=(3, 0), textcoords="offset points", va="center",
            fontsize=style.SMALL,
        )  # fmt: skip
    axes.set_yticks(rows, labels=[style.plain(check.replace("_", " ")) for check in counts])
    axes.tick_params(axis="y", labelsize=style.SMALL)
    axes.set_ylim(max(len(counts), 1) - 0.5, -0.5)
    axes.set_xlim(0, max(1.0, 1.08 * float(start.max(initial=0))))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("files")
    if not counts:
        style.say_nothing(axes, "no check found anything")
    handles: list[Artist] = [
        Patch(color=style.SEVERITY_COLORS[level], label=level) for level in reversed(levels)
    ]
    style.legend_below(figure, handles)
    return figure


def thickness_figure(found: pl.DataFrame, *, synthetic: bool = False) -> Figure:
    """Thickness of both layers and of the stack in each group, with the fastener grips' 1/16 inch marked.

    `found` has a row for each hole: entry_mm, transition_mm and exit_mm (null where not found), and
    `group` where there are several. A bar marks each group's median; at most 12 groups are drawn, those
    with the most holes. Raises InvalidConfig where a column is missing.
    """
    missing = [name for name in KEY_POINTS if name not in found.columns]
    if missing:
        raise InvalidConfig("thickness_figure", f"the table has no column {', '.join(missing)}")
    table = found if "group" in found.columns else found.with_columns(group=pl.lit("all holes"))
    entry, transition, exit_ = (pl.col(name).cast(pl.Float64).fill_nan(None) for name in KEY_POINTS)
    table = table.select(
        pl.col("group").cast(pl.String).fill_null("no group"),
        first=transition - entry,
        second=exit_ - transition,
        stack=exit_ - entry,
    )
    groups = table["group"].value_counts(sort=True)["group"].to_list()
    names = sorted(groups[:_MOST_GROUPS])
    title = "Layer thicknesses by the key points"
    if len(groups) > len(names):
        title += f", {len(names)} of {len(groups)} groups"
    figure = style.new_figure(1.8 + 0.34 * max(3, len(names)), style.titled(title, synthetic=synthetic))
    panels = figure.subplots(1, 3, sharey=True)
    looks = (
        ("first", "first layer: entry to transition", style.ENTRY),
        ("second", "second layer: transition to exit", style.TRANSITION),
        ("stack", "stack: entry to exit", style.EXIT),
    )
    for panel, (column, text, color) in zip(panels, looks, strict=True):
        for row, name in enumerate(names):
            _draw_thickness(panel, row, table.filter(group=name)[column], color)
        panel.set_title(text, fontsize=style.NORMAL)
        panel.set_xlabel("thickness, mm")
    _mark_grips(panels[2], table["stack"])
    panels[0].set_yticks(range(len(names)), labels=[style.plain(name) for name in names])
    panels[0].set_ylim(max(len(names), 1) - 0.5, -0.5)
    grip = Line2D(
        [], [], color=style.THRUST, linewidth=0.8, label=f"grip steps of {GRIP_PITCH_MM} mm (1/16 inch)"
    )
    style.legend_below(figure, [Line2D([], [], color="black", linewidth=2, label="median"), grip])
    return figure


def _draw_thickness(panel: Axes, row: int, values: pl.Series, color: str) -> None:
    known = values.drop_nulls().to_numpy()
    if known.size:
        jitter = np.random.default_rng(row).uniform(-0.25, 0.25, known.size)
        panel.scatter(known, row + jitter, s=10, color=color, alpha=0.5, linewidths=0)
        panel.vlines(float(np.median(known)), row - 0.36, row + 0.36, color="black", linewidth=2)


def _mark_grips(panel: Axes, stack: pl.Series) -> None:
    known = stack.drop_nulls().to_numpy()
    if known.size:
        first, last = np.floor(known.min() / GRIP_PITCH_MM), np.ceil(known.max() / GRIP_PITCH_MM)
        for grip in np.arange(first, last + 1):
            panel.axvline(grip * GRIP_PITCH_MM, color=style.THRUST, linewidth=0.8, zorder=0.5, gid="grip")
