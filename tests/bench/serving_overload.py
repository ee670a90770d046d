"""Twice as many requests as can be answered: what is answered, what refused, and how soon it is over."""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Iterator

from mlops.services.status import read_status
from tests.bench.load import Event, Told, ask, own_cost
from tests.bench.result import Measure, Result
from tests.bench.served import Model, drilling, stack, tiny
from tests.bench.victims import replicas

SECONDS, CLIENTS, TIMES = 60.0, 64, 2.0
DEADLINE_S = 0.25
MOST_RECOVERY_S = 5.0
_CAPACITY_CLIENTS = 16
_NORMAL, _IN_A_ROW = 1.5, 20
"""A latency is back to normal where the median of so many answers in a row is at most so many times it."""


def run(quick: bool) -> Iterator[Result]:
    """Each model in turn, each with one replica."""
    with stack() as services:
        for make in (drilling, tiny):
            model = make(services)
            model.client.deploy_model(model.name, 1)
            yield from _overloaded(model, 5.0 if quick else SECONDS)
            model.client.undeploy_model(model.name)


def _overloaded(model: Model, seconds: float) -> Iterator[Result]:
    server = model.endpoint(DEADLINE_S)
    normal = ask(server, 1, seconds=3.0)
    capacity = ask(server, _CAPACITY_CLIENTS, seconds=3.0).per_s
    alive = _alive(model)
    offered = TIMES * capacity
    told = ask(server, CLIENTS, seconds=seconds, per_s=offered, timeout_s=DEADLINE_S + 30)
    after = ask(server, 1, seconds=2 * MOST_RECOVERY_S)
    died = _died(alive, _alive(model))
    own_cost(f"{model.title}, {offered:.0f}/s of {capacity:.0f}/s", told)
    title = f"{model.title}, {CLIENTS} clients, {seconds:g} s at {TIMES:g} × capacity"
    yield from _results(title, told, offered)
    recovery = _recovered(told.last_asked, after.events, normal.p50_ms / 1000)
    yield Measure(f"{title}: until one client's p50 is normal again", "s", [recovery], MOST_RECOVERY_S)
    yield Measure(f"{title}: processes that died", "", [died], 0.0)


def _results(title: str, told: Told, offered: float) -> Iterator[Result]:
    total = len(told.events)
    counts = Counter(event.status for event in told.events)
    refused = [event for event in told.events if event.status == 503]
    print(f"  offered {offered:.0f}/s, asked {total}: {dict(counts)}", file=sys.stderr)
    yield Measure(f"{title}: answered with 200", "requests/s", [told.per_s], None)
    yield Measure(f"{title}: p99 of them", "s", [told.p99_ms / 1000], DEADLINE_S)
    yield Measure(f"{title}: 503 with Retry-After", "%", [100 * len(refused) / total], None)
    if refused:
        slow = _p99([event.seconds for event in refused])
        yield Measure(f"{title}: p99 of the 503", "s", [slow], None)
    without = sum(not event.retry_after for event in refused)
    other = total - counts[200] - counts[503]
    yield Measure(f"{title}: neither 200 nor 503 with Retry-After", "", [other + without], 0.0)


def _recovered(since: float, events: list[Event], normal_s: float) -> float:
    """Seconds until a run of answers is as fast as before; infinite where none is."""
    for place in range(len(events) - _IN_A_ROW + 1):
        run = events[place : place + _IN_A_ROW]
        median = statistics.median(event.seconds for event in run)
        if all(event.status == 200 for event in run) and median <= _NORMAL * normal_s:
            return run[0].ended - since
    return float("inf")


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


def _alive(model: Model) -> tuple[dict[str, int], set[int]]:
    """How often each service was restarted, and the replicas' processes."""
    restarts = {status.name: status.restarts for status in read_status(model.stack.installation)}
    return restarts, {process.pid for process in replicas(model)}


def _died(before: tuple[dict[str, int], set[int]], now: tuple[dict[str, int], set[int]]) -> int:
    restarted = sum(count - before[0][name] for name, count in now[0].items())
    return restarted + len(before[1] - now[1])
