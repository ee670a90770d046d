"""What the folds say, as figures and as words: errors of every method, who is better, what was doubted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from drilling.evaluation import (
    Comparison,
    DepthError,
    compare,
    depth_errors,
    errors_by,
    hole_errors,
    over_folds,
)
from drilling.out_of_fold import POINTS, columns_of, suspicious_labels

NAMES = {
    "mixer": "PatchTSMixer",
    "cnn": "small CNN",
    "trees": "boosted trees",
    "gradient": "gradient method",
    "threshold": "threshold method",
    "combined": "combined fit",
}
ALTERNATIVES = ("cnn", "trees", "gradient", "threshold")
"""What one would do otherwise; the combined fit is shown beside them, since it makes automatic labels."""
NETWORKS = ("mixer", "cnn")
BREAKDOWNS = ("wear", "recipe", "stack")


def summarised(table: pl.DataFrame, curve: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The figures of an out-of-fold table: by method the errors of each key point with their intervals over
    folds, the paired comparison of PatchTSMixer with each other method, the winner, its errors by wear,
    recipe and stack, the labels it doubts, and the learning curve's gains."""
    methods: dict[str, Any] = {}
    per_hole: dict[str, np.ndarray[Any, Any]] = {}
    names = [name for name in NAMES if name in set(table["method"])]
    for name in names:
        rows = table.filter(pl.col("method") == name)
        found, label = columns_of(rows, "_mm"), columns_of(rows, "_label_mm")
        uncertainty = columns_of(rows, "_uncertainty_mm")
        stated = uncertainty if np.isfinite(uncertainty).any() else None
        fold = rows["fold"].to_numpy()
        intervals = over_folds(np.abs(found - label), fold)
        per_hole[name] = hole_errors(found, label)
        methods[name] = {
            point: _figures(error) | {"mae_interval_mm": [interval.low, interval.high]}
            for (point, error), interval in zip(
                depth_errors(found, label, stated).items(), intervals, strict=True
            )
        } | {"hole_mm": float(per_hole[name].mean())}
    units = table.filter(pl.col("method") == names[0])["component"].to_numpy()
    comparisons = {
        name: compare(per_hole["mixer"], per_hole[name], units) for name in names if name != "mixer"
    }
    contest = [name for name in ("mixer", *ALTERNATIVES) if name in per_hole]
    winner = min(contest, key=lambda name: float(per_hole[name].mean()))
    # A rule does not say how sure it is: what needs that is asked of the better network.
    network = min(NETWORKS, key=lambda name: float(per_hole[name].mean()))
    return {
        "holes": len(units),
        "folds": int(table["fold"].n_unique()),
        "methods": methods,
        "comparisons": {name: _plain(found) for name, found in comparisons.items()},
        "winner": winner,
        "network": network,
        "by": {kind: _by(table, winner, kind) for kind in BREAKDOWNS},
        "suspicious": suspicious_labels(table, network).to_dicts(),
        "learning_curve": gains(curve),
    }


