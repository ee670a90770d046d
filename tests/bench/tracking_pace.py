"""Calls at a steady rate, each timed: shared by ours and by the peers, so it needs the standard library
alone."""

from __future__ import annotations

import json
import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path


def names(width: int) -> list[str]:
    """The metrics' names."""
    return [f"m{number}" for number in range(width)]


def values(keys: Sequence[str], step: int) -> dict[str, float]:
    """One call's metrics; no two steps are alike."""
    return {key: step * 0.001 + number for number, key in enumerate(keys)}


def timed(call: Callable[[dict[str, float], int], object], calls: int, rate: float, width: int) -> array[int]:
    """Nanoseconds that each call took, at `rate` calls a second; 0 is as fast as it goes. A call that was
    late does not shift those behind it."""
    taken = array("q", bytes(8 * calls))
    keys, clock = names(width), time.perf_counter_ns
    gap = 1e9 / rate if rate else 0.0
    begun = clock()
    for step in range(calls):
        metrics = values(keys, step)
        if (early := begun + step * gap - clock()) > 0:
            time.sleep(early / 1e9)
        at = clock()
        call(metrics, step)
        taken[step] = clock() - at
    return taken


def summary(taken: Sequence[int]) -> dict[str, float]:
    """Median, 99th percentile and longest in microseconds, of every call, the first included."""
    ordered = sorted(taken)
    return {
        "p50": statistics.median(ordered) / 1e3,
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] / 1e3,
        "longest": ordered[-1] / 1e3,
        "calls": len(ordered),
    }


def answer(path: Path, found: object) -> None:
    """Leave what was measured to whoever started this process; there whole, or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.rename(path)
