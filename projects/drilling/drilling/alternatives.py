"""What one would do without the network: gradient-boosted trees on windowed features, and rules.

The trees answer at places every 0.1 mm how far below the place the key point lies; the depths that the
places near it point to are averaged. The rules are the labelling methods `gradient` and `threshold`; the
method `combined` is there to be read, not to be chosen: it makes the labels of genuine logs, and shares
the generator's picture of a tip.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from drilling.depth_grid import SPACING_MM
from drilling.labeling import KEY_POINTS, Method, estimate_all
from drilling.setitec import SetitecLog
from drilling.windows import FeatureTable

Floats = NDArray[np.float64]
RULES: tuple[Method, ...] = get_args(Method)

_EVERY_CELLS = 5
_REACHES_CELLS = (5, 15, 40, 100)
_FARTHEST_MM, _NEAR_MM = 2.0, 0.6
_CURRENTS = 2


class BoostedTrees:
    """A regressor for each key point over features of windows around a place."""

    def __init__(self, seed: int) -> None:
        self._models = [
            HistGradientBoostingRegressor(
                max_iter=300, learning_rate=0.1, max_leaf_nodes=63, random_state=seed
            )
            for _ in KEY_POINTS
        ]

    def fit(self, grids: Sequence[FeatureTable], labels_mm: Floats) -> "BoostedTrees":
        """Learn from holes' grids and their labels (h, 3); a point that no hole has is never answered."""
        features = [place_features(grid) for grid in grids]
        for column, model in enumerate(self._models):
            known = [place for place in range(len(grids)) if np.isfinite(labels_mm[place, column])]
            if not known:
                continue
            targets = [
                np.clip(labels_mm[place, column] - _places(grids[place]), -_FARTHEST_MM, _FARTHEST_MM)
                for place in known
            ]
            model.fit(np.concatenate([features[place] for place in known]), np.concatenate(targets))
        return self

    def predict(self, grids: Sequence[FeatureTable]) -> Floats:
        """Key points (h, 3) in mm; NaN where no place is near one."""
        return np.array([[self._depth(model, grid) for model in self._models] for grid in grids])

    @staticmethod
    def _depth(model: HistGradientBoostingRegressor, grid: FeatureTable) -> float:
        if not hasattr(model, "n_iter_"):
            return float("nan")
        places, distance = _places(grid), model.predict(place_features(grid))
        near = np.abs(distance) < _NEAR_MM
        if not near.any():
            return float("nan")
        return float(np.median((places + distance)[near]))


def place_features(grid: FeatureTable) -> Floats:
    """Features (p, f) of places every 0.1 mm: both currents' means on either side in windows of four
    lengths, relative to the hole's highest, and their differences; the feed and step changes beside it."""
    values = grid.values.astype(np.float64)
    rows = np.arange(0, len(grid), _EVERY_CELLS)
    highest = np.maximum(np.percentile(values[:, :_CURRENTS], 99, axis=0), 1e-3)
    scaled = np.concatenate([values[:, :_CURRENTS] / highest, values[:, _CURRENTS:]], axis=1)
    total = np.concatenate([np.zeros((1, scaled.shape[1])), np.cumsum(scaled, axis=0)])

    def mean(first: NDArray[np.int64], last: NDArray[np.int64]) -> Floats:
        first, last = first.clip(0, len(grid) - 1), last.clip(1, len(grid))
        return np.asarray((total[last] - total[first]) / (last - first)[:, None])

    columns = [scaled[rows], (rows / len(grid))[:, None]]
    for reach in _REACHES_CELLS:
        before, after = mean(rows - reach, np.maximum(rows, 1)), mean(rows, rows + reach)
        columns += [before, after, after[:, :_CURRENTS] - before[:, :_CURRENTS]]
    return np.concatenate(columns, axis=1)


def by_rules(logs: Sequence[SetitecLog]) -> dict[str, Floats]:
    """Key points (h, 3) in mm by each labelling method, NaN where it finds none."""
    return {
        method: np.array([estimate.keypoints.as_array() for estimate in estimate_all(logs, method)])
        for method in RULES
    }


def _places(grid: FeatureTable) -> Floats:
    return np.asarray(grid.position_mm[0] + SPACING_MM * np.arange(0, len(grid), _EVERY_CELLS))
