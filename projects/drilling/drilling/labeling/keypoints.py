"""The three depths that a hole is measured by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEY_POINTS = ("entry_mm", "transition_mm", "exit_mm")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KeyPoints:
    """Three depths in mm of |position| and the sample nearest to each; None where it was not found.

    `confidence` is 0 to 1; `reasons` says in words what lowered it.
    """

    entry_mm: float | None
    transition_mm: float | None
    exit_mm: float | None
    entry_index: int | None
    transition_index: int | None
    exit_index: int | None
    method: str
    confidence: float
    reasons: tuple[str, ...]

    def as_array(self) -> Floats:
        """The depths in mm in the order of KEY_POINTS, NaN where one was not found."""
        return np.array([getattr(self, name) for name in KEY_POINTS], dtype=np.float64)
