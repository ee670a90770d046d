"""Errors of key points in mm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.labeling import KEY_POINTS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DepthError:
    """Absolute errors of one key point over the holes where both depths are known."""

    mae_mm: float
    median_mm: float
    p95_mm: float
    holes: int


def depth_errors(found_mm: Floats, label_mm: Floats) -> dict[str, DepthError]:
    """The errors of each key point that any hole has in both arrays (n, 3), by its name without unit."""
    away = np.abs(found_mm - label_mm)
    errors: dict[str, DepthError] = {}
    for place, name in enumerate(KEY_POINTS):
        known = away[np.isfinite(away[:, place]), place]
        if known.size:
            figures = float(known.mean()), float(np.median(known)), float(np.percentile(known, 95))
            errors[name.removesuffix("_mm")] = DepthError(*figures, holes=known.size)
    return errors


def mean_error_mm(errors: dict[str, DepthError]) -> float:
    """The mean of the key points' mean absolute errors; NaN where there is none."""
    return float(np.mean([error.mae_mm for error in errors.values()])) if errors else float("nan")


def as_metrics(errors: dict[str, DepthError], prefix: str) -> dict[str, float]:
    """`<prefix>_mae_mm`, and `<prefix>_<key point>_{mae,median,p95}_mm`, for a run."""
    metrics = {f"{prefix}_mae_mm": mean_error_mm(errors)} if errors else {}
    for name, error in errors.items():
        metrics[f"{prefix}_{name}_mae_mm"] = error.mae_mm
        metrics[f"{prefix}_{name}_median_mm"] = error.median_mm
        metrics[f"{prefix}_{name}_p95_mm"] = error.p95_mm
    return metrics
