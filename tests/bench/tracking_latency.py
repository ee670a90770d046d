"""How long a call holds up the program: ours while it delivers and with the server down, Trackio's, and
MLflow's synchronous one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tests.bench.result import Comparison, Measure, Result
from tests.bench.tracking_server import Server
from tests.bench.tracking_trackio import Trackio

_RATE, _WIDTH, _ROUNDS = 1000, 10, 3
_Figures = dict[str, float]


def run(quick: bool) -> Iterator[Result]:
    """Rounds of 20 s in turn with Trackio and MLflow, then 60 s of ours alone; the same without a server."""
    short, long, calls = (2.0, 4.0, 20) if quick else (20.0, 60.0, 300)
    trackio = Trackio.installed()
    with Server.running() as server:
        ours, theirs, mlflow = [], [], []
        for _ in range(_ROUNDS):
            ours.append(_ours(server, short))
            theirs.append(trackio.latency(server.folder, short, _RATE, _WIDTH))
            mlflow.append(_synchronous(server, calls))
        whole = _ours(server, long)
        yield from _rows("log_metrics", ours, whole, trackio.name, theirs)
        yield Comparison(
            "log_metrics, p50", "µs", _all("p50", ours), "MLflow's log_metrics", _all("p50", mlflow), 0.001
        )
        server.kill_mlflow()
        ours, theirs = [], []
        for _ in range(_ROUNDS):
            ours.append(_ours(server, short))
            theirs.append(trackio.latency(server.folder, short, _RATE, _WIDTH))
        whole = _ours(server, long)
        yield from _rows("log_metrics, server down", ours, whole, trackio.name, theirs)


def _ours(server: Server, seconds: float) -> _Figures:
    found: _Figures = server.ours("latency", seconds=seconds, rate=_RATE, width=_WIDTH).result(seconds + 120)
    server.drop_journal()  # the server takes fewer points a second than come in here
    return found


def _synchronous(server: Server, calls: int) -> _Figures:
    found: _Figures = server.theirs("synchronous", calls=calls, width=_WIDTH).result(300)
    return found


def _rows(
    name: str, ours: list[_Figures], whole: _Figures, peer: str, theirs: list[_Figures]
) -> Iterator[Result]:
    print(f"  {whole['calls']:.0f} calls at a stretch: {_told(whole)}", file=sys.stderr)
    print(f"  {peer}'s worst round: {_told(max(theirs, key=lambda each: each['longest']))}", file=sys.stderr)
    yield Comparison(f"{name}, p50", "µs", _all("p50", ours), f"{peer}'s log", _all("p50", theirs), 0.5)
    yield Comparison(f"{name}, p99", "µs", _all("p99", ours), f"{peer}'s log", _all("p99", theirs), 1.0)
    every = [*ours, whole]
    longest, calls = max(_all("longest", every)) / 1e3, sum(_all("calls", every))
    yield Measure(f"{name}, longest of {calls:.0f}", "ms", [longest], 20.0)


def _all(figure: str, found: list[_Figures]) -> list[float]:
    return [each[figure] for each in found]


def _told(found: _Figures) -> str:
    return f"p50 {found['p50']:.1f} µs, p99 {found['p99']:.0f} µs, longest {found['longest'] / 1e3:.2f} ms"
