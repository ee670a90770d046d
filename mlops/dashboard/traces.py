"""Runs as lines of charts: each keeps its colour on every page, since that follows from its id."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mlops.store.indexed_runs import IndexedRun

TONES = 8
"""Colours of lines, which people who are colour-blind tell apart as well (`lines.css`)."""
DASHES = 4
"""Ways to draw a line, for runs of one colour on one page."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A run as a line."""

    project: str
    id: str
    name: str
    tone: int
    dash: int
    begun_ms: int
    """When it began, in ms since 1970."""
    goes_on: bool

    @property
    def reference(self) -> str:
        """As URLs name it."""
        return f"{self.project}/{self.id}"

    @property
    def drawn(self) -> dict[str, Any]:
        """What the script that draws it is told."""
        return {
            "url": f"/api/runs/{quote(self.project, safe='')}/{quote(self.id, safe='')}/series",
            "name": self.name,
            "tone": self.tone,
            "dash": self.dash,
            "begun": self.begun_ms / 1000,
            "goesOn": self.goes_on,
        }


def tone_of(run_id: str) -> int:
    """The colour of a run by MLflow's id, from 0 on."""
    return zlib.crc32(run_id.encode("utf-8", "replace")) % TONES


def traces(runs: Iterable[IndexedRun]) -> tuple[Trace, ...]:
    """The lines of runs on one page."""
    seen = Counter[int]()
    found = []
    for run in runs:
        tone = tone_of(run.id)
        found.append(
            Trace(
                run.project, run.id, run.name or run.id[:8], tone, seen[tone] % DASHES,
                round(run.started_at.timestamp() * 1000), not run.is_over,
            )
        )  # fmt: skip
        seen[tone] += 1
    return tuple(found)
