"""kill -9 of what answers, under load: what callers lose who ask once, and who ask again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import psutil

from tests.bench.load import Told, asking, own_cost
from tests.bench.result import Measure, Result
from tests.bench.served import Model, stack, tiny, until
from tests.bench.victims import gateway, replica_urls, replicas, serve_proxy

KILLS, CLIENTS, RETRIES = 3, 8, 5
"""Five retries wait 0.25 + 0.5 + 1 + 2 + 4 s."""
_BEFORE_S, _AFTER_S, _BACK_S = 1.0, 2.0, 60.0

Find = Callable[[Model], psutil.Process]


def run(quick: bool) -> Iterator[Result]:
    """The only replica, then with two: a replica, Serve's proxy, the gateway."""
    with stack() as services:
        model = tiny(services)
        model.client.deploy_model(model.name, 1)
        times = 1 if quick else KILLS
        yield from _killed(model, "the only replica", _a_replica, 1, times)
        model.client.deploy_model(model.name, 1, replicas=2)
        for name, find in (
            ("a replica", _a_replica),
            ("Serve's proxy", serve_proxy),
            ("the gateway", gateway),
        ):
            yield from _killed(model, name, find, 2, times)


def _killed(model: Model, name: str, find: Find, count: int, times: int) -> Iterator[Result]:
    told = [_under_load(model, find, count) for _ in range(times)]
    for each in told:
        own_cost(f"kill -9 of {name}", each)
    asked = sum(len(each.events) for each in told)
    words, unit = f"{times} × kill -9 of {name}, {count} replica{'s'[: count > 1]}", f"of {asked:,} requests"
    once = sum(each.first_tries_failed for each in told)
    yield Measure(f"{words}: failed, asked once", unit, [once], None)
    again = sum(each.errors for each in told)
    bar = 0.0 if count > 1 else None
    yield Measure(f"{words}: failed with {RETRIES} retries", unit, [again], bar)
    longest = max(event.seconds for each in told for event in each.events)
    yield Measure(f"{words}: the longest, retries included", "s", [longest], None)


def _under_load(model: Model, find: Find, count: int) -> Told:
    """One kill, until all is as before."""
    until(lambda: len(replicas(model)) == count, _BACK_S, f"{count} replicas")
    before = replica_urls(model)
    with asking(model.endpoint(), CLIENTS, retries=RETRIES) as load:
        time.sleep(_BEFORE_S)
        victim = find(model)
        print(f"  kill -9 of {victim.pid}, {' '.join(victim.cmdline())[:60]}", file=sys.stderr)
        victim.kill()
        until(lambda: _is_back(model, find, victim, before, count), _BACK_S, "all is back")
        time.sleep(_AFTER_S)
    return load.told


def _is_back(model: Model, find: Find, victim: psutil.Process, before: set[str], count: int) -> bool:
    if find is _a_replica:
        urls = replica_urls(model)
        return urls != before and len(urls) == count
    try:
        return find(model) != victim
    except (AssertionError, psutil.Error):
        return False


def _a_replica(model: Model) -> psutil.Process:
    return replicas(model)[0]
