"""Figures of labels against truth: how far off, where, and whether a confidence says so."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from drilling.errors import InvalidConfig
from drilling.evaluation import DepthError, depth_errors
from drilling.labeling import KEY_POINTS
from drilling.plots import style

Floats = NDArray[np.float64]
TARGET_MAE_MM, TARGET_P95_MM = 0.15, 0.4
"""The industrial target: mean absolute error, and within what 95 % of the errors are."""

_MOST_GROUPS = 14
_RELIABILITY = ("from", "to", "holes", "mean_confidence", "share_within")


def error_figure(found_mm: Floats, label_mm: Floats, title: str) -> Figure:
    """A histogram of signed errors in mm for each key point, arrays (n, 3)."""
    found, label = _pair("error_figure", found_mm, label_mm)
    figure = style.new_figure(3.4, style.plain(title))
    errors = found - label
    known = np.abs(errors[np.isfinite(errors)])
    reach = max(0.1, float(known.max()) if known.size else 0.1)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for panel, (place, name) in zip(panels, enumerate(KEY_POINTS), strict=True):
        values = errors[np.isfinite(errors[:, place]), place]
        panel.hist(
            values,
            bins=np.linspace(-reach, reach, 25).tolist(),
            color=style.KEY_POINT_COLORS[name],
            alpha=0.85,
        )
        panel.axvline(0, color="black", linewidth=0.7)
        mean = f"MAE {np.abs(values).mean():.3f} mm" if values.size else "none"
        panel.set_title(f"{style.short(name)}: {mean}", fontsize=style.NORMAL)
        panel.set_xlabel("error, mm")
    panels[0].set_ylabel("holes")
    return figure


def scatter_figure(
    found_mm: ArrayLike,
    truth_mm: ArrayLike,
    title: str = "Found against true depth",
    *,
    synthetic: bool = False,
) -> Figure:
    """Found over true depth of each key point, arrays (n, 3), with what the target allows (0.4 mm) shaded.

    What is further off is ringed. Raises InvalidConfig for other shapes.
    """
    found, truth = _pair("scatter_figure", found_mm, truth_mm)
    figure = style.new_figure(4.0, style.titled(style.plain(title), synthetic=synthetic))
    panels = figure.subplots(1, 3)
    for panel, (place, name) in zip(panels, enumerate(KEY_POINTS), strict=True):
        _scatter(panel, found[:, place], truth[:, place], name)
    panels[0].set_ylabel("found depth, mm")
    style.legend_below(
        figure,
        [
            Line2D([], [], color="black", linewidth=0.8, label="found = true"),
            Line2D([], [], color=style.SOFT_EDGE, linewidth=6, label=f"within {TARGET_P95_MM:g} mm"),
            Line2D([], [], linestyle="", marker="o", mfc="none", color=style.FAULT, label="further off"),
        ],
    )
    return figure


def calibration_figure(
    table: pl.DataFrame, title: str = "Confidence against what came of it", *, synthetic: bool = False
) -> Figure:
    """How often holes of a confidence were right, from `drilling.labeling.calibration.reliability`.

    Below it, how many holes there are of each confidence. Raises InvalidConfig where a column is missing.
    """
    _need("calibration_figure", table, _RELIABILITY)
    figure = style.new_figure(5.2, style.titled(style.plain(title), synthetic=synthetic))
    share, holes = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    known = table.filter((pl.col("holes") > 0) & pl.col("share_within").is_not_null())
    left, width = table["from"].to_numpy(), (table["to"] - table["from"]).to_numpy()
    share.plot([0, 1], [0, 1], color="black", linewidth=0.8, label="as sure as right")
    confidence, within, count = (
        known[name].cast(float).to_numpy() for name in ("mean_confidence", "share_within", "holes")
    )
    low, high = _wilson(within, count)
    share.vlines(confidence, low, high, color=style.TORQUE, linewidth=1, alpha=0.6, label="95 % interval")
    share.plot(confidence, within, color=style.TORQUE, marker="o", linewidth=1.2, label="measured")
    if not known.height:
        style.say_nothing(share, "no hole has a confidence")
    share.set_ylabel("share of holes within tolerance")
    share.set_ylim(-0.03, 1.03)
    share.set_xlim(-0.02, 1.02)
    holes.bar(
        left, table["holes"].to_numpy(), width=width, align="edge", color=style.THRUST, edgecolor="white"
    )
    holes.set_ylabel("holes")
    holes.set_xlabel("confidence")
    style.legend_below(figure, share.get_legend_handles_labels()[0])
    return figure


def error_by_group_figure(
    found_mm: ArrayLike,
    truth_mm: ArrayLike,
    groups: Sequence[str],
    title: str = "Absolute error by group",
    *,
    synthetic: bool = False,
) -> Figure:
    """Mean absolute error of each key point in each group, with a line to the 95th percentile.

    Arrays (n, 3) in mm and a group's name for each hole. The group that is worst stands on top; at most
    14 are drawn. The target, 0.15 mm, is dashed. Raises InvalidConfig for other shapes.
    """
    found, truth = _pair("error_by_group_figure", found_mm, truth_mm)
    if len(groups) != len(found):
        raise InvalidConfig("error_by_group_figure", f"{len(groups)} groups for {len(found)} holes")
    names = np.array([str(group) for group in groups], dtype=object)
    errors = {
        name: depth_errors(found[names == name], truth[names == name])
        for name in dict.fromkeys(names.tolist())
    }
    worst = sorted(
        errors, key=lambda name: -max((error.mae_mm for error in errors[name].values()), default=-1.0)
    )
    shown = worst[:_MOST_GROUPS]
    title = style.plain(title)
    if len(worst) > len(shown):
        title += f", the worst {len(shown)} of {len(worst)} groups"
    figure = style.new_figure(1.5 + 0.42 * max(2, len(shown)), style.titled(title, synthetic=synthetic))
    axes = figure.subplots()
    for row, name in enumerate(shown):
        _draw_group(axes, row, errors[name])
    axes.axvline(TARGET_MAE_MM, color="black", linestyle="--", linewidth=0.8)
    counts = [int((names == name).sum()) for name in shown]
    labels = [style.plain(f"{name} ({count})") for name, count in zip(shown, counts, strict=True)]
    axes.set_yticks(range(len(shown)), labels=labels)
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("absolute error, mm")
    axes.set_ylabel("group (holes)")
    if not any(errors.values()):
        style.say_nothing(axes, "no key point is known in both")
    handles = [
        Line2D([], [], color=color, marker="o", linewidth=1, label=f"{style.short(name)}: mean to 95 %")
        for name, color in style.KEY_POINT_COLORS.items()
    ]
    target = Line2D([], [], color="black", linestyle="--", label=f"target {TARGET_MAE_MM:g} mm")
    style.legend_below(figure, [*handles, target])
    return figure


def _draw_group(axes: Axes, row: int, errors: dict[str, DepthError]) -> None:
    for offset, (name, color) in zip((-0.22, 0.0, 0.22), style.KEY_POINT_COLORS.items(), strict=True):
        error = errors.get(style.short(name))
        if error is not None:
            ends = [error.mae_mm, max(error.mae_mm, error.p95_mm)]
            axes.plot(ends, [row + offset] * 2, color=color, linewidth=1, gid="group")
            axes.plot(ends[:1], [row + offset], color=color, marker="o", markersize=5)


def _scatter(panel: Axes, found: Floats, truth: Floats, name: str) -> None:
    both = np.isfinite(found) & np.isfinite(truth)
    missed = int((np.isnan(found) & np.isfinite(truth)).sum())
    off = np.abs(found - truth)
    far = both & (np.nan_to_num(off) > TARGET_P95_MM)
    reach = np.concatenate([found[both], truth[both]])
    low, high = (float(reach.min()), float(reach.max())) if reach.size else (0.0, 1.0)
    margin = max(0.05 * (high - low), 0.1)
    line = np.array([low - margin, high + margin])
    panel.fill_between(
        line, line - TARGET_P95_MM, line + TARGET_P95_MM, color=style.SOFT_EDGE, alpha=0.6, lw=0
    )
    panel.plot(line, line, color="black", linewidth=0.8)
    panel.scatter(truth[both], found[both], s=12, color=style.KEY_POINT_COLORS[name], alpha=0.6, linewidths=0)
    panel.scatter(truth[far], found[far], s=42, facecolors="none", edgecolors=style.FAULT, linewidths=1)
    panel.set_xlim(line[0], line[-1])
    panel.set_ylim(line[0], line[-1])
    panel.set_box_aspect(1)
    panel.set_xlabel("true depth, mm")
    mean = f"MAE {off[both].mean():.3f} mm" if both.any() else "none"
    note = f", {missed} not found" if missed else ""
    panel.set_title(f"{style.short(name)}: {mean}{note}", fontsize=style.NORMAL)


def _wilson(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Wilson's 95 % interval of a share of so many holes."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return middle - half, middle + half


def _pair(source: str, found_mm: ArrayLike, truth_mm: ArrayLike) -> tuple[Floats, Floats]:
    found, truth = np.asarray(found_mm, dtype=np.float64), np.asarray(truth_mm, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != len(KEY_POINTS) or found.shape != truth.shape:
        raise InvalidConfig(source, f"depths have shapes {found.shape} and {truth.shape}, not (n, 3) both")
    return found, truth


def _need(source: str, table: pl.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InvalidConfig(source, f"the table has no column {', '.join(missing)}")
