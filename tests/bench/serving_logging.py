"""What the inference log costs those who ask: the gateway's median with it and without it, in turns. Drift
reports, which the worker would make of what is logged, are off all the while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from mlops.store.store import Store
from tests.bench.load import ask
from tests.bench.result import Measure, Result
from tests.bench.served import Model, Stack, drilling, stack, tiny

ROUNDS, SECONDS = 6, 10.0
MOST_RISE_MS = 0.2
_READ_ANEW_S = 6.0
"""After which the gateway has the project's setting."""


def run(quick: bool) -> Iterator[Result]:
    """At 200 requests/s, of which the log takes 50, and at 50/s, of which it takes each."""
    for make in (tiny, drilling):
        yield from _of_model(make, quick)


def _of_model(make: Callable[[Stack], Model], quick: bool) -> Iterator[Result]:
    with stack() as services:
        model = make(services)
        model.client.deploy_model(model.name, 1)
        store = Store(services.installation.database_url())
        endpoint = model.endpoint()
        ask(endpoint, 4, seconds=2.0)
        for per_s in (200, 50):
            p50 = {0.0: list[float](), 1.0: list[float]()}
            for number in range(1 if quick else ROUNDS):
                for share in (0.0, 1.0) if number % 2 else (1.0, 0.0):
                    _log(store, model.project, share)
                    told = ask(endpoint, 4, seconds=1.0 if quick else SECONDS, per_s=float(per_s))
                    assert not told.errors, told.failures
                    p50[share].append(told.p50_ms)
                print(f"  {model.title}, {per_s}/s: round {number + 1}", file=sys.stderr)
            rises = [logged - bare for logged, bare in zip(p50[1.0], p50[0.0], strict=True)]
            name = f"{model.title} at {per_s} requests/s"
            yield Measure(f"{name}: p50 without the log", "ms", p50[0.0], None)
            yield Measure(f"{name}: how much higher p50 is with it", "ms", rises, MOST_RISE_MS)
        store.close()


def _log(store: Store, project: str, share: float) -> None:
    settings = store.projects.settings(project)
    settings["serving"]["log_share"] = share
    settings["monitoring"] = settings.get("monitoring", {}) | {"every_s": 0.0, "after": 0}
    store.projects.put(store.projects.get(project), settings)
    time.sleep(_READ_ANEW_S)
