"""The stages from logs to folds: what `drilling:parse`, `drilling:label` and `drilling:split` do.

Each reads a folder and writes a folder or a file, and figures about it; nothing of the time of day goes
into them, so that the same input gives the same bytes and `dvc repro` stops where nothing changed.
"""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drilling.errors import InvalidConfig, NoLogs
from drilling.evaluation import as_metrics, depth_errors
from drilling.folds import FoldPlan, grouped_folds, write_folds
from drilling.labeling import (
    KEY_POINTS,
    Candidate,
    Estimate,
    Label,
    LabelStore,
    Method,
    annotation_queue,
    estimate_all,
)
from drilling.labeling.calibration import reliability, worst_error_mm
from drilling.labeling.confidence import calibration
from drilling.labeling.label import INDEXES
from drilling.labeling.queue import write_queue
from drilling.progress import tracked
from drilling.setitec import read_logs, read_tables, write_tables
from drilling.setitec.table import HOLES
from drilling.synthetic import MARKER, TRUTH
from drilling.validation import BatchReport, validate_batch

LABELS, QUEUE = "labels.parquet", "queue.json"
Floats = NDArray[np.float64]
_LABEL_SCHEMA: dict[str, Any] = {
    "file": pl.String,
    **dict.fromkeys(KEY_POINTS, pl.Float64),
    **dict.fromkeys(INDEXES, pl.Int64),
    "source": pl.String, "method": pl.String, "confidence": pl.Float64, "by": pl.String, "at": pl.String,
    "tool_version": pl.String, "reason": pl.String, "log_digest": pl.String, "stale": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ParsingReport:
    """What parsing a folder gave; `problems` counts the files that have each kind."""

    files: int
    read: int
    rows: int
    unreadable: tuple[str, ...]
    problems: dict[str, int]
    passed: int
    synthetic: bool


@dataclass(frozen=True, slots=True)
class LabelingReport:
    """Where labels come from, and the errors of the automatic ones in mm where the truth is known."""

    holes: int
    human: int
    automatic: int
    unlabelled: int
    queued: int
    mean_confidence: float
    errors: dict[str, float]


@dataclass(frozen=True, slots=True)
class SplittingReport:
    """The folds made of the labelled holes."""

    holes: int
    components: int
    folds: int
    smallest: int
    largest: int
    warning: str | None


def parse_folder(folder: Path, out: Path, *, progress: bool = True) -> tuple[ParsingReport, BatchReport]:
    """Read and check every log under a folder, and write the tables of `setitec.write_tables` to `out`.

    The generator's truth comes along where its marker does. Raises NoLogs where nothing can be read.
    """
    stream = read_logs(folder, progress=progress)
    write_tables(stream, out, folder)
    summary = stream.summary
    logs = tracked(read_tables(out), "Checking logs", summary.read, shown=progress)
    checked = validate_batch(logs, summary.failures)
    synthetic = (folder / MARKER).is_file() and (folder / TRUTH).is_file()
    if synthetic:
        shutil.copyfile(folder / TRUTH, out / TRUTH)
    report = ParsingReport(
        files=summary.files,
        read=summary.read,
        rows=summary.rows,
        unreadable=tuple(failure.path.relative_to(folder).as_posix() for failure in summary.failures),
        problems=dict(sorted(summary.problems.items())),
        passed=checked.passed,
        synthetic=synthetic,
    )
    return report, checked


def label_holes(
    parsed: Path,
    out: Path,
    *,
    annotations: Path | None = None,
    method: Method = "combined",
    threshold: float = 0.8,
    limit: int | None = None,
    progress: bool = True,
) -> tuple[LabelingReport, pl.DataFrame]:
    """Label every parsed hole, and queue those that a person should look at; gives the table of confidences.

    `annotations` is a `LabelStore`'s folder: a person's label stands in place of the automatic one. Writes
    labels.parquet (the label that counts for each hole) and queue.json to `out`. Raises NoLogs where
    `parsed` has no tables, InvalidConfig for an unknown method or threshold.
    """
    holes = _holes(parsed)
    human = LabelStore(annotations).all_current() if annotations and annotations.is_dir() else {}
    logs = read_tables(parsed)
    estimates = list(tracked(estimate_all(logs, method), "Finding key points", holes.height, shown=progress))
    rows = [
        _label_row(estimate, human.get(estimate.source), digest)
        for estimate, digest in zip(estimates, holes["digest"], strict=True)
    ]
    candidates = [
        Candidate(found.source, found.keypoints, found.features, found.source in human) for found in estimates
    ]
    queue = annotation_queue(candidates, threshold, limit)
    out.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=_LABEL_SCHEMA).write_parquet(out / LABELS)
    write_queue(queue, out / QUEUE)
    found = np.array([estimate.keypoints.as_array() for estimate in estimates])
    confidence = np.array([estimate.keypoints.confidence for estimate in estimates])
    truth = _truth(parsed, holes)
    unlabelled = sum(all(row[name] is None for name in KEY_POINTS) for row in rows)
    report = LabelingReport(
        holes=holes.height,
        human=sum(row["source"] == "human" for row in rows),
        automatic=sum(row["source"] == "automatic" for row in rows) - unlabelled,
        unlabelled=unlabelled,
        queued=len(queue),
        mean_confidence=round(float(confidence.mean()), 4),
        errors={} if truth is None else _errors(found, truth),
    )
    return report, _confidences(confidence, found, truth)


