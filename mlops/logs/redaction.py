"""Takes out of a text what must not be read: credentials by their form, and the secrets that are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

HIDDEN = "***"
"""Stands where a secret was."""

_LEAST_CHARS = 8
"""Of a known secret: a shorter one would be found in ordinary words."""

# Each keeps its first group. By form, so that tokens of others are caught, too.
_FORMS = (
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}"),
    re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'\"]*:)[^\s/@'\"]+(?=@)"),
    re.compile(
        r"(?i)([A-Za-z0-9_-]*(?:password|passwd|secret|token|ticket|api[_-]?key|authorization|cookie)"
        r"['\"]?\s*[=:]\s*['\"]?)(?!bearer\b|basic\b|\*\*\*)[^\s'\",;&)}\]]{6,}"
    ),
)


class Redactor:
    """Replaces secrets by `HIDDEN`. Those of the files in `folder` are read again whenever one was added or
    changed; `also` are further ones. It never raises: an unreadable folder adds nothing."""

    def __init__(self, folder: Path | None = None, also: Iterable[str] = ()) -> None:
        self._folder = folder
        self._also = frozenset(also)
        self._seen_ns: int | None = None
        self._known = _pattern(self._also)

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        self._look()
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for form in _FORMS:
            text = form.sub(rf"\1{HIDDEN}", text)
        return text

    def _look(self) -> None:
        if self._folder is None:
            return
        try:
            changed_ns = self._folder.stat().st_mtime_ns
            if changed_ns != self._seen_ns:
                self._known = _pattern(self._also | _contents(self._folder))
                self._seen_ns = changed_ns
        except OSError:
            return


def _contents(folder: Path) -> set[str]:
    found = set()
    for path in folder.iterdir():
        if path.is_file():
            found.add(path.read_text(encoding="utf-8", errors="replace").strip())
    return found


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    spellings = {
        spelling
        for secret in secrets
        if len(secret) >= _LEAST_CHARS
        for spelling in (secret, quote(secret, safe=""), repr(secret)[1:-1])
    }
    if not spellings:
        return None
    # The longest first: a secret may begin with another one.
    return re.compile("|".join(re.escape(each) for each in sorted(spellings, key=len, reverse=True)))
