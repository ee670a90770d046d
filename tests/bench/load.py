"""The load generator from the outside: give it an order, get what it was told."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.serving_load import Order

_SCRIPT = Path(__file__).with_name("serving_load.py")
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Peer:
    """A server of a model, and what to ask it."""

    name: str
    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> dict[str, str]:
        """Those of JSON among them, unless it has others."""
        return {**_JSON, **self.headers}


class Event(NamedTuple):
    """One request."""

    ended: float
    """By the monotonic clock, which all processes share."""
    seconds: float
    status: int
    version: str
    retry_after: bool


@dataclass(frozen=True)
class Told:
    """What came of a load."""

    p50_ms: float
    p99_ms: float
    per_s: float
    errors: int
    own_ms: float
    """Of a processor, for each request: what asking costs itself."""
    first_tries: Counter[str]
    """Statuses, and errors by name, of each request's first try."""
    failures: list[str]
    """The first few, in full."""
    last_asked: float
    """When, by the monotonic clock."""
    events: list[Event]

    @property
    def first_tries_failed(self) -> int:
        """What would have failed without retries."""
        return sum(count for status, count in self.first_tries.items() if status != "200")


def ask(peer: Peer, clients: int, **order: Any) -> Told:
    """A whole load, to its end."""
    with asking(peer, clients, **order) as load:
        pass
    return load.told


class Asking:
    """A load that runs; what it says is read all the while, so that it never waits to be heard."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.told: Told

    def is_over(self) -> bool:
        """Whether all was asked and answered."""
        return not self._reader.is_alive()

    def finish(self) -> None:
        """Let it end, and take what it says."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join()
        if self._process.wait() != 0:
            raise RuntimeError("the load generator failed")
        told = json.loads(self._said)
        counted = Counter(told.pop("first_tries"))
        events = [Event(*event) for event in told.pop("events")]
        self.told = Told(first_tries=counted, events=events, **told)

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._said = self._process.stdout.read()


@contextmanager
def asking(peer: Peer, clients: int, **order: Any) -> Iterator[Asking]:
    """A load beside what is done inside; without an end of its own it ends with that. What it said is there
    afterwards."""
    body = base64.b64encode(peer.body).decode()
    given = Order(url=peer.url, headers=peer.all_headers(), body=body, clients=clients, **order)
    process = subprocess.Popen(
        [sys.executable, str(_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(given)) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        load = Asking(process)
        yield load
        load.finish()
    finally:
        process.kill()
        process.wait()


def own_cost(name: str, told: Told) -> None:
    """Say what the load cost, and what failed."""
    tries = ", ".join(f"{count} × {status}" for status, count in sorted(told.first_tries.items()))
    print(f"  {name}: {tries}; the load cost {told.own_ms:.2f} ms a request", file=sys.stderr)
    for failure in told.failures[:5]:
        print(f"    {failure}", file=sys.stderr)
