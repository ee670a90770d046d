"""Whether a model in another format answers like the trained one."""

import numpy as np
from numpy.typing import NDArray

from drilling.answers import Answers
from drilling.errors import ParityError
from drilling.labeling.keypoints import KEY_POINTS

TOLERANCE_MM = 1e-4
"""The most that an export may differ by on any key point."""


def difference_mm(found: Answers, expected: Answers) -> float:
    """The largest difference in mm of depths and uncertainties over all holes; NaN where there is one.

    Uncertainties above 1 mm count by their share: float32 keeps no more digits of them.
    """
    depths = np.abs(found.keypoints_mm - expected.keypoints_mm)
    widths = np.abs(found.uncertainty_mm - expected.uncertainty_mm) / np.maximum(1.0, expected.uncertainty_mm)
    return float(np.max([depths, widths]))


def check_parity(
    found: Answers, expected: Answers, tolerance_mm: float = TOLERANCE_MM, *, name: str = "ONNX"
) -> float:
    """The largest difference in mm; raises ParityError above the tolerance."""
    difference = difference_mm(found, expected)
    if not difference <= tolerance_mm:
        raise ParityError(difference, tolerance_mm, name)
    return difference


def loss_mm(
    found: Answers, expected: Answers, labels_mm: NDArray[np.float64] | None = None
) -> dict[str, dict[str, float]]:
    """What fewer bits cost, by key point: `mean` and `largest` difference of the depths in mm.

    With labels (h, 3), NaN where unknown, also `error`: by how much the mean error grows, in mm.
    """
    away = np.abs(found.keypoints_mm - expected.keypoints_mm)
    loss = {
        name: {"mean": float(column.mean()), "largest": float(column.max())}
        for name, column in zip(KEY_POINTS, away.T, strict=True)
    }
    if labels_mm is not None:
        grown = np.abs(found.keypoints_mm - labels_mm) - np.abs(expected.keypoints_mm - labels_mm)
        for name, column in zip(KEY_POINTS, grown.T, strict=True):
            known = column[np.isfinite(column)]
            loss[name]["error"] = float(known.mean()) if known.size else float("nan")
    return loss
