"""A hole's features over depth: the model's input, an even grid of 0.02 mm whatever the feed.

A tip sinks into a layer over the same depth at any feed, while a lubricated hole has ten times the rows of
a fast one. So the rows of `feature_table` that cut new material are averaged over cells of SPACING_MM;
a cell that a fast feed has leapt over is interpolated. The channels are those of CHANNELS: of the fifteen
delayed torques only the central one stays, since neighbouring cells say the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.errors import LogUnreadable
from drilling.setitec import SetitecLog
from drilling.windows import LENGTH, FeatureTable, feature_table, windows_of

SPACING_MM = 0.02
CHANNELS = ("torque_p0_l0", "net_thrust", "log_feed", "step_change")
"""Total torque (A), net thrust (A), ln(1 + mm/s), and the share of a cell's rows after a step change."""

_LEAST_ROWS, _LEAST_CELLS = 16, 16
_MOST_CELLS = 50_000
"""A metre, several times the stroke of a drilling unit: a position in other units must not fill memory."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HoleWindows:
    """Overlapping windows of some holes, as a model takes them; holes with fewer than k are padded.

    `signals` (h, k, 512, c), the depth of each window's first cell in mm `start_mm` (h, k), and the number
    of cells `length` (h, k), 0 where a window is padding; all float32.
    """

    signals: Floats
    start_mm: Floats
    length: Floats

    def as_dict(self) -> dict[str, Floats]:
        """By the names of an exported model's inputs."""
        return {"signals": self.signals, "start_mm": self.start_mm, "length": self.length}


def grid_of(log: SetitecLog, *, file_name: str | None = None) -> FeatureTable:
    """A hole's features on the grid: a row for each cell, unscaled; `index` is each cell's first sample.

    Raises LogUnreadable where too few rows cut new material, they reach no deeper than 0.3 mm, or they reach
    deeper than a metre.
    """
    table = feature_table(log, file_name=file_name)
    position = table.position_mm
    fresh = position >= np.maximum.accumulate(position)
    values = table.values[fresh][:, [table.names.index(name) for name in CHANNELS]].astype(np.float64)
    position, index = position[fresh], table.index[fresh]
    cell = np.floor(position / SPACING_MM).astype(np.int64)
    if cell.size < _LEAST_ROWS or cell[-1] - cell[0] + 1 < _LEAST_CELLS:
        raise LogUnreadable(log.source, "too few samples go deeper than the one before")
    if cell[-1] - cell[0] >= _MOST_CELLS:
        deep = position[-1] - position[0]
        raise LogUnreadable(
            log.source,
            f"its positions reach over {deep:.0f} mm, and no drilling unit goes deeper than a metre",
        )
    first, cell = cell[0], cell - cell[0]
    cells = np.arange(cell[-1] + 1)
    count = np.bincount(cell)
    filled = count > 0
    means = [
        np.interp(cells, cells[filled], (np.bincount(cell, column) / np.maximum(count, 1))[filled])
        for column in values.T
    ]
    row = np.searchsorted(cell, cells).clip(max=cell.size - 1)
    depth = (first + cells + 0.5) * SPACING_MM
    return FeatureTable(np.stack(means, axis=1).astype(np.float32), CHANNELS, index[row], depth)


def hole_windows(grids: list[FeatureTable], overlap: float = 0.5) -> HoleWindows:
    """The windows of one hole or several, each hole's one after another and the last at its end."""
    batches = [windows_of(grid, LENGTH, overlap) for grid in grids]
    most = max(len(batch.start) for batch in batches)
    signals = np.zeros((len(grids), most, LENGTH, len(CHANNELS)), dtype=np.float32)
    start, length = np.zeros((2, len(grids), most), dtype=np.float32)
    for place, batch in enumerate(batches):
        count = len(batch.start)
        signals[place, :count] = batch.signals
        start[place, :count] = batch.position_mm[:, 0]
        length[place, :count] = batch.mask.sum(axis=1)
    return HoleWindows(signals, start, length)
