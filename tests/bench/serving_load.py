"""Run as a script: ask one URL from several clients for some seconds, and print what came of it as JSON.

A process of its own, so that the servers' answers are not kept waiting by our own measuring; what it costs
itself is told as processor seconds a request.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import aiohttp


async def ask(order: dict[str, Any]) -> dict[str, Any]:
    """Latencies in s of what was answered with 200, and how many requests had which status."""
    taken: list[float] = []
    statuses: Counter[int] = Counter()
    body = order["body"].encode()
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=order["clients"])
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=order["headers"]
    ) as session:
        until = time.perf_counter() + order["seconds"]

        async def client() -> None:
            while (began := time.perf_counter()) < until:
                async with session.post(order["url"], data=body) as answer:
                    await answer.read()
                statuses[answer.status] += 1
                if answer.status == 200:
                    taken.append(time.perf_counter() - began)

        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(client() for _ in range(order["clients"])))
        wall, used = time.perf_counter() - began, time.process_time() - used
    taken.sort()
    return {
        "p50_ms": 1000 * taken[len(taken) // 2],
        "p99_ms": 1000 * taken[int(0.99 * len(taken))],
        "per_s": len(taken) / wall,
        "errors": sum(count for status, count in statuses.items() if status != 200),
        "own_ms": 1000 * used / len(taken),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(json.load(sys.stdin)))))
