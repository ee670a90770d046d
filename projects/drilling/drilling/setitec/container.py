"""From a file's bytes to its titled sections: encoding, line ends, delimiter, titles.

The samples are nine tenths of a file, so they stay bytes; only what stands before them is decoded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from drilling.setitec import names
from drilling.setitec.problem import Problem

_STARS = b"***"
_TITLE = re.compile(r'^[ \t;"]*(\**)[ ]*([^*\t;"]*?)[ ]*(\**)[ \t;"]*$')
_DATA_TITLES = frozenset({"Datas", "Data"})
_LEAST_NUMERIC_ROWS = 8
_LEAST_NUMERIC_CELLS = 5
_NUMERIC_CELL = re.compile(rb"^ *-?\d+[.,]?\d* *$")


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a log: its bytes without the title row, and the line that they begin on."""

    title: str
    first_row: int
    body: bytes

    def rows(self, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
        """Every row that is not blank as (line of the file, stripped cells without the padding)."""
        padding = f" {delimiter}"
        for offset, line in enumerate(self.body.decode(encoding).split("\n")):
            bare = line.rstrip(padding)
            if bare:
                yield self.first_row + offset, [cell.strip(' "') for cell in bare.split(delimiter)]


@dataclass(frozen=True, slots=True)
class Container:
    """A log cut into sections; `data` is None where no section holds samples."""

    header: tuple[Section, ...]
    data: Section | None
    delimiter: str
    encoding: str
    problems: tuple[Problem, ...]


def open_container(raw: bytes) -> Container:
    """Cut a log's bytes into sections. A file without any title is taken as samples alone."""
    problems: list[Problem] = []
    raw = _plain_text(raw, problems)
    delimiter = _delimiter(raw, problems)
    sections = _sections(raw, problems)
    header, data = _told_apart(sections, delimiter, problems)
    encoding = _encoding(b"".join(section.body for section in header))
    return Container(tuple(header), data, delimiter, encoding, tuple(problems))


def _plain_text(raw: bytes, problems: list[Problem]) -> bytes:
    """The bytes without marks of byte order, NULs and returns; UTF-16 becomes UTF-8."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raw = raw.decode("utf-16", errors="replace").encode()
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for first, mark in ((b"\0", b"\0"), (b"\\", b"\\u0000")):
        if first in raw and mark in raw:
            row = raw.count(b"\n", 0, raw.index(mark)) + 1
            problems.append(Problem("nul_character", None, row, f"{raw.count(mark)} removed"))
            raw = raw.replace(mark, b"")
    return raw


def _delimiter(raw: bytes, problems: list[Problem]) -> str:
    if b";" in raw and raw.count(b";") > raw.count(b"\t"):
        problems.append(Problem("delimiter", None, None, "cells are separated by ';', not by tabs"))
        return ";"
    return "\t"


def _encoding(header: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        try:
            header.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _sections(raw: bytes, problems: list[Problem]) -> list[Section]:
    """The file cut at its title rows; what stands before the first one is a section without a title."""
    sections: list[Section] = []
    title, begin, row = "", 0, 1
    for start, end, name in _titles(raw, problems):
        body = raw[begin:start]
        if title or body.strip(b" \t;\n"):
            sections.append(Section(title, row, body))
        row += raw.count(b"\n", begin, min(end + 1, len(raw)))
        title, begin = name, end + 1
    sections.append(Section(title, row, raw[begin:]))
    return sections


def _titles(raw: bytes, problems: list[Problem]) -> Iterator[tuple[int, int, str]]:
    """Each title row as (its first byte, the byte after its last, the title)."""
    place = raw.find(b"*")
    while place >= 0:
        start = raw.rfind(b"\n", 0, place) + 1
        end = raw.find(b"\n", place)
        end = len(raw) if end < 0 else end
        line = raw[start:end]
        name = _title_of(line.decode("latin-1")) if _STARS in line else None
        if name is not None:
            title = names.section_title(name)
            if title != name:
                row = raw.count(b"\n", 0, start) + 1
                problems.append(Problem("damaged_title", title, row, f"{name!r} read as {title!r}"))
            yield start, end, title
        place = raw.find(b"*", end)


def _title_of(line: str) -> str | None:
    """The title that a row with three asterisks says; None where it is another row."""
    match = _TITLE.match(line)
    if match and match[2] and (len(match[1]) >= 3) and (len(match[3]) >= 3):
        return match[2]
    bare = line.strip('* \t;"')
    return bare if names.section_title(bare) in names.TITLES else None


def _told_apart(
    sections: list[Section], delimiter: str, problems: list[Problem]
) -> tuple[list[Section], Section | None]:
    """The sections before the samples, and the samples; looked for in the others where no title says so."""
    header = [section for section in sections if section.title not in _DATA_TITLES]
    titled = [section for section in sections if section.title in _DATA_TITLES]
    filled = [section for section in titled if section.body.strip(b" \t;\n")]
    if filled:
        data = max(filled, key=lambda section: (_names_first(section, delimiter), -filled.index(section)))
        others = [section for section in filled if section is not data]
        for section in others:
            row = section.first_row - 1
            problems.append(Problem("repeated_section", section.title, row, "only one is read as samples"))
        return header + [section for section in others if not _names_first(section, delimiter)], data
    for place, section in enumerate(header):
        found = _untitled_samples(section, delimiter)
        if found is not None:
            before, data = found
            problems.append(_missing_title(sections, data))
            return [*header[:place], *([before] if before.body else []), *header[place + 1 :]], data
    return header, None


def _names_first(section: Section, delimiter: str) -> bool:
    """Whether a section begins with the names of samples, or with numbers where there are no names."""
    line = section.body.lstrip(b" \t;\n").partition(b"\n")[0]
    return names.names_samples(line, delimiter) or bool(
        _NUMERIC_CELL.match(line.split(delimiter.encode())[0])
    )


def _missing_title(sections: list[Section], data: Section) -> Problem:
    if any(section.title for section in sections):
        return Problem("untitled_samples", names.DATAS, data.first_row, "samples without their title row")
    return Problem("no_header", None, None, "no section titles: taken as samples alone")


def _untitled_samples(section: Section, delimiter: str) -> tuple[Section, Section] | None:
    """A section cut where samples begin in it: at their row of names, else at many rows of numbers."""
    lines = section.body.split(b"\n")
    start = next((n for n, line in enumerate(lines) if names.names_samples(line, delimiter)), None)
    if start is None:
        start = _first_numeric(lines, delimiter.encode())
    if start is None:
        return None
    begin = sum(map(len, lines[:start])) + start
    return (
        Section(section.title, section.first_row, section.body[:begin]),
        Section(names.DATAS, section.first_row + start, section.body[begin:]),
    )


def _first_numeric(lines: list[bytes], delimiter: bytes) -> int | None:
    """Where rows of numbers begin: the start of eight rows in a row, equally wide, or of all rows there are.

    Rows right before them that are as wide count as well, though a cell of theirs is damaged.
    """
    rows = [line.rstrip(b" \t;").split(delimiter) for line in lines]
    length, width, start = 0, 0, None
    for number, cells in enumerate(rows):
        numeric = len(cells) >= _LEAST_NUMERIC_CELLS and all(map(_NUMERIC_CELL.match, cells))
        length = length + 1 if numeric and len(cells) == width else int(numeric)
        width = len(cells)
        last = not any(map(any, rows[number + 1 :])) if numeric and length == number + 1 else False
        if length == _LEAST_NUMERIC_ROWS or last:
            start = number - length + 1
            break
    while (
        start
        and len(rows[start - 1]) == width
        and 2 * sum(map(bool, map(_NUMERIC_CELL.match, rows[start - 1]))) >= width
    ):
        start -= 1
    return start
