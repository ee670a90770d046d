"""Figures of a training: errors over the folds, by wear, of methods; reliability; the learning curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from drilling.labeling import KEY_POINTS
from drilling.out_of_fold import columns_of
from drilling.plots import style
from drilling.plots.errors import error_by_group_figure, error_figure
from drilling.training_report import NAMES

Floats = NDArray[np.float64]
_LEVELS = np.linspace(0.1, 0.99, 30)
_COVERED = 0.9


def fold_figures(table: pl.DataFrame, summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Histograms, errors by wear, recipe and stack, reliability and all methods, of an out-of-fold table."""
    synthetic = bool(summary.get("synthetic"))
    winner = str(summary["winner"])
    rows = table.filter(pl.col("method") == winner)
    found, label = columns_of(rows, "_mm"), columns_of(rows, "_label_mm")
    said = style.titled(
        f"{NAMES[winner]}: {len(rows)} holes, by models that had not seen them", synthetic=synthetic
    )
    figures = {"errors_over_folds": error_figure(found, label, said)}
    for kind in ("wear", "recipe", "stack"):
        title = f"{NAMES[winner]}: absolute error by {kind}"
        figures[f"errors_by_{kind}"] = error_by_group_figure(
            found, label, rows[kind].to_list(), title, synthetic=synthetic
        )
    figures["methods"] = methods_figure(summary["methods"], synthetic=synthetic)
    rows = table.filter(pl.col("method") == summary["network"])
    found, uncertainty = columns_of(rows, "_mm"), columns_of(rows, "_uncertainty_mm")
    figures["reliability"] = reliability_figure(found, label, uncertainty, synthetic=synthetic)
    if summary.get("learning_curve"):
        figures["pretraining"] = learning_curve_figure(summary["learning_curve"], synthetic=synthetic)
    return figures


def methods_figure(methods: Mapping[str, Any], *, synthetic: bool = False) -> Figure:
    """The mean absolute error of every method and key point with its interval over folds, on a log scale."""
    title = "Mean absolute error by method, 95 % interval over folds"
    figure = style.new_figure(1.6 + 0.45 * len(methods), style.titled(title, synthetic=synthetic))
    axes = figure.subplots()
    for row, points in enumerate(methods.values()):
        for offset, (name, color) in zip((-0.22, 0.0, 0.22), style.KEY_POINT_COLORS.items(), strict=True):
            error = points.get(style.short(name))
            if error:
                axes.plot(error["mae_interval_mm"], [row + offset] * 2, color=color, linewidth=1)
                axes.plot(error["mae_mm"], row + offset, color=color, marker="o", markersize=5)
    axes.set_xscale("log")
    axes.set_yticks(range(len(methods)), labels=[NAMES[name] for name in methods])
    axes.invert_yaxis()
    axes.set_xlabel("mean absolute error, mm")
    style.legend_below(figure, _points_legend())
    return figure


def reliability_figure(
    found_mm: Floats, label_mm: Floats, uncertainty_mm: Floats, *, synthetic: bool = False
) -> Figure:
    """The share of holes within intervals of every level, where a level's interval is the stated 90 % one
    scaled as a Laplace distribution's; on the diagonal the uncertainty means what it says."""
    title = "How often the stated interval holds the point"
    figure = style.new_figure(4.2, style.titled(title, synthetic=synthetic))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    scale = np.log(1 - _LEVELS) / np.log(1 - _COVERED)
    share = np.abs(found_mm - label_mm) / uncertainty_mm
    for column, (name, color) in enumerate(style.KEY_POINT_COLORS.items()):
        known = share[np.isfinite(share[:, column]), column]
        if known.size:
            axes.plot(
                _LEVELS, [(known <= factor).mean() for factor in scale], color=color, label=style.short(name)
            )
    axes.axvline(_COVERED, color=style.SOFT_EDGE, linewidth=1)
    axes.set_xlabel("stated level (the answer states the one of 0.9)")
    axes.set_ylabel("share of holes within")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    style.legend_below(figure, _points_legend())
    return figure


def learning_curve_figure(rows: Sequence[Mapping[str, float]], *, synthetic: bool = False) -> Figure:
    """The mean error by the number of labelled holes, from a pre-trained encoder and from scratch."""
    title = "Pre-training on unlabelled holes: error by the number of labelled ones"
    figure = style.new_figure(3.6, style.titled(title, synthetic=synthetic))
    axes = figure.subplots()
    holes = [row["holes"] for row in rows]
    for key, label, color in (
        ("pretrained_mm", "pre-trained", style.GROUP_COLORS[0]),
        ("scratch_mm", "from scratch", style.GROUP_COLORS[1]),
    ):
        axes.plot(holes, [row[key] for row in rows], marker="o", color=color, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(holes, labels=[f"{count:.0f}" for count in holes])
    axes.minorticks_off()
    axes.set_xlabel("labelled holes trained on")
    axes.set_ylabel("mean absolute error, mm")
    axes.legend()
    return figure


def _points_legend() -> list[Line2D]:
    return [
        Line2D([], [], color=style.KEY_POINT_COLORS[name], marker="o", label=style.short(name))
        for name in KEY_POINTS
    ]
