"""What a model of any format answers for holes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """Key points of h holes as arrays (h, 3): depth in mm, half-width of the 90 % interval in mm, and the
    chance that the hole has such a point."""

    keypoints_mm: Floats
    uncertainty_mm: Floats
    presence: Floats

    def present_mm(self) -> Floats:
        """The depths, NaN where the hole probably has no such point."""
        return np.where(self.presence >= 0.5, self.keypoints_mm, np.nan)
