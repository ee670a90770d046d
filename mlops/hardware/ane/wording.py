"""Numbers, names and errors as a report prints them."""

from __future__ import annotations

from math import floor

_LONGEST = 200


def percent(share: float) -> str:
    """A share from 0 to 1 in percent with one decimal, cut and not rounded: 99.96 is not all."""
    if share >= 1:
        return "100.0"
    return f"{min(floor(1000 * share + 1e-9), 999) / 10:.1f}"


def printable(text: str) -> str:
    """Text of a model on one line: what moves or colours a terminal is written as its escape."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def first_line(error: Exception) -> str:
    """What an error of another's tool says, as far as it fits into ours; its class where it says nothing."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST])
