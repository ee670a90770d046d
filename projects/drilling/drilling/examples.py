"""Holes as tensors to train on: random windows, stretched, amplified, cut short, or made of one layer.

Labelled holes are whole two-layer holes. What else a shop floor drills is made of them: a hole whose end
is cut off is a blind one, and one whose stretch between the middles of both layers is taken out, the
currents fitted to each other, has one layer.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drilling.depth_grid import SPACING_MM
from drilling.windows import LENGTH, FeatureTable

_STRETCH, _GAIN = 0.15, 0.15
_CUT_SHARE, _ONE_LAYER_SHARE = 0.1, 0.1
_AHEAD = 1.1
_CURRENTS = 2
_BESIDE_MM = 0.15
_MOST_RATIO = 3.0


@dataclass(frozen=True, slots=True)
class Examples:
    """`values` (h, cells, c) padded with the last cell, `cells` (h,) of each, `first_mm` (h,) the depth of
    its first, `labels_mm` (h, 3), NaN where unknown; on one device.

    `ratio` (h, 2) is how much weaker torque and thrust are before the transition than before the exit.
    """

    values: Tensor
    cells: Tensor
    first_mm: Tensor
    labels_mm: Tensor
    ratio: Tensor

    @classmethod
    def of(
        cls, grids: list[FeatureTable], labels_mm: NDArray[np.float64], device: torch.device
    ) -> "Examples":
        """The holes' grids with their labels (h, 3) in mm."""
        cells = np.array([len(grid) for grid in grids])
        longest = max(int(cells.max()), LENGTH)
        values = np.stack(
            [np.pad(grid.values, ((0, longest - len(grid)), (0, 0)), mode="edge") for grid in grids]
        )
        first = np.array([grid.position_mm[0] for grid in grids])
        ratio = np.array([_ratio(grid, label) for grid, label in zip(grids, labels_mm, strict=True)])

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.as_tensor(array.astype(np.float32), device=device)

        return cls(*(tensor(array) for array in (values, cells, first, labels_mm, ratio)))

    def __len__(self) -> int:
        return self.values.shape[0]


@dataclass(frozen=True, slots=True)
class Portion:
    """Windows to learn from: `signals` (n, 512, c), `length` (n,), and the key points' `cell` (n, 3) below
    the first one, with `inside` (n, 3) true where they are in the window, and `known` where it is known
    whether they are."""

    signals: Tensor
    length: Tensor
    cell: Tensor
    inside: Tensor
    known: Tensor


def random_portion(examples: Examples, rows: Tensor, chance: torch.Generator) -> Portion:
    """A random window of each hole of `rows` (n,), varied; the same for the same generator's state."""
    device, count = examples.values.device, rows.numel()

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=chance).to(device)

    pick = rows.to(device)
    cells, labels = examples.cells[pick], examples.labels_mm[pick]
    label = (labels - examples.first_mm[pick].unsqueeze(-1)) / SPACING_MM - 0.5
    known = label.isfinite()
    label = label.nan_to_num(_FAR)
    # One layer: from just before the transition straight to just before the exit.
    from_cell, to_cell = label[:, 1] - 5, label[:, 2] - 8
    whole = known.all(dim=1) & (to_cell > from_cell)
    joined = (draw(count) < _ONE_LAYER_SHARE) & whole & (examples.ratio[pick] > 0).all(dim=1)
    gap = torch.where(joined, (to_cell - from_cell).floor(), torch.zeros_like(cells))
    from_cell = torch.where(joined, from_cell.floor(), torch.full_like(cells, _FAR))
    none = torch.full_like(label[:, 1], _FAR)
    label = torch.stack([label[:, 0], torch.where(joined, none, label[:, 1]), label[:, 2] - gap], dim=1)
    cells = cells - gap
    # Cut short: somewhere in its second half.
    cut = draw(count) < _CUT_SHARE
    cells = torch.where(cut, cells * (0.5 + 0.5 * draw(count)), cells).floor()
    stretch = 1 + _STRETCH * (2 * draw(count) - 1)
    span = (cells - LENGTH * stretch).clamp(min=0)
    # The first and the last window are drawn more often: every hole has them.
    start = ((_AHEAD * draw(count) - (_AHEAD - 1) / 2).clamp(0, 1) * span).floor()
    place = start.unsqueeze(1) + stretch.unsqueeze(1) * torch.arange(LENGTH, device=device)
    length = (place <= cells.unsqueeze(1) - 1).sum(dim=1)
    place = torch.minimum(place, cells.unsqueeze(1) - 1)
    behind = place >= from_cell.unsqueeze(1)
    signals = _at(examples.values[pick], place + torch.where(behind, gap.unsqueeze(1), 0.0))
    fitted = torch.where(behind.unsqueeze(-1), examples.ratio[pick].unsqueeze(1), 1.0)
    gain = 1 + _GAIN * (2 * draw(count, 1, _CURRENTS) - 1)
    signals = torch.cat([signals[..., :_CURRENTS] * gain * fitted, signals[..., _CURRENTS:]], dim=-1)
    cell = (label - start.unsqueeze(1)) / stretch.unsqueeze(1)
    inside = (known | joined.unsqueeze(1)) & (cell >= 0) & (cell <= length.unsqueeze(1) - 1)
    return Portion(signals, length.float(), cell, inside, known)


_FAR = 1e6


def _at(values: Tensor, place: Tensor) -> Tensor:
    """Values (n, cells, c) at fractional places (n, 512), linearly interpolated."""
    low = place.floor()
    share = (place - low).unsqueeze(-1)
    low = low.long().clamp(max=values.shape[1] - 1)
    high = (low + 1).clamp(max=values.shape[1] - 1)

    def gathered(index: Tensor) -> Tensor:
        return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[2]))

    return gathered(low) * (1 - share) + gathered(high) * share


def _ratio(grid: FeatureTable, label_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean torque and thrust just before the transition over those just before the exit; 0 if unusable."""
    means = []
    for depth in label_mm[1:]:
        near = (grid.position_mm < depth) & (grid.position_mm > depth - _BESIDE_MM)
        if not near.any():
            return np.zeros(_CURRENTS)
        means.append(grid.values[near, :_CURRENTS].astype(np.float64).mean(axis=0))
    before, after = means
    usable = (before > 0) & (after > 0)
    ratio = np.divide(before, after, out=np.zeros(_CURRENTS), where=usable)
    return np.asarray(
        ratio if (ratio > 1 / _MOST_RATIO / 3).all() and (ratio < _MOST_RATIO).all() else 0 * ratio
    )
