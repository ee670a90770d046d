"""Deploy, promote and roll back: how long until it counts, and what it costs the callers meanwhile."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx

from mlops.client import MLOpsClient
from mlops.entities import Deployment, DeploymentState
from mlops.errors import MLOpsError
from tests.bench.load import Event, asking, own_cost
from tests.bench.result import Measure, Result
from tests.bench.served import Model, drilling, stack, tiny, until

DEPLOYS, REQUESTS, CLIENTS, PER_S = 5, 10_000, 8, 250.0
MOST_DEPLOY_S, MOST_CHANGE_S = 15.0, 1.0
_SETTLE_S = 1.2
"""After a command, until the next: longer than what the old version may still answer."""


class Change(NamedTuple):
    """A command that was given."""

    verb: str
    began: float
    """By the monotonic clock, which the events' times are of, too."""
    version: str
    """That it made the champion."""


def run(quick: bool) -> Iterator[Result]:
    """Deploy both models some times; then promote and roll back the tiny one under load."""
    with stack() as services:
        models = [tiny(services), drilling(services)]
        for model in models:
            seconds = [_deployed(model) for _ in range(1 if quick else DEPLOYS)]
            yield Measure(f"{model.title}: deploy to its first answer", "s", seconds, MOST_DEPLOY_S)
        yield from _changes(models[0], 2_000 if quick else REQUESTS)


# -- deploy --------------------------------------------------------------------------------------------


def _deployed(model: Model) -> float:
    """Seconds from the deployment of a version that no one serves to its first answer; it ends afterwards."""
    server, errors, states = model.endpoint(), list[MLOpsError](), list[str]()

    def deploy() -> None:
        def note(state: DeploymentState) -> None:
            states.append(f"{state.value} after {time.monotonic() - began:.1f} s")

        try:
            model.client.deploy_model(model.name, 1, on_state=note)
        except MLOpsError as error:
            errors.append(error)

    worker = threading.Thread(target=deploy)
    with httpx.Client(headers=server.all_headers(), timeout=30, trust_env=False) as http:
        began = time.monotonic()
        worker.start()
        while http.post(server.url, content=server.body).status_code != 200:
            assert not errors, errors[0]
            time.sleep(0.05)
        seconds = time.monotonic() - began
    worker.join()
    print(f"  {model.title}: {', '.join(states)}, answered after {seconds:.1f} s", file=sys.stderr)
    model.client.undeploy_model(model.name)
    until(lambda: not model.client.deployments(), 60, "undeployed")
    return seconds


# -- promote and roll back -----------------------------------------------------------------------------


def _changes(model: Model, requests: int) -> Iterator[Result]:
    second = model.train()
    model.client.deploy_model(model.name, 1)
    model.client.deploy_model(model.name, second, canary=0)
    changes: list[Change] = []
    with asking(model.endpoint(), CLIENTS, requests=requests, per_s=PER_S) as load:
        time.sleep(1.0)
        for verb, change in _in_turn(model.client, model.name):
            if load.is_over():
                break
            began = time.monotonic()
            changes.append(Change(verb, began, str(change().version)))
            time.sleep(_SETTLE_S)
    told = load.told
    own_cost(f"{len(changes)} promotions and rollbacks", told)
    yield from _effective(changes, told.events)
    unit = f"of {requests:,} requests"
    yield Measure(f"failed during promotions and rollbacks, {CLIENTS} clients", unit, [told.errors], 0.0)


def _in_turn(client: MLOpsClient, name: str) -> Iterator[tuple[str, Callable[[], Deployment]]]:
    """Promote the canary; from then on both versions are kept, and change places."""
    yield "promote", lambda: client.promote_model(name)
    while True:
        yield "rollback", lambda: client.rollback_model(name)
        yield "promote", lambda: client.promote_model(name, _previous(client, name))


def _previous(client: MLOpsClient, name: str) -> int:
    return next(row.version for row in client.deployments() if row.model == name and row.side == "previous")


def _effective(changes: list[Change], events: list[Event]) -> Iterator[Result]:
    """How long each command took to count, and whether it did until the next one."""
    ends = [change.began for change in changes[1:]] + [float("inf")]
    seconds: dict[str, list[float]] = {"promote": [], "rollback": []}
    undone = 0
    for change, end in zip(changes, ends, strict=True):
        answers = sorted(each for each in events if change.began <= each.ended < end and each.status == 200)
        old = [answer.ended for answer in answers if answer.version != change.version]
        if not answers or (len(old) == len(answers) and end == float("inf")):
            continue  # the load was over before it counted
        seconds[change.verb].append(max(old, default=change.began) - change.began)
        undone += answers[-1].version != change.version
    for verb, taken in seconds.items():
        words = f"{verb}: from the command's start to the old version's last answer"
        if taken:
            yield Measure(words, "s", taken, MOST_CHANGE_S)
            yield Measure(f"{words}, the slowest", "s", [max(taken)], MOST_CHANGE_S)
    counted = sum(map(len, seconds.values()))
    print(f"  {undone} of {counted} commands were undone before the next", file=sys.stderr)
    yield Measure(f"promotions and rollbacks undone within {_SETTLE_S:g} s", f"of {counted}", [undone], 0.0)
