"""The templates: everything they print is escaped, and a name that is not given is an error."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mlops.dashboard import formats, sparks
from mlops.dashboard.assets import Assets

FOLDER = Path(__file__).parent
_WORTH_IT = 1024
"""Bytes from which on a page is compressed."""


class Templates:
    """Renders pages, and single blocks of them."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(asset=assets.url, link=link)
        self._environment.filters.update(
            {
                each.__name__: each
                for each in (
                    *(formats.number, formats.exact, formats.duration, formats.ago, formats.commands),
                    *(formats.percent, formats.size, formats.latency, formats.energy, formats.rate),
                    sparks.spark,
                )
            }
        )

        # Globals, since a block that is rendered alone runs none of its template's imports.
        for name, macros in (("ui", "macros.html"), ("lines", "lines.html")):
            self._environment.globals[name] = self._environment.get_template(macros).module

    def render(
        self, template: str, status: int = 200, *, block: str = "", compressed: bool = False, **values: Any
    ) -> HTMLResponse:
        """A page, or one block of it; `now` is known to all of them."""
        found = self._environment.get_template(template)
        values = {"now": datetime.now(UTC), **values}
        text = "".join(found.blocks[block](found.new_context(values))) if block else found.render(values)
        # What callers choose (run names, logs) may hold a lone surrogate, which no page can carry.
        content = text.encode("utf-8", "replace")
        headers = {"Vary": "Accept-Encoding, HX-Target"}
        if compressed and len(content) >= _WORTH_IT:
            content = gzip.compress(content, 5)
            headers["Content-Encoding"] = "gzip"
        return HTMLResponse(content, status, headers=headers)


def link(path: str, /, **query: str | Sequence[str] | None) -> str:
    """A URL of ours; fields that are empty or None are left out, and several values of one are repeated."""
    stated = urlencode({name: value for name, value in query.items() if value}, doseq=True)
    return f"{path}?{stated}" if stated else path