def gains(curve: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The mean error in mm with and without pre-training, by the number of labelled holes."""
    sizes: dict[int, list[Mapping[str, Any]]] = {}
    largest = max((int(row["holes"]) for row in curve), default=0)
    for row in curve:
        # Folds differ a little in size: all of them stand for the whole set.
        size = int(row["holes"]) if row["holes"] in (30, 100) else largest
        sizes.setdefault(size, []).append(row)
    rows = []
    for size, found in sorted(sizes.items()):
        means = {
            ready: np.mean([row["mae_mm"] for row in found if row["pretrained"] is ready])
            for ready in (True, False)
        }
        rows.append(
            {
                "holes": size,
                "folds": len(found) // 2,
                "pretrained_mm": float(means[True]),
                "scratch_mm": float(means[False]),
                "gain_mm": float(means[False] - means[True]),
            }
        )
    return rows


def metrics_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """The summary's figures as a run's metrics: `cv_<method>_<point>_<figure>` and the gains."""
    metrics: dict[str, float] = {}
    for method, points in summary["methods"].items():
        metrics[f"cv_{method}_hole_mm"] = points["hole_mm"]
        for point in POINTS:
            for figure in ("mae_mm", "median_mm", "p95_mm", "answered", "coverage"):
                if point in points and points[point][figure] is not None:
                    metrics[f"cv_{method}_{point}_{figure}"] = points[point][figure]
            for limit, share in points.get(point, {}).get("within", {}).items():
                metrics[f"cv_{method}_{point}_within_{limit}_mm"] = share
    for name, found in summary["comparisons"].items():
        metrics[f"cv_mixer_less_{name}_mm"] = found["difference_mm"]
    for row in summary["learning_curve"]:
        metrics[f"pretraining_gain_mm_{row['holes']}_holes"] = row["gain_mm"]
    return metrics


def as_markdown(summary: Mapping[str, Any]) -> str:
    """The report for people."""
    source = "synthetic holes (generated, not measured)" if summary["synthetic"] else "genuine holes"
    parts = [
        f"# Key points over {summary['folds']} grouped folds\n",
        f"{summary['holes']} {source}; labels: {summary['labels']}. Every answer is of a model that had seen "
        "neither the hole nor another of its tool, head or panel. Errors in mm; in brackets the 95 % "
        "interval over folds.\n",
        _methods_table(summary["methods"]),
        "\n".join(_verdict(name, found) for name, found in summary["comparisons"].items()) + "\n",
        _winner(summary),
    ]
    if summary["learning_curve"]:
        parts.append(_curve(summary["learning_curve"]))
    for kind, groups in summary["by"].items():
        parts.append(_groups_table(kind, groups))
    parts.append(_suspicious(summary["suspicious"]))
    return "\n".join(parts)


def _plain(found: Comparison) -> dict[str, Any]:
    difference = found.difference_mm
    return {
        "difference_mm": difference.value,
        "low_mm": difference.low,
        "high_mm": difference.high,
        "holes": found.holes,
        "verdict": found.verdict,
    }


def _by(table: pl.DataFrame, method: str, kind: str) -> dict[str, Any]:
    rows = table.filter(pl.col("method") == method)
    uncertainty = columns_of(rows, "_uncertainty_mm")
    stated = uncertainty if np.isfinite(uncertainty).any() else None
    found = errors_by(rows[kind].to_list(), columns_of(rows, "_mm"), columns_of(rows, "_label_mm"), stated)
    return {
        name: {point: _figures(error) for point, error in errors.items()} for name, errors in found.items()
    }


def _methods_table(methods: Mapping[str, Any]) -> str:
    head = "| method | point | MAE | median | 95 % | ≤ 0.1 | ≤ 0.2 | ≤ 0.4 | answered | in the interval |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for name, points in methods.items():
        for point in POINTS:
            if point not in points:
                continue
            figures = points[point]
            low, high = figures["mae_interval_mm"]
            within = " | ".join(f"{100 * share:.1f} %" for share in figures["within"].values())
            lines.append(
                f"| {NAMES[name]} | {point} | {figures['mae_mm']:.4f} ({low:.4f}–{high:.4f}) "
                f"| {figures['median_mm']:.4f} | {figures['p95_mm']:.4f} | {within} "
                f"| {_share(figures['answered'])} | {_share(figures['coverage'])} |"
            )
    return "\n".join(lines) + "\n"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _figures(error: DepthError) -> dict[str, Any]:
    """As JSON takes it: None for a coverage that no interval was stated for."""
    coverage = error.coverage if np.isfinite(error.coverage) else None
    return asdict(error) | {"coverage": coverage}


def _verdict(name: str, found: Mapping[str, Any]) -> str:
    said = {"better": "smaller", "worse": "larger", "even": "not clearly different"}[found["verdict"]]
    return (
        f"- PatchTSMixer against the {NAMES[name]}: its error per hole is {said}, by "
        f"{found['difference_mm']:+.4f} mm (95 % interval {found['low_mm']:+.4f} to {found['high_mm']:+.4f})."
    )


def _winner(summary: Mapping[str, Any]) -> str:
    said = f"The smallest mean error per hole is that of the {NAMES[summary['winner']]}"
    if summary["winner"] != "mixer":
        said += ": PatchTSMixer does not win"
    said += f". Registered: the {NAMES[summary['registered']]}."
    if "combined" in summary["methods"]:
        said += " The combined fit is not of the contest: it makes automatic labels"
        said += ", and shares the generator's picture of a tip." if summary["synthetic"] else "."
    return said + "\n"


def _curve(rows: Sequence[Mapping[str, float]]) -> str:
    lines = [
        "## Pre-training\n",
        "| labelled holes | folds | pre-trained | from scratch | gain |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['holes']:.0f} | {row['folds']:.0f} | {row['pretrained_mm']:.4f} | {row['scratch_mm']:.4f} "
        f"| {row['gain_mm']:+.4f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _groups_table(kind: str, groups: Mapping[str, Any]) -> str:
    lines = [f"## By {kind}\n", f"| {kind} | holes | entry | transition | exit |", "|---|---|---|---|---|"]
    for name, points in groups.items():
        holes = max((points[point]["holes"] for point in points), default=0)
        cells = [f"{points[point]['mae_mm']:.4f}" if point in points else "–" for point in POINTS]
        lines.append(f"| {name} | {holes} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _suspicious(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["## Labels to look at\n", "| hole | point | label | found | doubt |", "|---|---|---|---|---|"]
    for row in rows:
        found = "–" if row["found_mm"] is None else f"{row['found_mm']:.3f}"
        label = "–" if row["label_mm"] is None else f"{row['label_mm']:.3f}"
        lines.append(f"| {row['file']} | {row['point']} | {label} | {found} | {row['doubt']:.1f} |")
    return "\n".join(lines) + "\n"
