"""Many processes that log to one project at once, and what the sender takes of a core."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from tests.bench.result import Measure, Result
from tests.bench.tracking_server import Server

_WIDTH = 10
_DELIVERY_S = 600.0
_CALLS_A_SECOND, _ROUNDS = 100, 3


def run(quick: bool) -> Iterator[Result]:
    """32 processes of 1,000 steps, then one at 100 calls a second."""
    with Server.running() as server:
        yield from _at_once(server, *((4, 50) if quick else (32, 1000)))
        if hasattr(time, "pthread_getcpuclockid"):  # macOS does not tell a thread's time by its name
            shares = [_sender_cpu(server, 2.0 if quick else 20.0) for _ in range(_ROUNDS)]
            name = f"sender at {_CALLS_A_SECOND} calls/s of {_WIDTH} metrics"
            yield Measure(name, "% of a core", shares, 10)


def _sender_cpu(server: Server, seconds: float) -> float:
    calls = int(seconds * _CALLS_A_SECOND)
    child = server.ours("sender_cpu", flush_s=60.0, calls=calls, rate=_CALLS_A_SECOND, width=_WIDTH)
    found = child.result(seconds + 180)
    if server.tally({found["key"]: calls}, _WIDTH).lost:
        raise RuntimeError("the sender did not deliver meanwhile")
    return float(found["percent"])


def _at_once(server: Server, processes: int, steps: int) -> Iterator[Result]:
    go = server.folder / "go"
    ready = [server.folder / f"ready-{number}" for number in range(processes)]
    children = [
        server.ours(
            "one_of_many", flush_s=_DELIVERY_S, calls=steps, width=_WIDTH, ready=str(each), go=str(go)
        )
        for each in ready
    ]
    try:
        for child, each in zip(children, ready, strict=True):
            child.until(each.exists, 300)
        begun = time.perf_counter()
        go.touch()
        found = [child.result(_DELIVERY_S) for child in children]
        seconds = time.perf_counter() - begun
    finally:
        for child in children:
            child.stop()
    tally = server.tally(dict.fromkeys((each["key"] for each in found), steps), _WIDTH)
    if tally.acknowledged != processes * steps * _WIDTH:
        raise RuntimeError("two processes had the same run")
    if left := server.pending():
        print(f"  not wholly delivered: {', '.join(left)}", file=sys.stderr)
    name = f"{processes} processes × {steps} steps of {_WIDTH} metrics"
    yield Measure(f"{name}: lost", f"of {tally.acknowledged:,} points", [tally.lost], 0)
    yield Measure(f"{name}: there twice", "points", [tally.twice], 0)
    yield Measure(f"{name}: together, with their ends", "points/s", [tally.acknowledged / seconds], None)
