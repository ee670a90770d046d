"""How commands answer: a table for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
ProjectOption = Annotated[
    str | None,
    typer.Option("--project", "-p", help="The project; by default that of the folder we are in."),
]

_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def to_json(value: object) -> str:
    """JSON of entities, and of what is made of them."""
    return json.dumps(value, default=_plain, indent=2)


def emit(value: object, as_json: bool, text: str) -> None:
    """Print `value` as JSON, or `text`."""
    print(to_json(value) if as_json else text)


def emit_table(rows: Sequence[Mapping[str, Any]], as_json: bool, empty: str) -> None:
    """Print rows as JSON, or as a table with the first row's keys as its header; `empty` says what to
    do when there are none."""
    if as_json:
        print(to_json(rows))
    elif not rows:
        print(empty)
    else:
        print(table([list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]))


def table(lines: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart. Written here because importing rich costs more than a whole
    `mlops:status` may, and its boxes do not survive a `grep`."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def age(moment: datetime | None) -> str:
    """How long ago, in its two largest units: `3 min`, `1 h 03 min`, `2 d 04 h`."""
    if moment is None:
        return "-"
    seconds = int((datetime.now(UTC) - moment).total_seconds())
    if seconds < 60:
        return f"{max(seconds, 0)} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600:02d} h"


def size(amount: float) -> str:
    """Bytes for people: `195.0 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def count(number: int, noun: str) -> str:
    """`1 file`, `1,300 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def say(text: str) -> None:
    """A remark to the person at the terminal; never part of the answer."""
    print(text, file=sys.stderr)


def harmless(text: str) -> str:
    """The text without the characters that a terminal would act on: strangers may have chosen it."""
    return _ACTING.sub("\N{REPLACEMENT CHARACTER}", text)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return age(value)
    return "-" if value is None or value == "" else str(value)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
