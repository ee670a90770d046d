"""The sections before the samples: name/value pairs and small tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from drilling.setitec import names
from drilling.setitec.container import Section
from drilling.setitec.problem import Problem

Row = tuple[int, list[str]]
_TABLES = frozenset({names.PROGRAM, names.STEP_RESULTS})
_TRUE, _FALSE = frozenset({"true", "ok", "yes"}), frozenset({"false", "nok", "no"})


@dataclass(frozen=True, slots=True)
class _Block:
    """A row of names, and the rows of values under it."""

    row: int
    names: list[str]
    values: list[list[str]]


def read_pairs(section: Section, delimiter: str, problems: list[Problem]) -> dict[str, str]:
    """A section's values by name, as written but for the padding."""
    blocks = _blocks(section, delimiter, problems)
    if section.title == names.BOX:
        blocks = _joined_box(blocks, problems)
    pairs: dict[str, str] = {}
    for block in blocks:
        values = block.values[0] if block.values else []
        _note_surplus(section, block, values, problems)
        for name, value in zip(block.names, _padded(values, len(block.names)), strict=False):
            pairs.setdefault(name, value)
    return pairs


def read_table(section: Section, delimiter: str, problems: list[Problem]) -> pl.DataFrame:
    """A section of one row of names and many of values; a column is numeric where every cell is."""
    blocks = _blocks(section, delimiter, problems)
    if not blocks:
        return pl.DataFrame()
    block = blocks[0]
    if block.values:
        _note_surplus(section, block, max(block.values, key=len), problems)
    columns: dict[str, list[str]] = {}
    for position, name in enumerate(block.names):
        cells = [_padded(row, len(block.names))[position] for row in block.values]
        columns.setdefault(names.column_name(name), cells)
    return pl.DataFrame([_typed(name, cells) for name, cells in columns.items()])


def number(text: str) -> float | None:
    """A number with a decimal comma or point (`1,000` is one), None where it is not a number."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return None


def scalar(text: str) -> float | bool | str | None:
    """A result's value as a number, a truth, or the text itself; None where it is empty."""
    if not text:
        return None
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    value = number(text)
    return text if value is None else value


def is_table(title: str) -> bool:
    """True for the sections that hold a row per recipe step."""
    return title in _TABLES


def _typed(name: str, cells: list[str]) -> pl.Series:
    numbers = [number(cell) if cell else None for cell in cells]
    if all(value is not None or not cell for value, cell in zip(numbers, cells, strict=True)):
        return pl.Series(name, numbers, dtype=pl.Float64)
    return pl.Series(name, cells, dtype=pl.String)


def _blocks(section: Section, delimiter: str, problems: list[Problem]) -> list[_Block]:
    known = names.KNOWN_NAMES.get(section.title, ())
    rows = [(row, _trimmed(cells)) for row, cells in section.rows(delimiter)]
    blocks: list[_Block] = []
    for row, cells in rows:
        if not cells:
            continue
        repaired = _repaired(section.title, row, cells, known, problems)
        if not blocks or _names_row(repaired, known) or _starts_unknown_pair(section, blocks, known):
            blocks.append(_Block(row, repaired, []))
        else:
            blocks[-1].values.append(cells)
    return blocks


def _names_row(cells: Sequence[str], known: tuple[str, ...]) -> bool:
    return next((cell for cell in cells if cell), "") in known


def _starts_unknown_pair(section: Section, blocks: list[_Block], known: tuple[str, ...]) -> bool:
    """In a section of no known names, rows alternate: names, values, names, values."""
    return not known and not is_table(section.title) and bool(blocks[-1].values)


def _repaired(
    title: str, row: int, cells: list[str], known: tuple[str, ...], problems: list[Problem]
) -> list[str]:
    repaired: list[str] = []
    for cell in cells:
        name = names.repaired_name(cell)
        if name != cell:
            problems.append(Problem("double_encoding", title, row, f"{cell!r} read as {name!r}"))
        glued = names.split_glued(name, known) if name not in known else None
        if glued:
            problems.append(
                Problem("missing_tab", title, row, f"{name!r} read as {glued[0]!r}, {glued[1]!r}")
            )
        repaired.extend(glued or (name,))
    return repaired


def _joined_box(blocks: list[_Block], problems: list[Problem]) -> list[_Block]:
    """Version 4 breaks the row of names in two, repeating one name; its values come in one row."""
    if len(blocks) < 2:
        return blocks
    first, resumed = blocks[0], blocks[1]
    problems.append(Problem("broken_names", names.BOX, resumed.row, "the row of names breaks and resumes"))
    if first.values or not resumed.values:
        return blocks
    joined = [*first.names, *(name for name in resumed.names if name not in first.names)]
    values = resumed.values[0]
    if len(values) <= len(resumed.names):
        return blocks
    if len(values) == len(first.names) + len(resumed.names):
        joined = [*first.names, *resumed.names]
    return [_Block(first.row, joined, [values]), *blocks[2:]]


def _note_surplus(section: Section, block: _Block, values: list[str], problems: list[Problem]) -> None:
    if len(values) > len(block.names):
        detail = f"{len(values)} values for {len(block.names)} names: the last ones are left out"
        problems.append(Problem("surplus_values", section.title, block.row, detail))


def _trimmed(cells: list[str]) -> list[str]:
    end = len(cells)
    while end and not cells[end - 1]:
        end -= 1
    return cells[:end]


def _padded(cells: list[str], width: int) -> list[str]:
    return cells + [""] * (width - len(cells))
