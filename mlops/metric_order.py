"""Which of many metrics people look at first."""

from __future__ import annotations

import re
from collections.abc import Iterable


def by_kinship(names: Iterable[str], primary: str) -> list[str]:
    """The primary metric, then those that share most words with its name: `val_entry_mae_mm` before
    `seconds_export` where `val_mae_mm` is primary. Else by name."""
    words = _words(primary)
    return sorted(names, key=lambda name: (name != primary, -len(words & _words(name)), name))


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9]+", name.lower()) if word}
