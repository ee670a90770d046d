"""A report as a bar chart."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlops.errors import InvalidInput
from mlops.hardware.ane.report import AneReport, TypeRow

MOST_ROWS = 20
PICTURES = (".png", ".svg", ".pdf")
# Blue and vermilion of Okabe and Ito's palette are told apart by every kind of colour vision; hatching tells
# them apart in print.
_PLACED: dict[str, Any] = {"color": "#0072B2"}
_ELSEWHERE: dict[str, Any] = {"color": "#D55E00", "hatch": "////", "edgecolor": "white"}


def save_chart(report: AneReport, path: Path) -> Path:
    """Draw a report's rows, the heaviest on top, in the format of the file's ending; returns the path. Raises
    `InvalidInput` for an ending that is no picture's."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    check_ending(path)

    rows = report.rows[:MOST_ROWS]
    figure = Figure(figsize=(10, 2.2 + 0.32 * max(len(rows), 2)), dpi=140, layout="constrained")
    work, counts = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    total = report.multiply_adds or 1
    placed = [100 * row.placeable_multiply_adds / total for row in rows]
    _bars(work, rows, placed, [100 * (row.share or 0) for row in rows], _share)
    _bars(counts, rows, [row.placeable for row in rows], [row.count for row in rows], _counted)
    work.set_xlabel("share of the multiply-adds, %")
    counts.set_xlabel("operations")
    work.set_ylim(max(len(rows), 1) - 0.4, -0.6)  # the first row on top
    figure.legend(*work.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(_title(report), fontsize=11)
    with rc_context({"svg.fonttype": "none"}):  # text stays text
        figure.savefig(path)
    return path


def check_ending(path: Path) -> None:
    """Raise `InvalidInput` for a chart's path whose ending is no picture's."""
    if path.suffix.lower() not in PICTURES:
        raise InvalidInput(
            "chart", str(path), "is not a picture's name", remedy=f"Let it end in {', '.join(PICTURES)}."
        )


def _bars(
    axes: Any,
    rows: Sequence[TypeRow],
    placed: Sequence[float],
    whole: Sequence[float],
    label: Callable[[TypeRow], str],
) -> None:
    names = [row.type for row in rows]
    rest = [end - part for end, part in zip(whole, placed, strict=True)]
    axes.barh(names, placed, label="can be placed on the Neural Engine", **_PLACED)
    axes.barh(names, rest, left=placed, label="leaves it", **_ELSEWHERE)
    axes.set_xlim(0, 1.2 * (max(whole, default=0) or 1))
    axes.spines[["top", "right"]].set_visible(False)
    for place, (row, end) in enumerate(zip(rows, whole, strict=True)):
        axes.annotate(
            label(row),
            (end, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="#333333" if row.placeable == row.count else "#A03C00",
        )


def _share(row: TypeRow) -> str:
    if row.uncounted:
        return "unknown" if row.uncounted == row.count else f"{100 * (row.share or 0):.1f} %, and unknown"
    return f"{100 * (row.share or 0):.1f} %" if row.multiply_adds else "0"


def _counted(row: TypeRow) -> str:
    return str(row.count) if row.placeable == row.count else f"{row.placeable} of {row.count}"


def _title(report: AneReport) -> str:
    share = "no multiply-adds counted" if report.placeable_share is None else (
        f"{100 * report.placeable_share:.1f} % of {report.multiply_adds:,} multiply-adds"
    )  # fmt: skip
    hidden = len(report.rows) - MOST_ROWS
    more = f"; {hidden} lighter types are not shown" if hidden > 0 else ""
    name = textwrap.shorten(report.model, 60, placeholder="…")
    return f"{name} on the Neural Engine: {share}\nbasis: {report.basis}{more}"
