"""What a benchmark reports."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def p95(values: Sequence[float]) -> float:
    """The value that a twentieth of them exceed."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


@dataclass(frozen=True)
class Comparison:
    """Ours against a peer, measured in pairs."""

    name: str
    unit: str
    ours: Sequence[float]
    peer_name: str
    peer: Sequence[float]
    bar: float | None
    """The most that ours / peer may be; None is for a ratio that is only told."""
    at_least: bool = False
    """Whether the bar is the least that it must be instead."""

    @property
    def ratios(self) -> list[float]:
        """Ours over the peer's, pair by pair."""
        return [mine / theirs for mine, theirs in zip(self.ours, self.peer, strict=True)]

    def row(self) -> list[str]:
        """A line of the table."""
        ratio = statistics.median(self.ratios)
        row = [
            self.name,
            _figure(self.ours, self.unit),
            f"{self.peer_name}: {_figure(self.peer, self.unit)}",
            f"{_ratio(ratio)} ({_ratio(min(self.ratios))}–{_ratio(max(self.ratios))})",
        ]
        if self.bar is None:
            return [*row, "–", "–"]
        met = ratio >= self.bar if self.at_least else ratio <= self.bar
        return [*row, f"{'≥' if self.at_least else '≤'} {self.bar:g}", "met" if met else "MISSED"]


@dataclass(frozen=True)
class Measure:
    """A figure of ours against a fixed bar."""

    name: str
    unit: str
    ours: Sequence[float]
    bar: float | None
    """The most it may be; None is for a figure that is only told."""
    at_least: bool = False
    """Whether the bar is the least that it must be instead."""

    def row(self) -> list[str]:
        """A line of the table."""
        row = [self.name, _figure(self.ours, self.unit), "–", "–"]
        if self.bar is None:
            return [*row, "–", "–"]
        figure = statistics.median(self.ours)
        met = figure >= self.bar if self.at_least else figure <= self.bar
        sign = "≥" if self.at_least else "≤"
        return [*row, f"{sign} {self.bar:g} {self.unit}", "met" if met else "MISSED"]


Result = Comparison | Measure
HEADER = ["benchmark", "ours: median (min–max)", "peer: median (min–max)", "ratio", "bar", "verdict"]


def _figure(values: Sequence[float], unit: str) -> str:
    median = _short(statistics.median(values))
    if len(values) == 1:
        return f"{median} {unit}"
    return f"{median} ({_short(min(values))}–{_short(max(values))}) {unit}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
