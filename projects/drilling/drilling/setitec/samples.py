"""The samples of a log: the `Datas` section as a table with the package's own column names."""

import re

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from drilling.setitec import names
from drilling.setitec.columns import named_columns
from drilling.setitec.container import Section
from drilling.setitec.problem import Problem
from drilling.setitec.rows import Cells, Floats, note_rows, read_rows

_NUMERIC = re.compile(rb"[ \t;]*-?\d")
_WHOLE = {"step": 1000, "stop_code": 1 << 24}
_GLITCH_ROWS = 2
_GAP_MM = 0.5


def read_samples(
    section: Section, delimiter: str, version: int | None, sample_rate_hz: float, problems: list[Problem]
) -> pl.DataFrame | None:
    """The signals table, or None where no row holds a position together with a current.

    `position_mm` is |Position|: the depth below the tool's rest, growing downward. `step_time_s`
    counts from the first row of each run of equal steps, since the format has no time column.
    A row that cannot be read stays as an empty row, so that `index` counts the file's rows.
    """
    header, body, first_line = _names_and_body(section, delimiter, problems)
    cells = read_rows(body, delimiter, first_line, problems) if body else None
    if cells is None or not len(cells):
        return None
    columns = named_columns(header, cells.columns, version, problems)
    if "position_mm" not in columns or not {"torque_a", "thrust_a"} & columns.keys():
        return None
    sound = _complete(columns, cells, problems)
    current = np.isfinite(columns["torque_a"]) | np.isfinite(columns["thrust_a"])
    if not (np.isfinite(columns["position_mm"]) & current).any():
        return None
    columns["position_mm"] = _depth(columns["position_mm"], problems)
    step = _without_glitches(columns["step"], cells, problems)
    sound, columns["step"] = sound and step is columns["step"], step
    return _table(columns, cells, sample_rate_hz, problems, sound=sound)


def _names_and_body(
    section: Section, delimiter: str, problems: list[Problem]
) -> tuple[list[str], bytes, int]:
    text = section.body.lstrip(b" \t;\n")
    skipped = len(section.body) - len(text)
    line_number = section.first_row + section.body.count(b"\n", 0, skipped)
    if _NUMERIC.match(text):
        problems.append(Problem("no_names", names.DATAS, line_number, "columns named by their usual order"))
        # The row's own leading empty cells were stripped with the blank rows before it.
        return [], _trimmed(section.body[section.body.rfind(b"\n", 0, skipped) + 1 :]), line_number
    line, _, rest = text.partition(b"\n")
    header = [cell.strip(' "') for cell in line.decode("latin-1").split(delimiter)]
    while header and not header[-1]:
        header.pop()
    return header, _trimmed(rest), line_number + 1


def _trimmed(body: bytes) -> bytes:
    """Without the blank rows at the end; the last row keeps its empty cells and its line end."""
    end = body.find(b"\n", len(body.rstrip(b" \t;\n")))
    return body if end < 0 else body[: end + 1]


def _complete(columns: dict[str, Floats], cells: Cells, problems: list[Problem]) -> bool:
    """Add the usual columns that are missing, empty; name the rows and cells that lack a usable value.

    Returns whether every cell holds a value.
    """
    sound = cells.sound
    for name in names.COMMON_SIGNALS:
        if name not in columns:
            problems.append(Problem("missing_column", names.DATAS, None, f"no {name}: left empty"))
            columns[name] = np.full(len(cells), np.nan)
            sound = False
    for name, limit in _WHOLE.items():
        column = _whole_or_empty(name, limit, columns[name], cells, problems)
        sound, columns[name] = sound and column is columns[name], column
    if sound:
        return True
    needed = [columns[name] for name in ("position_mm", "torque_a", "thrust_a", *_WHOLE)]
    lacking = np.isnan(needed).any(axis=0) & ~np.isnan(needed).all(axis=0)
    rows = np.flatnonzero(lacking).tolist() if not lacking.all() else []
    note_rows(problems, "incomplete_row", cells.lines, rows, lambda _: "values missing: left empty")
    return False


