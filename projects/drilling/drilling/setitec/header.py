"""The sections before the samples: name/value pairs and small tables."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import polars as pl

from drilling.setitec import names
from drilling.setitec.container import Section
from drilling.setitec.problem import Problem

_TABLES = frozenset({names.PROGRAM, names.STEP_RESULTS})
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d*)?(?:[eE][-+]?\d+)?|[-+]?[.,]\d+|[-+]?Inf")
_DAY = re.compile(r"\d\d/\d\d/\d{4}")
_TRUE, _FALSE = frozenset({"true", "ok", "yes"}), frozenset({"false", "nok", "no"})

Cells = list[str]
Pairs = dict[str, dict[str, str]]


@dataclass(slots=True)
class _Block:
    """A row of names in a section, and the rows of values under it."""

    title: str
    row: int
    names: Cells
    values: list[tuple[int, Cells]] = field(default_factory=list)


def read_header(
    sections: Iterable[Section], delimiter: str, encoding: str, problems: list[Problem]
) -> tuple[Pairs, dict[str, pl.DataFrame]]:
    """Each section's values by name, as written but for the padding, and the two tables.

    A section that comes twice is read once.
    """
    pairs: Pairs = {}
    tables: dict[str, pl.DataFrame] = {}
    for section in sections:
        for title, blocks in _by_title(_blocks(section, delimiter, encoding, problems)).items():
            if title in pairs or title in tables:
                row = blocks[0].row - 1
                problems.append(Problem("repeated_section", title, row, "only the first is read"))
            elif title in _TABLES:
                tables[title] = _table(blocks[0], problems)
            else:
                pairs[title] = _pairs(title, blocks, problems)
    return pairs, tables


@lru_cache(maxsize=4096)
def number(text: str) -> float | None:
    """A number with a decimal comma or point (`1,000` is one), None where it is not a number."""
    match = _NUMBER.fullmatch(text.strip())
    return float(match[0].replace(",", ".")) if match else None


def scalar(text: str) -> float | bool | str | None:
    """A result's value as a number, a truth, or the text itself; None where it is empty."""
    if not text:
        return None
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    value = number(text)
    return text if value is None else value


def _by_title(blocks: list[_Block]) -> dict[str, list[_Block]]:
    grouped: dict[str, list[_Block]] = {}
    for block in blocks:
        grouped.setdefault(block.title, []).append(block)
    return grouped


def _blocks(section: Section, delimiter: str, encoding: str, problems: list[Problem]) -> list[_Block]:
    blocks: list[_Block] = []
    title = section.title
    for row, cells in section.rows(delimiter, encoding):
        known = names.known_in(title)
        if not known.isdisjoint(cells):
            blocks.append(_Block(title, row, _repaired(title, row, cells, problems)))
        elif (owner := names.owner_of(cells)) is not None:
            problems.append(Problem("untitled_section", owner, row, "names without their title row"))
            title = owner
            blocks.append(_Block(title, row, _repaired(title, row, cells, problems)))
        elif not blocks or (title not in _TABLES and blocks[-1].values and not _any_number(cells)):
            blocks.append(_Block(title, row, _repaired(title, row, cells, problems)))
        else:
            blocks[-1].values.append((row, cells))
    return blocks


def _any_number(cells: Cells) -> bool:
    return any(_NUMBER.fullmatch(cell) for cell in cells if cell)


def _repaired(title: str, row: int, cells: Cells, problems: list[Problem]) -> Cells:
    """A row of names with what damaged it undone, each repair named."""
    known = names.known_in(title)
    if not known or known.issuperset(cells):
        return cells
    repaired: Cells = []
    for cell in cells:
        meant = (cell,) if cell in known or not cell else _meant(cell, known)
        if meant != (cell,):
            kind = "missing_tab" if len(meant) == 2 else "damaged_name"
            kind = "double_encoding" if names.repaired_name(cell) != cell else kind
            read = ", ".join(map(repr, meant))
            problems.append(Problem(kind, title, row, f"{cell!r} read as {read}"))
        repaired.extend(meant)
    return repaired


