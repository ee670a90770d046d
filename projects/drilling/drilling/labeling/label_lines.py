"""Labels as lines of JSON, one file of lines per log, and which of a log's labels holds."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drilling.errors import DrillingError
from drilling.labeling.label import Entry, Label, Retraction, label_from, retraction_from, to_values

SUFFIX = ".jsonl"
_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Entry]] = {
    "label": label_from,
    "retraction": retraction_from,
}


@dataclass(frozen=True, slots=True)
class LabelProblem:
    """A line that was left out: `torn_line` where a crash cut off the last, else `unreadable_line`.

    `line` is counted from 1.
    """

    kind: str
    path: Path
    line: int
    detail: str


def line_of(entry: Entry) -> bytes:
    """The entry as one line; the file's name tells the log, so that labels move with a renamed log."""
    values = to_values(entry)
    del values["file"]
    event = "retraction" if isinstance(entry, Retraction) else "label"
    return json.dumps({"event": event, **values}, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def entries_of(file: str, path: Path, content: bytes) -> tuple[tuple[Entry, ...], tuple[LabelProblem, ...]]:
    """A log's labels and retractions, oldest first, and the lines that are none."""
    entries: list[Entry] = []
    problems: list[LabelProblem] = []
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entries.append(_entry(file, line))
        except (DrillingError, ValueError, RecursionError) as error:
            kind = "torn_line" if number == len(lines) else "unreadable_line"
            detail = error.message if isinstance(error, DrillingError) else str(error)
            problems.append(LabelProblem(kind, path, number, detail))
    return tuple(sorted(entries, key=lambda entry: entry.at)), tuple(problems)


def in_force(entries: Iterable[Entry]) -> Label | None:
    """The newest label of a person that was not retracted, else the newest of a method or a model."""
    return newest_human(entries) or newest_other(entries)


def newest_human(entries: Iterable[Entry]) -> Label | None:
    """The newest label of a person, unless a retraction came after it; entries are oldest first."""
    found: Label | None = None
    for entry in entries:
        if isinstance(entry, Retraction):
            found = None
        elif entry.source == "human":
            found = entry
    return found


def newest_other(entries: Iterable[Entry], like: Label | None = None) -> Label | None:
    """The newest label that is no person's; with `like`, of that one's source and method."""
    found: Label | None = None
    for entry in entries:
        if isinstance(entry, Retraction) or entry.source == "human":
            continue
        if like is None or (entry.source, entry.method) == (like.source, like.method):
            found = entry
    return found


def _entry(file: str, line: bytes) -> Entry:
    values = json.loads(line.decode())
    if not isinstance(values, dict):
        raise ValueError("it is not an object")
    event = values.pop("event", None)
    if not isinstance(event, str) or event not in _KINDS:
        raise ValueError(f"its event is {event!r}, not one of {', '.join(_KINDS)}")
    if "file" in values:
        raise ValueError("it names a file, which is the name of the file of lines")
    return _KINDS[event]({**values, "file": file})
