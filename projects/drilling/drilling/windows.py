"""A hole as recorded: features of every sample at 100 Hz, cut into overlapping windows of 512 rows.

The channels are those of the published learned method, plus what tells its recipe apart. Its input
"torque decimated by 3 into 3 phases x 5 lags" is read as follows. Decimating by 3 lays blocks of
three rows over the signal and takes each block's mean, which is also the low pass; there are three
ways (phases) to lay them. Channel `torque_p<p>_l<l>` of row i is the mean total torque of the block
that is centred on row i + 3 l + p, for phases p of -1, 0, 1 and lags l of -2 to 2: together 15 block
means, centred on the rows i - 7 to i + 7, so that a row sees 0.17 s around it. The stack is centred,
not causal: holes are measured once they are drilled, and a causal one would lead or lag the event.
Blocks that reach over a step change repeat the last block within the step.

Nothing is scaled here: `FeatureScaler` is fitted once, on training holes, and stored with the model.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drilling.errors import DrillingError, InvalidConfig, LogUnreadable
from drilling.gaps import MEASURED, fill_gaps, run_numbers, step_of_rows
from drilling.profile import Samples, samples_of
from drilling.scaling import FeatureScaler, NothingToFit, OtherFeatures, ScalerSawHole
from drilling.setitec import SetitecLog, names
from drilling.setitec.header import number

__all__ = [
    "FEATURES",
    "LENGTH",
    "FeatureScaler",
    "FeatureTable",
    "NothingToFit",
    "OtherFeatures",
    "ScalerSawHole",
    "WindowBatch",
    "WindowMismatch",
    "feature_table",
    "merge",
    "windows_of",
]

Floats = NDArray[np.float64]

LENGTH = 512
PHASES, LAGS = (-1, 0, 1), (-2, -1, 0, 1, 2)
LONGEST_GAP_ROWS = 50
"""Gaps of up to half a second are interpolated; the rows of longer ones are left out."""

FEATURES: dict[str, str] = {
    **{f"torque_p{phase}_l{lag}": "A" for phase in PHASES for lag in LAGS},
    "net_thrust": "A",
    "log_feed": "ln(1 + mm/s)",
    "tool_age": "holes",
    "predrilled": "0 or 1",
    "step_change": "0 or 1",
    "micropeck": "0 or 1",
}
"""The channels in order, with their units. `tool_age` alone is NaN where the log does not say it."""

_FEED_REACH_ROWS = 12
_COUNTERS = re.compile(r"_ST_(\d+)_(\d+)(_\d+)?(?:\.xls)?$", re.IGNORECASE)


class WindowMismatch(DrillingError):
    """Values or weights that do not belong to the windows they are given with."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(
            f"{name} {problem}",
            remedy="Give a value for each place of each window of the same batch; weights are 0 or more.",
            name=name,
            problem=problem,
        )


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """`values` float32 (n, c) of a hole's samples, with the channels' `names`.

    `index` (n,) is each row's sample index in the log, `position_mm` (n,) its depth in float64.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    index: NDArray[np.int64]
    position_mm: Floats
    scaled: bool = False

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Windows of a table: `signals` float32 (w, 512, c) and `position_mm` float32 (w, 512).

    `mask` (w, 512) is true where a place is a sample, false where it repeats the last one of a hole
    shorter than a window. `start` (w,) is the row of the table that each window begins at.
    """

    signals: NDArray[np.float32]
    mask: NDArray[np.bool_]
    start: NDArray[np.int64]
    position_mm: NDArray[np.float32]

    @property
    def rows(self) -> int:
        """How many rows the table has: the last window ends at its last sample."""
        return int(self.start[-1]) + int(self.mask[-1].sum())


def feature_table(log: SetitecLog, *, file_name: str | None = None) -> FeatureTable:
    """The features of every sample that has a position and both currents, whatever its steps.

    Empty cells are interpolated inside a step, up to LONGEST_GAP_ROWS; rows that stay incomplete are
    left out, as `index` shows. A no-load current that a whole step lacks counts as 0. `file_name` stands
    for the log's source where that is no path.
    Raises LogUnreadable where no row is complete.
    """
    signals, _ = fill_gaps(log.signals, LONGEST_GAP_ROWS)
    signals = signals.with_columns(pl.Series("step", step_of_rows(signals))).drop_nulls(MEASURED)
    if signals.is_empty():
        raise LogUnreadable(log.source, "no sample has a position, a torque and a thrust")
    samples = samples_of(replace(log, signals=signals))
    # Rows that leap to another depth are no samples of the hole.
    signals = signals.filter(pl.col("index").is_in(samples.index))
    if signals.is_empty():
        raise LogUnreadable(log.source, "no sample lies near the depths of its neighbours")
    part = _parts(samples, signals["step"].to_numpy())
    age, predrilled, micropeck = _constants(log, file_name or log.source)
    columns = [
        *_torque_stack(samples.total_torque_a, part),
        samples.thrust_a,
        np.log1p(_feed(samples, part, log.sample_rate_hz)),
        np.full(len(signals), age),
        np.full(len(signals), predrilled),
        samples.changed,
        np.full(len(signals), micropeck),
    ]
    values = np.stack(columns, axis=1).astype(np.float32)
    return FeatureTable(values, tuple(FEATURES), samples.index, samples.position_mm)


