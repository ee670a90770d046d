"""Empty cells of a log, filled inside a step where both sides are known."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

MEASURED = ("position_mm", "torque_a", "thrust_a")
"""What changes from sample to sample; empty cells lie on the line between their neighbours."""
NO_LOAD = ("torque_empty_a", "thrust_empty_a")
"""The no-load currents, constant in a step: an empty cell takes its step's value."""


def step_of_rows(signals: pl.DataFrame) -> Places:
    """Each row's step; a row without one belongs to the step before it, the first rows to the one after.

    A log that names no step at all is one step, 0.
    """
    step = signals["step"].fill_null(strategy="forward").fill_null(strategy="backward").fill_null(0)
    return step.cast(pl.Int64).to_numpy()


def run_numbers(step: Places) -> Places:
    """The number of the run of equal steps that each row belongs to, from 0."""
    return np.cumsum(np.diff(step, prepend=step[:1]) != 0)


def fill_gaps(signals: pl.DataFrame, most_rows: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """The signals with gaps of up to `most_rows` rows filled, and how many cells of each column were.

    A gap is filled only where it has a known sample on both sides within one run of equal steps: never
    across a step change, never before the first or after the last sample of a step. The no-load
    currents, which are constant in a step, take its median also at its ends, however long the gap.
    """
    run = run_numbers(step_of_rows(signals))
    columns: list[pl.Series] = []
    filled: dict[str, int] = {}
    for name in (*MEASURED, *NO_LOAD):
        if name not in signals.columns or not signals[name].null_count():
            continue
        values = values_of(signals, name)
        known = _between(values, run, most_rows) if name in MEASURED else _constant(values, run)
        count = int(np.count_nonzero(np.isnan(values) & np.isfinite(known)))
        if count:
            filled[name] = count
            columns.append(pl.Series(name, known, nan_to_null=True))
    return signals.with_columns(columns), filled


def values_of(signals: pl.DataFrame, name: str) -> Floats:
    """A copy of a column as floats, NaN where a cell is empty."""
    return signals[name].cast(pl.Float64).fill_null(float("nan")).to_numpy(writable=True)


def _between(values: Floats, run: Places, most_rows: int) -> Floats:
    known, empty = np.flatnonzero(np.isfinite(values)), np.flatnonzero(np.isnan(values))
    if not known.size:
        return values
    after = np.searchsorted(known, empty)
    inside = (after > 0) & (after < known.size)
    empty, after = empty[inside], after[inside]
    left, right = known[after - 1], known[after]
    sure = (run[left] == run[right]) & (right - left - 1 <= most_rows)
    filled = values.copy()
    filled[empty[sure]] = np.interp(empty[sure], known, values[known])
    return filled


def _constant(values: Floats, run: Places) -> Floats:
    filled = values.copy()
    for number in np.unique(run[np.isnan(values)]):
        rows = run == number
        known = values[rows & np.isfinite(values)]
        if known.size:
            filled[rows & np.isnan(values)] = np.median(known)
    return filled
