"""The pictures of a log, or of a folder of logs, under the names of their files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from drilling import plots
from drilling.labeling import KEY_POINTS, Estimate, estimate_all, estimate_keypoints
from drilling.labeling.calibration import reliability, worst_error_mm
from drilling.labeling.confidence import calibration
from drilling.phases import phases
from drilling.setitec import SetitecLog, names, read_log, read_logs
from drilling.synthetic import MARKER, TRUTH
from drilling.validation import validate_batch


def hole_picture(path: Path) -> tuple[str, Figure]:
    """One hole over depth and over samples, with its phases and key points. Raises LogUnreadable."""
    log = read_log(path)
    return f"{path.stem}.png", plots.hole_report_figure(log, estimate_keypoints(log), phases(log))


def batch_pictures(folder: Path, *, worst: int = 6, progress: bool = True) -> Iterator[tuple[str, Figure]]:
    """A folder's overlay, wear and problems, its least sure holes, and errors where the truth is there.

    Raises NoLogs where no file can be read.
    """
    logs = list(read_logs(folder, progress=progress))
    synthetic = (folder / MARKER).is_file()
    estimates = list(estimate_all(logs))
    yield (
        "overlay.png",
        plots.overlay_figure(logs, entries_mm=[estimate.keypoints.entry_mm for estimate in estimates]),
    )
    yield "wear.png", plots.wear_figure(plots.wear_table(logs))
    yield "thickness.png", plots.thickness_figure(_thicknesses(logs, estimates), synthetic=synthetic)
    yield "problems.png", plots.problem_figure(validate_batch(logs), synthetic=synthetic)
    if synthetic and (folder / TRUTH).is_file():
        yield from _against_truth(estimates, pl.read_csv(folder / TRUTH, infer_schema_length=None))
    for place in np.argsort([estimate.keypoints.confidence for estimate in estimates], kind="stable")[:worst]:
        yield _unsure(logs[int(place)], estimates[int(place)])


def _thicknesses(logs: list[SetitecLog], estimates: list[Estimate]) -> pl.DataFrame:
    found = np.array([estimate.keypoints.as_array() for estimate in estimates])
    table = pl.DataFrame(found, schema=list(KEY_POINTS)).fill_nan(None)
    heads = [log.field(names.HEAD, "Head Name") or "unnamed head" for log in logs]
    return table.with_columns(pl.Series("group", heads))


def _unsure(log: SetitecLog, estimate: Estimate) -> tuple[str, Figure]:
    name = f"unsure/{Path(log.source).stem}.png"
    return name, plots.hole_report_figure(log, estimate.keypoints, phases(log))


def _against_truth(estimates: list[Estimate], truth: pl.DataFrame) -> Iterator[tuple[str, Figure]]:
    files = pl.DataFrame({"file": [Path(estimate.source).name for estimate in estimates]})
    rows = files.join(truth, on="file", how="left", maintain_order="left")
    known = rows.select(pl.col(KEY_POINTS).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    found = np.array([estimate.keypoints.as_array() for estimate in estimates])
    confidence = np.array([estimate.keypoints.confidence for estimate in estimates])
    worst = worst_error_mm(found, known)
    reached = ~np.isnan(worst)
    yield "errors.png", plots.error_figure(found, known, "Automatic key points against the truth (synthetic)")
    yield "scatter.png", plots.scatter_figure(found, known, synthetic=True)
    table = reliability(confidence[reached], worst[reached], calibration().tolerance_mm)
    yield "calibration.png", plots.calibration_figure(table, synthetic=True)
    groups = rows["family"].fill_null("unknown").to_list()
    yield "errors_by_family.png", plots.error_by_group_figure(found, known, groups, synthetic=True)