def _whole_or_empty(name: str, limit: int, column: Floats, cells: Cells, problems: list[Problem]) -> Floats:
    unusable = ~((column == np.rint(column)) & (column >= 0) & (column < limit)) & ~np.isnan(column)
    if not unusable.any():
        return column
    detail = f"{name} is not a whole number from 0 to {limit - 1}: left empty"
    note_rows(problems, "not_whole", cells.lines, np.flatnonzero(unusable).tolist(), lambda _: detail)
    return np.where(unusable, np.nan, column)


def _depth(position: Floats, problems: list[Problem]) -> Floats:
    """|Position|, which grows downward."""
    above = np.count_nonzero(position > 0)
    if above and (position < 0).any():
        detail = f"{above} positions above 0 among negative ones: |position| kept"
        problems.append(Problem("mixed_sign", names.DATAS, None, detail))
    return np.abs(position)


def _without_glitches(step: Floats, cells: Cells, problems: list[Problem]) -> Floats:
    """Steps never go back: a row or two of another step within one step are damage, and left empty."""
    known = np.flatnonzero(np.isfinite(step))
    starts = _changes(step[known])
    values = step[known[starts]]
    if (values[1:] > values[:-1]).all():
        return step
    step = step.copy()
    ends = np.append(starts[1:], known.size)
    within = (values[:-2] == values[2:]) & (ends[1:-1] - starts[1:-1] <= _GLITCH_ROWS)
    for place in np.flatnonzero(within) + 1:
        rows = known[starts[place] : ends[place]]
        detail = f"step {values[place]:g} within step {values[place - 1]:g}: left empty"
        problems.append(Problem("step_glitch", names.DATAS, int(cells.lines[rows[0]]), detail))
        step[rows] = np.nan
    kept = step[np.isfinite(step)]
    if (kept[1:] < kept[:-1]).any():
        problems.append(Problem("step_order", names.DATAS, None, "a step comes after one of a higher number"))
    return step


def _table(
    columns: dict[str, Floats], cells: Cells, sample_rate_hz: float, problems: list[Problem], *, sound: bool
) -> pl.DataFrame:
    index = np.arange(len(cells))
    starts = _run_starts(columns["step"])
    _note_gaps(columns["position_mm"], starts, cells, problems)
    since = index - np.repeat(starts, np.append(starts[1:], index.size) - starts)
    ordered = {name: columns[name] for name in (*names.COMMON_SIGNALS, *columns)}
    arrays = [
        pa.array(index),
        pa.array(since / sample_rate_hz),
        *(_array(column, name in _WHOLE, sound) for name, column in ordered.items()),
    ]
    return pl.DataFrame(pa.RecordBatch.from_arrays(arrays, ["index", "step_time_s", *ordered]))


def _array(column: Floats, whole: bool, sound: bool) -> pa.Array:
    """A column with null where it was NaN, as 64-bit integers where it counts."""
    if not sound:
        return pa.array(column, from_pandas=True).cast(pa.int64() if whole else pa.float64())
    return pa.array(column.astype(np.int64) if whole else column)


def _run_starts(step: Floats) -> NDArray[np.int64]:
    """The first row of each run of equal steps; a row without one belongs to the run before it."""
    known = np.flatnonzero(np.isfinite(step))
    if not known.size:
        return np.zeros(1, dtype=np.int64)
    starts = known[_changes(step[known])]
    starts[0] = 0
    return starts


def _changes(values: Floats) -> NDArray[np.int64]:
    """Where a value differs from the one before it; the first one does."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: values.size])


def _note_gaps(position: Floats, starts: NDArray[np.int64], cells: Cells, problems: list[Problem]) -> None:
    """Within a step the tool moves by a few hundredths of a mm a row: a leap says that rows are missing."""
    rows = np.flatnonzero(np.abs(position[1:] - position[:-1]) > _GAP_MM) + 1
    rows = rows[~np.isin(rows, starts)].tolist() if rows.size else []
    note_rows(
        problems, "position_leap", cells.lines, rows, lambda _: f"more than {_GAP_MM} mm from the row before"
    )
