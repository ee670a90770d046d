"""kill -9 of the program that logs, with the server up, and with the server killed and restarted
meanwhile."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.result import Measure, Result
from tests.bench.tracking_acknowledged import Acknowledged
from tests.bench.tracking_server import Server

_RATE, _WIDTH = 500, 10
_KILLS = 50
_LONGEST_S = 2.0
"""A program dies at a random moment of so many seconds of logging."""
_DELIVERY_S = 600.0


def run(quick: bool) -> Iterator[Result]:
    """Kills one after the other, each process recovering what those before it left; then a last start."""
    kills = 4 if quick else _KILLS
    with Server.running() as server:
        yield from _outcome(server, _killed(server, kills), f"{kills} × kill -9")
        with _interrupted(server):
            acknowledged = _killed(server, kills)
        yield from _outcome(server, acknowledged, f"{kills} × kill -9, server killed meanwhile")


def _killed(server: Server, kills: int) -> dict[str, int]:
    """Calls that each killed run had acknowledged, by the run's key."""
    acknowledged = {}
    for number in range(kills):
        path = server.folder / f"acknowledged-{time.time_ns()}"
        seconds = random.uniform(0.0, _LONGEST_S)
        # Every other dies by its own hand, right after a call has returned; the rest anywhere.
        calls = max(1, int(seconds * _RATE)) if number % 2 else 0
        child = server.ours("killed", calls=calls, rate=_RATE, width=_WIDTH, acknowledged=str(path))
        try:
            child.until(path.exists, 120)
            if calls:
                child.process.wait(120)
            else:
                time.sleep(seconds)
        finally:
            child.stop()
        found = Acknowledged(path)
        if calls and found.calls != calls:
            raise RuntimeError(f"the program did not die by its own hand:\n{child.log}")
        acknowledged[found.key] = found.calls
    return acknowledged


def _outcome(server: Server, acknowledged: dict[str, int], name: str) -> Iterator[Result]:
    begun = time.monotonic()
    server.ours("recover", journal=str(server.journal)).result(_DELIVERY_S)
    print(f"  all delivered {time.monotonic() - begun:.0f} s after the next start", file=sys.stderr)
    tally = server.tally(acknowledged, _WIDTH)
    yield Measure(f"{name}: lost", f"of {tally.acknowledged:,} acknowledged points", [tally.lost], 0)
    yield Measure(f"{name}: there twice", "points", [tally.twice], 0)


@contextmanager
def _interrupted(server: Server) -> Iterator[None]:
    """Kill MLflow and start it again, over and over; it is up at the end."""
    over, interrupted = threading.Event(), []

    def interrupt() -> None:
        while not over.wait(random.uniform(1.0, 5.0)):
            server.kill_mlflow()
            time.sleep(random.uniform(0.0, 2.0))
            server.start_mlflow()
            interrupted.append(time.monotonic())

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if not interrupted:
        raise RuntimeError("the server was not killed in time")
    print(f"  the server was killed {len(interrupted)} times", file=sys.stderr)