def _meant(cell: str, known: frozenset[str]) -> tuple[str, ...]:
    name = names.repaired_name(cell)
    if name != cell:
        return (name,)
    near = names.split_glued(cell, known) or names.closest(cell, known)
    return (near,) if isinstance(near, str) else near or (cell,)


def _pairs(title: str, blocks: list[_Block], problems: list[Problem]) -> dict[str, str]:
    if title == names.BOX:
        blocks = _joined_box(blocks, problems)
    pairs: dict[str, str] = {}
    for block in blocks:
        row, values = block.values[0] if block.values else (block.row, [])
        _note_surplus(block, row, values, problems)
        for surplus_row, _ in block.values[1:]:
            problems.append(Problem("surplus_row", title, surplus_row, "a further row of values left out"))
        for place, name in enumerate(block.names):
            if name:
                pairs.setdefault(name, values[place] if place < len(values) else "")
    return pairs


def _joined_box(blocks: list[_Block], problems: list[Problem]) -> list[_Block]:
    """Version 4 breaks the row of names in two, repeating one name; its values come in one row, or in two."""
    if len(blocks) < 2:
        return blocks
    first, resumed = blocks[0], blocks[1]
    problems.append(Problem("broken_names", names.BOX, resumed.row, "the row of names breaks and resumes"))
    if first.values or not resumed.values or len(resumed.values[0][1]) <= len(resumed.names):
        return blocks
    values = resumed.values[0][1]
    if len(resumed.values) > 1 and len(values) <= len(first.names):
        first_part = _Block(names.BOX, first.row, first.names, resumed.values[:1])
        return [first_part, _Block(names.BOX, resumed.row, resumed.names, resumed.values[1:]), *blocks[2:]]
    place = len(first.names) - 1
    twice = len(values) > place + 1 and all(map(_DAY.fullmatch, values[place - 1 : place + 2]))
    repeated = twice or len(values) == len(first.names) + len(resumed.names)
    later = resumed.names if repeated else [name for name in resumed.names if name not in first.names]
    return [_Block(names.BOX, first.row, [*first.names, *later], resumed.values), *blocks[2:]]


def _table(block: _Block, problems: list[Problem]) -> pl.DataFrame:
    """One row of names and many of values; a column is numeric where most of its cells are."""
    if block.values:
        row, widest = max(block.values, key=lambda value: len(value[1]))
        _note_surplus(block, row, widest, problems)
    columns: dict[str, Sequence[float | None] | Sequence[str]] = {}
    for place, name in enumerate(block.names):
        cells = [values[place] if place < len(values) else "" for _, values in block.values]
        columns.setdefault(names.column_name(name), _typed(block, name, cells, problems))
    # A column without any value would have no type.
    empty = {name: pl.Float64 for name, values in columns.items() if not any(map(_is_given, values))}
    rows = list(zip(*columns.values(), strict=True))
    # By rows it takes an eighth of the time that it takes by columns.
    return pl.DataFrame(rows, schema=list(columns), schema_overrides=empty, orient="row")


def _is_given(value: float | str | None) -> bool:
    return value is not None


def _typed(
    block: _Block, name: str, cells: Cells, problems: list[Problem]
) -> Sequence[float | None] | Sequence[str]:
    values = [number(cell) if cell else None for cell in cells]
    unread = [
        place for place, (cell, value) in enumerate(zip(cells, values, strict=True)) if cell and value is None
    ]
    if 2 * len(unread) > sum(map(bool, cells)):
        return cells
    for place in unread:
        detail = f"{name} {cells[place]!r} is not a number: left empty"
        problems.append(Problem("not_a_number", block.title, block.values[place][0], detail))
    return values


def _note_surplus(block: _Block, row: int, values: Cells, problems: list[Problem]) -> None:
    if len(values) > len(block.names):
        detail = f"{len(values)} values for {len(block.names)} names: the last ones are left out"
        problems.append(Problem("surplus_values", block.title, row, detail))
