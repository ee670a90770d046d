"""What a benchmark reports."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Ours against a peer, measured in pairs."""

    name: str
    unit: str
    ours: Sequence[float]
    peer_name: str
    peer: Sequence[float]
    bar: float
    """The most that ours / peer may be."""

    @property
    def ratios(self) -> list[float]:
        """Ours over the peer's, pair by pair."""
        return [mine / theirs for mine, theirs in zip(self.ours, self.peer, strict=True)]

    def row(self) -> list[str]:
        """A line of the table."""
        ratio = statistics.median(self.ratios)
        return [
            self.name,
            _figure(self.ours, self.unit),
            f"{self.peer_name}: {_figure(self.peer, self.unit)}",
            f"{ratio:.2f} ({min(self.ratios):.2f}–{max(self.ratios):.2f})",
            f"≤ {self.bar:g}",
            "met" if ratio <= self.bar else "MISSED",
        ]


@dataclass(frozen=True)
class Measure:
    """A figure of ours against a fixed bar."""

    name: str
    unit: str
    ours: Sequence[float]
    bar: float

    def row(self) -> list[str]:
        """A line of the table."""
        median = statistics.median(self.ours)
        verdict = "met" if median <= self.bar else "MISSED"
        return [self.name, _figure(self.ours, self.unit), "–", "–", f"≤ {self.bar:g} {self.unit}", verdict]


Result = Comparison | Measure
HEADER = ["benchmark", "ours: median (min–max)", "peer: median (min–max)", "ratio", "bar", "verdict"]


def _figure(values: Sequence[float], unit: str) -> str:
    return f"{_short(statistics.median(values))} ({_short(min(values))}–{_short(max(values))}) {unit}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
