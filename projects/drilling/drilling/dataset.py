"""A folder of logs as holes: labelled ones to train on and to judge by, the others to pre-train on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drilling.depth_grid import grid_of
from drilling.errors import InvalidConfig, LogUnreadable
from drilling.labeling import KEY_POINTS, KeyPoints, estimate_all
from drilling.progress import tracked
from drilling.setitec import LogFailure, SetitecLog, names, read_logs
from drilling.synthetic import MARKER, NOTE, TRUTH
from drilling.windows import FeatureTable

Floats = NDArray[np.float64]
_UNKNOWN = "unknown"
_WEAR_BANDS = (20, 40, 60)


@dataclass(frozen=True, slots=True)
class Hole:
    """A labelled log with its features over depth and its automatic key points.

    `label_mm` (3,) is what a model is trained on and judged by, NaN where there is no such point or it is
    unknown; `label_source` says whose it is: truth, human or automatic. `groups` names its tool, head and
    panel, empty where the log does not say. `wear`, `recipe` and `stack` are what errors are broken down by.
    """

    path: Path
    log: SetitecLog
    grid: FeatureTable
    automatic: KeyPoints
    label_mm: Floats
    label_source: str
    groups: tuple[str, str, str]
    wear: str = _UNKNOWN
    recipe: str = _UNKNOWN
    stack: str = _UNKNOWN

    @property
    def truth_mm(self) -> Floats | None:
        """The generator's key points, None for a genuine log."""
        return self.label_mm if self.label_source == "truth" else None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class HoleSet:
    """The holes of a folder, what was left out, and whether the data is synthetic.

    `unlabelled` are the features of holes in which no key point was found, and of synthetic ones whose
    truth is not to be learnt from, by their path; `failures` are files without a usable signal.
    """

    holes: tuple[Hole, ...]
    failures: tuple[LogFailure, ...]
    unlabelled: Mapping[Path, FeatureTable] = field(default_factory=dict)
    synthetic: bool = False

    @property
    def has_truth(self) -> bool:
        """True where every hole's key points are known, not estimated."""
        return all(hole.truth_mm is not None for hole in self.holes)

    @property
    def label_source(self) -> str:
        """Whose labels these are: truth, human, automatic, or several of them."""
        return " and ".join(sorted({hole.label_source for hole in self.holes}))

    @property
    def labels_mm(self) -> Floats:
        """Labels (h, 3) in mm, NaN where there is none."""
        return np.array([hole.label_mm for hole in self.holes]).reshape(-1, len(KEY_POINTS))


def load_holes(folder: Path, *, labels: Path | None = None, progress: bool = True) -> HoleSet:
    """Read every log under a folder, and find the key points of those to be labelled.

    `labels` is a labels.parquet of the stage `hybrid_labeling`: a person's label stands in place of any
    other, and a hole that a person could not label counts as unlabelled. Raises NoLogs where nothing can be
    read, InvalidConfig where `labels` is no such table.
    """
    batch = read_logs(folder, progress=progress).collect()
    truth, human = _truth(folder), _human(labels)
    failures, unlabelled = list(batch.failures), {}
    wanted: dict[Path, tuple[SetitecLog, FeatureTable]] = {}
    for path, log in tracked(batch.logs.items(), "Resampling holes", len(batch.logs), shown=progress):
        try:
            grid = grid_of(log, file_name=path.name)
        except LogUnreadable as error:
            failures.append(LogFailure(path, error))
            continue
        known = truth.get(path.name)
        if path.name not in human and known is not None and not known["labelled"]:
            unlabelled[path] = grid
        else:
            wanted[path] = (log, grid)
    estimates = estimate_all(log for log, _ in wanted.values())
    holes: list[Hole] = []
    shown = tracked(wanted.items(), "Finding key points", len(wanted), shown=progress)
    for (path, (log, grid)), estimate in zip(shown, estimates, strict=True):
        hole = _hole(path, log, grid, estimate.keypoints, truth.get(path.name), human.get(path.name))
        if np.isfinite(hole.label_mm).any():
            holes.append(hole)
        else:
            unlabelled[path] = grid
    synthetic = (folder / MARKER).is_file() or any(_says_synthetic(hole.log) for hole in holes)
    return HoleSet(tuple(holes), tuple(failures), unlabelled, synthetic)


def _hole(
    path: Path,
    log: SetitecLog,
    grid: FeatureTable,
    found: KeyPoints,
    truth: Mapping[str, Any] | None,
    human_mm: Floats | None,
) -> Hole:
    label, source = found.as_array(), "automatic"
    head = (log.field(names.HEAD, "Head TAG UID"), log.field(names.HEAD, "Head Name"), "")
    facts = {"recipe": log.field(names.PSET, "Pset n°") or log.field(names.PSET, "Pset Nb.") or _UNKNOWN}
    if truth is not None:
        label, source = np.array([truth[name] for name in KEY_POINTS], dtype=np.float64), "truth"
        head = (str(truth["tool"]), str(truth["head"]), str(truth["panel"]))
        facts = {"recipe": str(truth["family"]), "stack": str(truth["material"])}
    if human_mm is not None:
        label, source = human_mm, "human"
    return Hole(path, log, grid, found, label, source, head, _wear(log), **facts)


def _wear(log: SetitecLog) -> str:
    """The tool's age in holes, in bands."""
    text = log.field(names.HEAD, "Head Local Counter") or log.field(names.HEAD, "Head Counter 2")
    try:
        age = float(text.replace(",", "."))
    except ValueError:
        return _UNKNOWN
    lower = 0
    for upper in _WEAR_BANDS:
        if age < upper:
            return f"{lower} to {upper - 1} holes"
        lower = upper
    return f"{lower} holes and more"


def _says_synthetic(log: SetitecLog) -> bool:
    """Whether the generator wrote the log, also when it was copied away from its marker."""
    return any(NOTE in section.values() for section in log.header.values())


def _truth(folder: Path) -> dict[str, dict[str, object]]:
    """Key points and groups by file name; believed only beside the generator's marker."""
    path = folder / TRUTH
    if not path.is_file() or not (folder / MARKER).is_file():
        return {}
    return {row["file"]: row for row in pl.read_csv(path, infer_schema_length=None).iter_rows(named=True)}


def _human(labels: Path | None) -> dict[str, Floats]:
    """People's labels (3,) in mm by file name, without those of another version of the log."""
    if labels is None:
        return {}
    try:
        table = pl.read_parquet(labels).filter(pl.col("source") == "human", ~pl.col("stale"))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InvalidConfig(str(labels), "holds no labels: run drilling:label first") from error
    rows = table.select("file", *KEY_POINTS).iter_rows()
    return {
        Path(file).name: np.array([np.nan if depth is None else depth for depth in depths], dtype=np.float64)
        for file, *depths in rows
    }