def windows_of(
    table: FeatureTable, length: int = LENGTH, overlap: float = 0.5, *, stride: int | None = None
) -> WindowBatch:
    """Windows that cover every row; the last one ends at the last row.

    They begin every `stride` rows, or every (1 - overlap) of a window. Raises InvalidConfig for a length
    below 1, an overlap outside 0 to 1, or a stride that is not from 1 to the length.
    """
    if length < 1 or not 0 <= overlap < 1:
        raise InvalidConfig("windows_of", f"length {length} and overlap {overlap} make no windows")
    step = max(1, round(length * (1 - overlap))) if stride is None else stride
    if not 1 <= step <= length:
        raise InvalidConfig("windows_of", f"stride {step} is not from 1 to the length {length}")
    last = max(0, len(table) - length)
    start = np.append(np.arange(0, last, step, dtype=np.int64), last)
    rows = start[:, None] + np.arange(length)
    mask = rows < len(table)
    rows = np.minimum(rows, len(table) - 1)
    return WindowBatch(table.values[rows], mask, start, table.position_mm[rows].astype(np.float32))


def merge(
    batch: WindowBatch, values: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> Floats:
    """Values of windows (w, 512, k) as values of rows (n, k): the mean over the windows of each row.

    `weights` (w, 512) or (w, 512, k), such as inverse variances, make it a weighted mean; a row whose
    weights are all 0 is NaN. Raises WindowMismatch for other shapes or a weight that is negative or
    not finite.
    """
    if values.ndim != 3 or values.shape[:2] != batch.mask.shape:
        raise WindowMismatch("values", f"have shape {values.shape}; the windows {batch.mask.shape}")
    weight = _full_weights(values, weights)
    total, mass = np.zeros((2, batch.rows, values.shape[2]))
    for start, mask, value, share in zip(batch.start, batch.mask, values, weight, strict=True):
        rows = slice(start, start + np.count_nonzero(mask))
        total[rows] += np.where(share[mask] > 0, share[mask] * value[mask], 0)
        mass[rows] += share[mask]
    return np.divide(total, mass, out=np.full_like(total, np.nan), where=mass > 0)


def _full_weights(values: NDArray[np.floating], weights: NDArray[np.floating] | None) -> Floats:
    if weights is None:
        return np.ones(values.shape)
    shaped = weights[..., None] if weights.ndim == 2 else weights
    if (
        shaped.ndim != 3
        or shaped.shape[:2] != values.shape[:2]
        or shaped.shape[2] not in (1, values.shape[2])
    ):
        raise WindowMismatch("weights", f"have shape {weights.shape}; the values {values.shape}")
    if not (np.isfinite(shaped) & (shaped >= 0)).all():
        raise WindowMismatch("weights", "are negative or not finite in some places")
    return np.broadcast_to(shaped, values.shape).astype(np.float64)


def _parts(samples: Samples, step: NDArray[np.int64]) -> NDArray[np.int64]:
    """First and last row of the unbroken part of a step that each row lies in, (n, 2)."""
    broken = (np.diff(samples.index, prepend=samples.index[0]) > 1) | (
        np.diff(run_numbers(step), prepend=0) != 0
    )
    first = np.append(0, np.flatnonzero(broken))
    last = np.append(first[1:], step.size) - 1
    number = np.cumsum(broken)
    return np.stack([first[number], last[number]], axis=1)


def _torque_stack(torque: Floats, part: NDArray[np.int64]) -> list[Floats]:
    """The mean of the block of three rows around each row that is 3 lags and a phase away."""
    row = np.arange(torque.size)
    first, last = part.T
    block = np.mean([torque[np.clip(row + shift, first, last)] for shift in (-1, 0, 1)], axis=0)
    # The blocks at the ends of a part would hold a row twice: they give way to the next whole block.
    first, last = np.minimum(first + 1, (first + last) // 2), np.maximum(last - 1, (first + last + 1) // 2)
    return [block[np.clip(row + 3 * lag + phase, first, last)] for phase in PHASES for lag in LAGS]


def _feed(samples: Samples, part: NDArray[np.int64], rate_hz: float) -> Floats:
    """Depth gained per second over 0.24 s around each row, at least 0; 0 where a step has one row."""
    row = np.arange(samples.index.size)
    before = np.maximum(row - _FEED_REACH_ROWS, part[:, 0])
    after = np.minimum(row + _FEED_REACH_ROWS, part[:, 1])
    gained = np.maximum(samples.position_mm[after] - samples.position_mm[before], 0)
    return np.asarray(gained * rate_hz / np.maximum(after - before, 1))


def _constants(log: SetitecLog, file_name: str) -> tuple[float, float, float]:
    """Tool age in holes (NaN where neither header nor file name says it), predrilled, micro-pecking."""
    counters = _COUNTERS.search(file_name)
    written = (log.field(names.HEAD, name) for name in ("Head Local Counter", "Head Counter 2"))
    ages = (number(text) for text in (*written, counters[2] if counters else ""))
    age = next((age for age in ages if age is not None), float("nan"))
    pecks = number(log.field(names.HEAD, "Micropeck Osc.")) or 0
    return age, float(bool(counters and counters[3])), float(pecks > 0)
