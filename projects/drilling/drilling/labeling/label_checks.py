"""Checks of a label's fields: each returns the plain value, or raises InvalidLabel for the log `file`."""

import math
import operator
from datetime import datetime, timedelta
from numbers import Real
from pathlib import PurePosixPath
from typing import NoReturn, SupportsIndex

from drilling.labeling.label_errors import InvalidLabel

_DIGEST_LENGTH = 64
_HEXADECIMAL = frozenset("0123456789abcdef")


def check_file(file: object) -> None:
    """A relative path, with `/`, that stays below its folder."""
    if not isinstance(file, str) or not file or "\0" in file:
        refuse(str(file), "file", "is not a path")
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "/".join(path.parts) != file:
        refuse(file, "file", "is not a plain path below the folder of logs, with / between its parts")
    if not _encodes(file):
        refuse(file, "file", "is not UTF-8")


def check_text(file: str, name: str, value: object) -> None:
    """Text with something in it, and nothing that a file of text cannot hold."""
    if not isinstance(value, str):
        refuse(file, name, f"is {value!r}, not a text")
    if not value.strip():
        refuse(file, name, "is empty")
    if "\0" in value or not _encodes(value):
        refuse(file, name, "holds a character that no text file can hold")


def check_time(file: str, at: object) -> None:
    """A moment in UTC that says so."""
    if not isinstance(at, datetime) or at.utcoffset() != timedelta(0):
        refuse(file, "at", f"is {at!r}, not a time in UTC")


def check_digest(file: str, digest: object) -> None:
    """A sha256 in hexadecimal."""
    if not isinstance(digest, str) or len(digest) != _DIGEST_LENGTH or not _HEXADECIMAL.issuperset(digest):
        refuse(file, "log_digest", f"is {digest!r}, not a sha256 in lower-case hexadecimal")


def depth_of(file: str, name: str, value: object) -> float | None:
    """A depth in mm from 0, or None."""
    depth = _number(file, name, value)
    if depth is not None and depth < 0:
        refuse(file, name, f"is {depth:g}: depths grow downward from 0")
    return depth


def confidence_of(file: str, value: object) -> float | None:
    """A confidence from 0 to 1, or None."""
    confidence = _number(file, "confidence", value)
    if confidence is not None and not 0 <= confidence <= 1:
        refuse(file, "confidence", f"is {confidence:g}, not from 0 to 1")
    return confidence


def index_of(file: str, name: str, value: object) -> int | None:
    """A sample's number from 0, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        refuse(file, name, f"is {value!r}, not a whole number")
    index = operator.index(value)
    if index < 0:
        refuse(file, name, f"is {index}: samples are counted from 0")
    return index


def refuse(file: str, name: str, problem: str) -> NoReturn:
    """Raise InvalidLabel."""
    raise InvalidLabel(file, name, problem)


def _number(file: str, name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        refuse(file, name, f"is {value!r}, not a number")
    try:
        number = float(value)
    except OverflowError:
        refuse(file, name, "is too large")
    if not math.isfinite(number):
        refuse(file, name, f"is {number}, not finite")
    return number


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
