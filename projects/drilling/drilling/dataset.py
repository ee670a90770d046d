"""A folder of logs as labelled holes, ready to train on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drilling.depth_window import Window, window_of
from drilling.errors import LogUnreadable
from drilling.labeling import KEY_POINTS, KeyPoints, estimate_all
from drilling.progress import tracked
from drilling.setitec import LogFailure, SetitecLog, names, read_logs
from drilling.synthetic import MARKER, NOTE, TRUTH

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hole:
    """A log with its window, its automatic key points and the truth where it is known.

    `groups` names its tool, head and panel, empty where the log does not say.
    """

    path: Path
    log: SetitecLog
    window: Window
    automatic: KeyPoints
    truth_mm: Floats | None
    groups: tuple[str, str, str]

    @property
    def label_mm(self) -> Floats:
        """What a model is trained on: the truth, else the automatic key points; NaN where unknown."""
        return self.automatic.as_array() if self.truth_mm is None else self.truth_mm


@dataclass(frozen=True, slots=True)
class HoleSet:
    """The holes of a folder, what was left out, and whether the data is synthetic.

    `failures` are files without a signal; `unlabelled` are holes in which no key point was found, and
    synthetic ones whose truth is not to be learnt from.
    """

    holes: tuple[Hole, ...]
    failures: tuple[LogFailure, ...]
    unlabelled: tuple[Path, ...]
    synthetic: bool

    @property
    def has_truth(self) -> bool:
        """True where every hole's key points are known, not estimated."""
        return all(hole.truth_mm is not None for hole in self.holes)


def load_holes(folder: Path, *, progress: bool = True) -> HoleSet:
    """Read and label every log under a folder.

    Raises NoLogs where nothing can be read.
    """
    batch = read_logs(folder, progress=progress).collect()
    truth = _truth(folder)
    holes: list[Hole] = []
    unlabelled: list[Path] = []
    failures = list(batch.failures)
    estimates = tracked(estimate_all(batch.logs.values()), "Labelling holes", len(batch.logs), shown=progress)
    for (path, log), estimate in zip(batch.logs.items(), estimates, strict=True):
        known = truth.get(path.name)
        if known is not None and not known["labelled"]:
            unlabelled.append(path)
            continue
        try:
            hole = _hole(path, log, estimate.keypoints, known)
        except LogUnreadable as error:
            failures.append(LogFailure(path, error))
            continue
        if np.isfinite(hole.label_mm).any():
            holes.append(hole)
        else:
            unlabelled.append(path)
    synthetic = (folder / MARKER).is_file() or any(_says_synthetic(hole.log) for hole in holes)
    return HoleSet(tuple(holes), tuple(failures), tuple(unlabelled), synthetic)


def _hole(path: Path, log: SetitecLog, found: KeyPoints, truth: Mapping[str, object] | None) -> Hole:
    if truth is None:
        groups = (log.field(names.HEAD, "Head TAG UID"), log.field(names.HEAD, "Head Name"), "")
        return Hole(path, log, window_of(log), found, None, groups)
    depths = np.array([truth[name] for name in KEY_POINTS], dtype=np.float64)
    groups = (str(truth["tool"]), str(truth["head"]), str(truth["panel"]))
    return Hole(path, log, window_of(log), found, depths, groups)


def _says_synthetic(log: SetitecLog) -> bool:
    """Whether the generator wrote the log, also when it was copied away from its marker."""
    return any(NOTE in section.values() for section in log.header.values())


def _truth(folder: Path) -> dict[str, dict[str, object]]:
    """Key points and groups by file name; believed only beside the generator's marker."""
    path = folder / TRUTH
    if not path.is_file() or not (folder / MARKER).is_file():
        return {}
    return {row["file"]: row for row in pl.read_csv(path, infer_schema_length=None).iter_rows(named=True)}
