"""The rows of samples as columns of numbers; a row that cannot be read is named and left empty."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.setitec import names
from drilling.setitec.fixed_point import fixed_point_columns
from drilling.setitec.problem import Problem

Floats = NDArray[np.float64]
_MOST_ROWS_NAMED = 20
_PADDING = re.compile(rb"\t+\n")
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?|-?\.\d+")
_ENDLESS = re.compile(r"[-+]?(?:inf|infinity|nan)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cells:
    """Columns of numbers, NaN where a cell holds none, and the line of the file of each row.

    `sound` is true where no cell is NaN.
    """

    columns: tuple[Floats, ...]
    lines: NDArray[np.int64]
    sound: bool = False

    def __len__(self) -> int:
        return self.lines.size


def read_rows(body: bytes, delimiter: str, first_line: int, problems: list[Problem]) -> Cells:
    """The numbers of every row that is not blank.

    Rows as the units write them are read at once; where one departs from that, each is looked at.
    """
    usual = body.replace(b".", b",") if b"." in body else body
    usual = usual if delimiter == "\t" else usual.replace(delimiter.encode(), b"\t")
    columns = fixed_point_columns(usual)
    if columns is None and b"\t\n" in usual:
        columns = fixed_point_columns(_PADDING.sub(b"\n", usual))
    if columns is not None:
        return Cells(columns, np.arange(first_line, first_line + columns[0].size), sound=True)
    return _looked_at(body.decode("latin-1"), delimiter, first_line, problems)


def _looked_at(text: str, delimiter: str, first_line: int, problems: list[Problem]) -> Cells:
    padding = f" \t;{delimiter}"
    rows: list[list[str]] = []
    lines: list[int] = []
    all_lines = text.split("\n")
    last = len(all_lines) - 1 - (not all_lines[-1])
    for offset, line in enumerate(all_lines[: last + 1]):
        bare = line.rstrip(padding)
        if bare:
            cells = [cell.strip(' "').replace(",", ".") for cell in bare.split(delimiter)]
            rows.append(cells + [""] * (line.count(delimiter) + 1 - len(cells)))
            lines.append(first_line + offset)
    if len(lines) <= last:
        detail = f"{last + 1 - len(lines)} rows without a value left out"
        problems.append(Problem("blank_rows", names.DATAS, None, detail))
    if not rows:
        return Cells((), np.empty(0, dtype=np.int64))
    whole = text.endswith("\n")
    return _aligned(rows, np.array(lines), whole, problems)


def _aligned(rows: list[list[str]], lines: NDArray[np.int64], whole: bool, problems: list[Problem]) -> Cells:
    """Rows brought to the commonest width: those of another may have lost any cell, so none is believed."""
    width = Counter(map(_filled, rows)).most_common(1)[0][0]
    uneven = [place for place, row in enumerate(rows) if not _filled(row) <= width <= len(row)]
    note_rows(
        problems,
        "uneven_row",
        lines,
        uneven,
        lambda row: f"{_filled(rows[row])} values, not {width}: left empty",
    )
    if not whole and _decimals(rows[-1][-1]) < _decimals(rows[0][min(len(rows[-1]), len(rows[0])) - 1]):
        note_rows(
            problems, "cut_off", lines, [len(rows) - 1], lambda _: "the file ends inside a number: left empty"
        )
        uneven.append(len(rows) - 1)
    for place in uneven:
        rows[place] = [""] * width
    columns = list(zip(*(row[:width] for row in rows), strict=True))
    return Cells(tuple(_numbers(column, lines, problems) for column in columns), lines)


def _numbers(cells: tuple[str, ...], lines: NDArray[np.int64], problems: list[Problem]) -> Floats:
    """A column's numbers. Where nearly every cell has decimals, one without them has lost its comma."""
    values = np.full(len(cells), np.nan)
    unread: list[int] = []
    endless: list[int] = []
    for place, cell in enumerate(cells):
        if _NUMBER.fullmatch(cell):
            values[place] = float(cell)
        elif cell:
            (endless if _ENDLESS.fullmatch(cell) else unread).append(place)
    note_rows(
        problems, "not_a_number", lines, unread, lambda row: f"{cells[row]!r} is not a number: left empty"
    )
    note_rows(problems, "not_finite", lines, endless, lambda row: f"{cells[row]!r} left empty")
    pointless = [place for place in np.flatnonzero(np.isfinite(values)).tolist() if "." not in cells[place]]
    if 0 < len(pointless) <= max(1, len(cells) // 100) and len(cells) > 2:
        note_rows(
            problems,
            "no_decimals",
            lines,
            pointless,
            lambda row: f"{cells[row]!r} has lost its decimal mark: left empty",
        )
        values[pointless] = np.nan
    return values


def _filled(row: list[str]) -> int:
    """How many cells a row has up to its last one that is not empty."""
    return next((place for place in range(len(row), 0, -1) if row[place - 1]), 0)


def _decimals(cell: str) -> int:
    return len(cell.partition(".")[2])


def note_rows(
    problems: list[Problem],
    kind: str,
    lines: NDArray[np.int64],
    rows: list[int],
    detail: Callable[[int], str],
) -> None:
    """A problem for each of the first rows, and one for all others together."""
    problems.extend(
        Problem(kind, names.DATAS, int(lines[row]), detail(row)) for row in rows[:_MOST_ROWS_NAMED]
    )
    if len(rows) > _MOST_ROWS_NAMED:
        problems.append(Problem(kind, names.DATAS, None, f"{len(rows) - _MOST_ROWS_NAMED} more rows"))