def split_holes(
    parsed: Path,
    labels: Path,
    out: Path,
    *,
    folds: int = 24,
    seed: int = 7,
) -> tuple[SplittingReport, FoldPlan]:
    """Divide the labelled holes into folds that share no tool, head or panel, and write the plan to `out`.

    Raises NoLogs where `parsed` has no tables, InvalidConfig where `labels` holds no labels or for too few
    folds, SingleComponent and TooFewHoles as `folds.grouped_folds` does.
    """
    holes = _holes(parsed)
    try:
        labelled = pl.read_parquet(labels / LABELS).filter(
            pl.any_horizontal(pl.col(KEY_POINTS).is_not_null())
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InvalidConfig(str(labels / LABELS), "holds no labels: run drilling:label first") from error
    kept = holes.filter(pl.col("file").is_in(labelled["file"].implode()))
    plan = grouped_folds(_groups(parsed, kept), folds, seed, kept["file"].to_list())
    out.parent.mkdir(parents=True, exist_ok=True)
    write_folds(plan, kept["file"].to_list(), out)
    sizes = [fold.held_out.size for fold in plan.folds]
    report = SplittingReport(
        holes=kept.height,
        components=int(plan.components.max()) + 1,
        folds=len(plan.folds),
        smallest=min(sizes),
        largest=max(sizes),
        warning=plan.warning,
    )
    return report, plan


def write_figures(path: Path, report: ParsingReport | LabelingReport | SplittingReport) -> None:
    """The numbers of a report as the JSON that `dvc metrics` reads."""
    values = {name: value for name, value in asdict(report).items() if isinstance(value, int | float | dict)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1) + "\n")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Rows as the CSV that `dvc plots` reads, with its names also where there is no row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _holes(parsed: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(parsed / HOLES)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise NoLogs(parsed) from error


def _label_row(estimate: Estimate, human: Label | None, digest: str | None) -> dict[str, Any]:
    """The label that counts for a hole. An automatic one has no time, so that it stays the same."""
    if human is not None:
        values = {name: getattr(human, name) for name in _LABEL_SCHEMA if name != "stale"}
        return {**values, "at": human.at.isoformat(), "stale": digest is not None and human.is_stale(digest)}
    points = estimate.keypoints
    return {
        "file": estimate.source,
        **{name: getattr(points, name) for name in (*KEY_POINTS, *INDEXES)},
        "source": "automatic",
        "method": points.method,
        "confidence": points.confidence,
        "by": None,
        "at": None,
        "tool_version": version("drilling"),
        "reason": "; ".join(points.reasons) or None,
        "log_digest": digest,
        "stale": False,
    }


def _truth_table(parsed: Path, holes: pl.DataFrame) -> pl.DataFrame | None:
    """The generator's truth, a row for each hole; None for genuine logs."""
    path = parsed / TRUTH
    if not path.is_file():
        return None
    truth = pl.read_csv(path, infer_schema_length=None)
    return holes.select("file").join(truth, on="file", how="left", maintain_order="left")


def _truth(parsed: Path, holes: pl.DataFrame) -> Floats | None:
    table = _truth_table(parsed, holes)
    if table is None:
        return None
    return table.select(pl.col(KEY_POINTS).cast(pl.Float64).fill_null(float("nan"))).to_numpy()


def _groups(parsed: Path, holes: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Tool, head and panel of each hole; a genuine log does not say its panel."""
    truth = _truth_table(parsed, holes)
    panels = truth["panel"].fill_null("").to_list() if truth is not None else [""] * holes.height
    return list(zip(holes["tool"].to_list(), holes["head"].to_list(), panels, strict=True))


def _errors(found: Floats, truth: Floats) -> dict[str, float]:
    errors = {name: round(value, 4) for name, value in as_metrics(depth_errors(found, truth), "auto").items()}
    known = np.isfinite(truth)
    answered = np.count_nonzero(np.isfinite(found) & known) / max(int(np.count_nonzero(known)), 1)
    return {**errors, "auto_answered": round(float(answered), 4)}


def _confidences(confidence: Floats, found: Floats, truth: Floats | None) -> pl.DataFrame:
    """Holes by confidence, with their errors where the truth is known."""
    errors = np.zeros(confidence.size) if truth is None else worst_error_mm(found, truth)
    known = np.isfinite(errors) | np.isinf(errors)
    table = reliability(confidence[known], errors[known], calibration().tolerance_mm)
    return table if truth is not None else table.drop("share_within", "mean_error_mm")
