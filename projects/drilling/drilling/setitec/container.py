"""From a file's bytes to its titled sections: encoding, line ends, delimiter, titles."""

import re
from dataclasses import dataclass

from drilling.setitec.problem import Problem

_TITLE = re.compile(r"^[ \t;\"]*\*{3}[ ]*([^*\n]+?)[ ]*\*{3}[^\n]*$", re.MULTILINE)
_DATA_TITLES = frozenset({"datas", "data"})
_ESCAPED_NUL = "\\u0000"


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a log: its text without the title row, and the line its text begins on."""

    title: str
    first_row: int
    body: str

    def rows(self, delimiter: str) -> list[tuple[int, list[str]]]:
        """Every row as (line of the file, stripped cells)."""
        return [
            (self.first_row + offset, [cell.strip().strip('"') for cell in line.split(delimiter)])
            for offset, line in enumerate(self.body.split("\n"))
        ]


@dataclass(frozen=True, slots=True)
class Container:
    """A log cut into sections; `data` is None where no section holds samples."""

    header: tuple[Section, ...]
    data: Section | None
    delimiter: str
    problems: tuple[Problem, ...]


def open_container(raw: bytes) -> Container:
    """Cut a log's bytes into sections. A file without any title is taken as samples alone."""
    problems: list[Problem] = []
    text = _decode(raw).replace("\r\n", "\n").replace("\r", "\n")
    text = _without_nul(text, problems)
    delimiter = _delimiter(text, problems)
    header, data = _sections(text, problems)
    return Container(tuple(header), data, delimiter, tuple(problems))


def _decode(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def _without_nul(text: str, problems: list[Problem]) -> str:
    for mark in ("\0", _ESCAPED_NUL):
        if mark in text:
            row = text.count("\n", 0, text.index(mark)) + 1
            problems.append(Problem("nul_character", None, row, f"{text.count(mark)} removed"))
            text = text.replace(mark, "")
    return text


def _delimiter(text: str, problems: list[Problem]) -> str:
    if text.count(";") > text.count("\t"):
        problems.append(Problem("delimiter", None, None, "cells are separated by ';', not by tabs"))
        return ";"
    return "\t"


def _sections(text: str, problems: list[Problem]) -> tuple[list[Section], Section | None]:
    titles = list(_TITLE.finditer(text))
    if not titles:
        problems.append(Problem("no_header", None, None, "no section titles: taken as samples alone"))
        return [], Section("Datas", 1, text)
    header: list[Section] = []
    data: Section | None = None
    row, counted = 1, 0
    for title, following in zip(titles, [*titles[1:], None], strict=True):
        row += text.count("\n", counted, title.start())
        counted = title.start()
        name = title.group(1).strip()
        end = following.start() if following else len(text)
        section = Section(name, row + 1, text[title.end() + 1 : end])
        if name.lower() not in _DATA_TITLES:
            header.append(section)
        elif data is None:
            data = section
        else:
            problems.append(Problem("repeated_section", name, row, "only the first is read"))
    return header, data
