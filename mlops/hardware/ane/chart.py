"""A report as a bar chart."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlops.errors import InvalidInput
from mlops.hardware.ane.report import AneReport, TypeRow, told_share
from mlops.hardware.ane.wording import percent, printable

MOST_ROWS = 20
PICTURES = (".png", ".svg", ".pdf")
_LONGEST = 60
# Blue and vermilion of Okabe and Ito's palette are told apart by every kind of colour vision; hatching tells
# them apart in print.
_PLACED: dict[str, Any] = {"color": "#0072B2"}
_ELSEWHERE: dict[str, Any] = {"color": "#D55E00", "hatch": "////", "edgecolor": "white"}
_ANYWHERE = "Give a file in a folder that there is and that you may write to."


def save_chart(report: AneReport, path: Path) -> Path:
    """Draw a report in the format of the file's ending, and put it there whole; returns the path. Raises
    `InvalidInput` for a path of no picture, or that cannot be written."""
    from matplotlib import rc_context

    check_chart(path)
    picture = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}):  # text stays text
        draw(report).savefig(picture, format=path.suffix.lower()[1:])
    half = path.with_name(f".chart-{os.getpid()}{path.suffix}")
    try:
        half.write_bytes(picture.getvalue())
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise InvalidInput(
            "chart", str(path), f"cannot be written: {error.strerror}", remedy=_ANYWHERE
        ) from error
    return path


def check_chart(path: Path) -> None:
    """Raise `InvalidInput` for a chart's path whose ending is no picture's, or where no file can be."""
    if path.suffix.lower() not in PICTURES:
        raise InvalidInput(
            "chart", str(path), "is not a picture's name", remedy=f"Let it end in {', '.join(PICTURES)}."
        )
    if os.path.isdir(path):  # noqa: PTH112 - Path raises for a name that cannot be
        raise InvalidInput("chart", str(path), "is a folder", remedy=_ANYWHERE)
    if not os.path.isdir(path.parent):  # noqa: PTH112
        raise InvalidInput("chart", str(path), "lies in no folder that there is", remedy=_ANYWHERE)


def draw(report: AneReport) -> Any:
    """The `matplotlib.figure.Figure` of a report's rows, the first on top: their shares, and their counts."""
    from matplotlib.figure import Figure

    rows = report.rows[:MOST_ROWS]
    figure = Figure(figsize=(10, 2.2 + 0.32 * max(len(rows), 2)), dpi=140, layout="constrained")
    work, counts = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    total = report.multiply_adds or 1
    placed = [100 * row.placeable_multiply_adds / total for row in rows]
    _bars(work, rows, placed, [100 * (row.share or 0) for row in rows], _share)
    _bars(counts, rows, [row.placeable for row in rows], [row.count for row in rows], _counted)
    work.set_xlabel("share of the multiply-adds counted, %")
    counts.set_xlabel("operations")
    # A name's dollar sign is no formula's.
    work.set_yticks(range(len(rows)), [_cut(row.type) for row in rows], parse_math=False)
    work.set_ylim(max(len(rows), 1) - 0.4, -0.6)  # the first row on top
    figure.legend(*work.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(_title(report), fontsize=11, parse_math=False)
    return figure


def _bars(
    axes: Any,
    rows: Sequence[TypeRow],
    placed: Sequence[float],
    whole: Sequence[float],
    label: Callable[[TypeRow], str],
) -> None:
    places = range(len(rows))
    rest = [end - part for end, part in zip(whole, placed, strict=True)]
    axes.barh(places, placed, label="can be placed on the Neural Engine", **_PLACED)
    axes.barh(places, rest, left=placed, label="leaves it", **_ELSEWHERE)
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
            parse_math=False,
        )


def _share(row: TypeRow) -> str:
    known = f"{percent(row.share or 0)} %" if row.multiply_adds else "0"
    if row.uncounted:
        return "unknown" if row.uncounted == row.count else f"{known}, and unknown"
    return known


def _counted(row: TypeRow) -> str:
    return str(row.count) if row.placeable == row.count else f"{row.placeable} of {row.count}"


def _title(report: AneReport) -> str:
    hidden = len(report.rows) - MOST_ROWS
    more = f"; {hidden} further types are not shown" if hidden > 0 else ""
    return f"{_cut(report.model)} on the Neural Engine\n{told_share(report)}\nbasis: {report.basis}{more}"


def _cut(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
