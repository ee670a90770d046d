"""Key points of a log or of a folder of logs, as rows."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drilling.errors import LogUnreadable, NoLogs
from drilling.labeling.keypoints import KEY_POINTS
from drilling.predictor import KeypointPredictor, PredictedPoint
from drilling.progress import tracked
from drilling.setitec import read_logs

Rows = list[dict[str, Any]]


def predict_folder(
    predictor: KeypointPredictor, path: Path, *, progress: bool = True
) -> tuple[Rows, list[dict[str, str]]]:
    """A row for each log: file, the key points in mm (None where there is none), `<point>_plus_minus_mm` and
    `<point>_presence`; and what could not be answered for, with the reason. Raises NoLogs for a folder
    without a log that can be read."""
    if not path.is_dir():
        return [{"file": path.name, **_cells(predictor.predict(path))}], []
    stream = read_logs(path, progress=False)
    rows: Rows = []
    failures: list[dict[str, str]] = []
    for log in tracked(stream, "Finding key points", len(list(path.rglob("*.xls"))), shown=progress):
        try:
            rows.append({"file": Path(log.source).name, **_cells(predictor.predict(log))})
        except LogUnreadable as error:
            failures.append({"file": Path(log.source).name, "problem": error.message})
    failures += [{"file": failure.path.name, "problem": failure.error.message} for failure in stream.failures]
    if not rows and not failures:
        raise NoLogs(path)
    return rows, failures


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The rows as a CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("file", *_names()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _names() -> list[str]:
    short = [name.removesuffix("_mm") for name in KEY_POINTS]
    return [
        *KEY_POINTS,
        *(f"{name}_plus_minus_mm" for name in short),
        *(f"{name}_presence" for name in short),
    ]


def _cells(points: dict[str, PredictedPoint]) -> dict[str, float | None]:
    found = points.values()
    values = [
        *(point.depth_mm for point in found),
        *(point.uncertainty_mm for point in found),
        *(point.presence for point in found),
    ]
    return dict(zip(_names(), values, strict=True))
