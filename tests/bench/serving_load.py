"""Run as a script: ask one URL from several clients as the order on standard input says, and print what came
of it as JSON, after a line that says that the asking begins.

A process of its own, so that the servers' answers are not kept waiting by our own measuring; what it costs
itself is told as processor seconds a request. `tests.bench.load` starts it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvloop

FIRST_PAUSE_S = 0.25
"""Before the first retry; each further pause is twice as long."""
_AGAIN = (0, 502, 503, 504)
"""Statuses after which a client that retries asks again; 0 is no answer at all."""
_MOST_FAILURES = 10


@dataclass(frozen=True)
class Order:
    """What to do. The end is after `seconds`, after so many `requests`, or when standard input closes."""

    url: str
    headers: dict[str, str]
    body: str
    """In base64."""
    clients: int
    seconds: float | None = None
    requests: int | None = None
    per_s: float | None = None
    """Of all clients together: each then asks at its times, or once it was answered where that is later."""
    retries: int = 0
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Tried:
    """What one try came to."""

    status: int
    """0 where there was no answer."""
    version: str = ""
    """Of the model, as the gateway tells it."""
    retry_after: bool = False
    text: str = ""
    """Of an error."""


@dataclass
class Load:
    """The clients and what they noted."""

    order: Order
    events: list[tuple[float, float, int, str, bool]] = field(default_factory=list)
    """Of each request: when it ended (monotonic clock), how long it took in s, the last try's status, version
    and whether it had a Retry-After."""
    first_tries: Counter[str] = field(default_factory=Counter)
    """What the first try of a request came to: what clients without retries would have had."""
    failures: list[str] = field(default_factory=list)
    begun: int = 0
    last_asked: float = 0.0
    stopped: bool = False

    async def run(self) -> dict[str, Any]:
        """Ask; returns what is printed."""
        order = self.order
        timeout = aiohttp.ClientTimeout(total=order.timeout_s)
        connector = aiohttp.TCPConnector(limit=order.clients)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=order.headers
        ) as session:
            self._end_when_told()
            self.session, self.body = session, base64.b64decode(order.body)
            began, used = time.monotonic(), time.process_time()
            self.until = began + (order.seconds or float("inf"))
            client = self._paced if order.per_s else self._one_by_one
            await asyncio.gather(*(client(number) for number in range(order.clients)))
            return self._told(time.monotonic() - began, time.process_time() - used)

    def _end_when_told(self) -> None:
        if self.order.seconds is None and self.order.requests is None:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._stop)

    def _stop(self) -> None:
        self.stopped = True
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())

    def _goes_on(self) -> bool:
        enough = self.order.requests is not None and self.begun >= self.order.requests
        return not (self.stopped or enough or time.monotonic() >= self.until)

    async def _one_by_one(self, _: int) -> None:
        while self._goes_on():
            await self._ask()

    async def _paced(self, number: int) -> None:
        assert self.order.per_s is not None
        apart = self.order.clients / self.order.per_s
        due = time.monotonic() + apart * number / self.order.clients
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not self._goes_on():
                break
            await self._ask()
            due = max(due + apart, time.monotonic())

    async def _ask(self) -> None:
        self.begun += 1
        began = self.last_asked = time.monotonic()
        tried = await self._try()
        self.first_tries[tried.text if tried.status == 0 else str(tried.status)] += 1
        pause = FIRST_PAUSE_S
        for _ in range(self.order.retries):
            if tried.status not in _AGAIN:
                break
            await asyncio.sleep(pause)
            pause *= 2
            tried = await self._try()
        ended = time.monotonic()
        self.events.append((ended, ended - began, tried.status, tried.version, tried.retry_after))

    async def _try(self) -> Tried:
        try:
            async with self.session.post(self.order.url, data=self.body) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            tried = Tried(0, text=type(error).__name__)
            self._note(f"{error!r}")
            return tried
        told = answer.headers
        if answer.status != 200:
            self._note(f"{answer.status} {content[:400].decode(errors='replace')}")
        return Tried(answer.status, told.get("X-Model-Version", ""), "Retry-After" in told)

    def _note(self, text: str) -> None:
        if len(self.failures) < _MOST_FAILURES:
            self.failures.append(text)

    def _told(self, wall: float, used: float) -> dict[str, Any]:
        taken = sorted(seconds for _, seconds, status, *_ in self.events if status == 200)
        return {
            "p50_ms": 1000 * taken[len(taken) // 2] if taken else None,
            "p99_ms": 1000 * taken[int(0.99 * len(taken))] if taken else None,
            "per_s": len(taken) / wall,
            "errors": len(self.events) - len(taken),
            "own_ms": 1000 * used / max(1, len(self.events)),
            "first_tries": self.first_tries,
            "failures": self.failures,
            "last_asked": self.last_asked,
            "events": self.events,
        }


if __name__ == "__main__":
    order = Order(**json.loads(sys.stdin.readline()))
    print("asking", flush=True)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    print(json.dumps(uvloop.run(Load(order).run())))
