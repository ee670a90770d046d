"""A log in, key points out: what an exported model needs around it, and nothing else.

It needs no torch: the log is read, resampled, cut into windows, and given to ONNX Runtime.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from drilling.answers import Answers
from drilling.depth_grid import grid_of, hole_windows
from drilling.export.onnx_model import open_session, run_onnx
from drilling.labeling.keypoints import KEY_POINTS
from drilling.setitec import SetitecLog, read_log

PRESENT = 0.5
"""From this chance on a point counts as there."""


@dataclass(frozen=True, slots=True)
class PredictedPoint:
    """A key point: its depth and the half-width of the interval that holds 90 % of the true depths, in mm,
    both None where the hole has probably no such point, and the chance that it has."""

    depth_mm: float | None
    uncertainty_mm: float | None
    presence: float


class KeypointPredictor:
    """An exported model, ready to answer for logs."""

    def __init__(self, model: onnx.ModelProto, *, threads: int | None = None) -> None:
        self._session = open_session(model, threads)

    @classmethod
    def load(cls, path: Path, *, threads: int | None = None) -> "KeypointPredictor":
        """A model of an .onnx file."""
        return cls(onnx.load(path), threads=threads)

    def predict(self, log: SetitecLog | bytes | Path) -> dict[str, PredictedPoint]:
        """The key points of a log, its bytes or its file, by name. Raises LogUnreadable."""
        name = (
            None
            if isinstance(log, bytes)
            else Path(log.source).name
            if isinstance(log, SetitecLog)
            else log.name
        )
        read = log if isinstance(log, SetitecLog) else read_log(log)
        return points_of(run_onnx(self._session, hole_windows([grid_of(read, file_name=name)])))[0]

    def predict_all(
        self, logs: Iterable[SetitecLog]
    ) -> Iterator[tuple[SetitecLog, dict[str, PredictedPoint]]]:
        """Each log with its key points. Raises LogUnreadable for one that cuts nothing new."""
        return ((log, self.predict(log)) for log in logs)


def points_of(answers: Answers) -> list[dict[str, PredictedPoint]]:
    """The answers of each hole by the names of the key points."""
    return [
        {
            name: PredictedPoint(
                round(float(depth), 4) if presence >= PRESENT else None,
                round(float(uncertainty), 4) if presence >= PRESENT else None,
                round(float(presence), 4),
            )
            for name, depth, uncertainty, presence in zip(KEY_POINTS, *hole, strict=True)
        }
        for hole in zip(answers.keypoints_mm, answers.uncertainty_mm, answers.presence, strict=True)
    ]
