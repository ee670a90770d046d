"""Ten minutes without a server, and then all of it arrives."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tests.bench.result import Measure, Result
from tests.bench.tracking_server import Server

_WIDTH = 10
_DELIVERY_S = 1200.0


def run(quick: bool) -> Iterator[Result]:
    """1,000,000 points over 600 s while the server is down: memory, the journal's size, what arrives."""
    seconds, points = (5.0, 20_000) if quick else (600.0, 1_000_000)
    with Server.running() as server:
        server.kill_mlflow()
        done, go = server.folder / "done", server.folder / "go"
        calls = points // _WIDTH
        child = server.ours(
            "outage",
            flush_s=_DELIVERY_S,
            calls=calls,
            rate=calls / seconds,
            width=_WIDTH,
            journal=str(server.journal),
            done=str(done),
            go=str(go),
        )
        try:
            child.until(done.exists, seconds + 300)
            server.start_mlflow()
            go.touch()
            found = child.result(_DELIVERY_S)
        finally:
            child.stop()
        tally = server.tally({found["key"]: calls}, _WIDTH)
    print(
        f"  delivered in {found['delivery_s']:.0f} s, memory then {found['delivery_grown'] / 1e6:+.1f} MB",
        file=sys.stderr,
    )
    name = f"{seconds:.0f} s without a server, {points} points"
    yield Measure(f"{name}: growth of memory", "MB (RSS)", [found["grown"] / 1e6], 50)
    yield Measure(f"{name}: journal", "bytes/point", [found["journal"] / points], 60)
    yield Measure(f"{name}: lost or there twice", "points", [tally.lost + tally.twice], 0)
