"""Lines of a tool's output, of which the last may be cut."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LONGEST_NAME = 100
_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end."""

    text: str
    ended: bool
    """False for a last line without a line end: more may have followed, so that a number or a name in it
    counts only where something after it shows that it is whole."""


def lines(data: bytes) -> list[Line]:
    """The lines; what is not UTF-8 becomes U+FFFD, which no figure contains."""
    *ended, last = data.decode("utf-8", errors="replace").split("\n")
    return [*(Line(each.rstrip("\r"), True) for each in ended), *([Line(last, False)] if last else [])]


def readable(value: str) -> str | None:
    """The text, stripped, where it is short and can be shown."""
    value = value.strip()
    shown = 0 < len(value) <= _LONGEST_NAME and value.isprintable() and "\ufffd" not in value
    return value if shown else None


def digits(value: str) -> int | None:
    """The number that plain decimal digits make, else None."""
    return int(value) if _DIGITS.fullmatch(value) else None
