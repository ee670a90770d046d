"""Points a second until the server has all of them: ours, raw `log_batch`, MLflow's asynchronous logging."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.result import Comparison, Result
from tests.bench.tracking_server import Server

_ROUNDS = 3
_LONG_S = 600.0
_WIDTHS = {10: 7.0, 1: 50.0}
"""Metrics a call, and how many times MLflow's asynchronous logging is to be beaten."""


def run(quick: bool) -> Iterator[Result]:
    """Rounds of the three in turn, with ten metrics a call and with one."""
    points, slow_points = (3000, {10: 1000, 1: 100}) if quick else (60_000, {10: 6000, 1: 1000})
    with Server.running() as server:
        ours, raw, slow = _rates(), _rates(), _rates()
        for _ in range(_ROUNDS):
            for width in _WIDTHS:
                raw[width].append(_theirs(server, "raw", points, width))
                ours[width].append(_ours(server, points, width))
                slow[width].append(_theirs(server, "asynchronous", slow_points[width], width))
    for width, times in _WIDTHS.items():
        name = f"to the server, {width} a call"
        yield Comparison(name, "points/s", ours[width], "log_batch of 1,000", raw[width], 0.9, at_least=True)
        yield Comparison(
            name, "points/s", ours[width], "MLflow's asynchronous", slow[width], times, at_least=True
        )


def _rates() -> dict[int, list[float]]:
    return {width: [] for width in _WIDTHS}


def _ours(server: Server, points: int, width: int) -> float:
    calls = points // width
    found = server.ours("throughput", flush_s=_LONG_S, calls=calls, width=width).result(_LONG_S)
    tally = server.tally({found["key"]: calls}, width)
    if tally.lost or tally.twice:
        raise RuntimeError(f"the server does not have what was sent: {tally}")
    return float(found["rate"])


def _theirs(server: Server, scenario: str, points: int, width: int) -> float:
    found = server.theirs(scenario, calls=points // width, width=width).result(_LONG_S)
    if (there := server.points_of(found["run"])) != points:
        raise RuntimeError(f"{scenario}: the server has {there} of {points} points")
    return float(found["rate"])
