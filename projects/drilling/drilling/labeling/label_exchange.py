"""Labels as one JSON or CSV file, to hand to others and to take from them."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from drilling.labeling.keypoints import KEY_POINTS
from drilling.labeling.label import INDEXES, Label, label_from, to_values
from drilling.labeling.label_errors import ImportRefused, InvalidLabel, LabelsUnreadable

COLUMNS = tuple(field.name for field in fields(Label))
"""The columns of the CSV form, and the keys of each label in the JSON form."""

_FORMAT = "drilling labels"
_READ: Mapping[str, Callable[[str], float | int]] = {
    **dict.fromkeys((*KEY_POINTS, "confidence"), float),
    **dict.fromkeys(INDEXES, int),
}


def to_json(labels: Iterable[Label]) -> bytes:
    """`{"format": "drilling labels", "labels": [...]}`, a label a line."""
    lines = ",\n".join(json.dumps(to_values(label), ensure_ascii=False) for label in labels)
    return f'{{"format": {json.dumps(_FORMAT)}, "labels": [\n{lines}\n]}}\n'.encode()


def to_csv(labels: Iterable[Label]) -> bytes:
    """A row per label under COLUMNS, comma-separated, with an empty cell for None."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(to_values(label) for label in labels)
    return text.getvalue().encode()


def from_json(path: Path) -> tuple[Label, ...]:
    """The labels of a file that `to_json` made.

    Raises LabelsUnreadable where it is no such file, ImportRefused with every entry that is no label.
    """
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise LabelsUnreadable(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise LabelsUnreadable(path, f'it is not an object whose "format" is "{_FORMAT}"')
    labels = content.get("labels")
    if not isinstance(labels, list):
        raise LabelsUnreadable(path, 'it has no list of "labels"')
    return _labels(path, enumerate(labels, 1))


def from_csv(path: Path) -> tuple[Label, ...]:
    """The labels of a CSV file; columns that may be empty may be left out.

    Raises LabelsUnreadable where it is no such file, ImportRefused with every line that is no label.
    """
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        names = list(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise LabelsUnreadable(path, f"line {reader.reader.line_num} is not CSV: {error}") from error
    if "file" not in names:
        raise LabelsUnreadable(path, "its first line has no column `file`; columns are divided by commas")
    if len(set(names)) < len(names):
        raise LabelsUnreadable(path, "its first line names a column twice")
    return _labels(path, ((line, _cells(row)) for line, row in rows))


def _labels(path: Path, rows: Iterable[tuple[int, object]]) -> tuple[Label, ...]:
    labels: list[Label] = []
    refused: list[tuple[int, str]] = []
    for place, values in rows:
        if not isinstance(values, dict):
            refused.append((place, values if isinstance(values, str) else "it is not an object"))
            continue
        try:
            labels.append(label_from(values))
        except InvalidLabel as error:
            refused.append((place, error.message))
    if refused:
        raise ImportRefused(path, tuple(refused))
    return tuple(labels)


def _cells(row: Mapping[str | None, Any]) -> dict[str, Any] | str:
    """A row's values with their types; or what is wrong with the row."""
    if None in row or None in row.values():
        return "it has more or fewer cells than the first line"
    values: dict[str, Any] = {}
    for name, cell in row.items():
        read = _READ.get(str(name))
        try:
            values[str(name)] = None if cell == "" else read(cell) if read else cell
        except ValueError:
            return f"{name} is {cell!r}, not a number with a decimal point"
    return values


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise LabelsUnreadable(path, error.strerror or "it cannot be opened") from error
    except UnicodeDecodeError as error:
        raise LabelsUnreadable(path, "it is not UTF-8") from error
