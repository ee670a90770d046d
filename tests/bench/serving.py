"""An ONNX model by our gateway, with authentication, checks and log, and by what else serves one."""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from tests.bench.load import Peer, Told, ask
from tests.bench.result import Comparison, Measure, Result
from tests.bench.served import Model, Stack, drilling, stack, tiny
from tests.bench.serving_peers import BENTOML, FASTAPI, LITSERVE, MLFLOW, RAY_SERVE, start_all

ROUNDS, SECONDS = 5, 4.0
CLIENTS = (1, 16)
MOST_ABOVE_MS = 2.0
TINY_BARS = {RAY_SERVE: 6.0, BENTOML: 1.5, MLFLOW: 1.0, LITSERVE: 1.0}
DRILLING_BARS = {FASTAPI: 0.85, RAY_SERVE: 1.0, BENTOML: 1.0, MLFLOW: 1.0, LITSERVE: 1.0}
"""The least requests/s of ours over the peer's, with 16 clients."""


@dataclass
class Figures:
    """Of each round."""

    p50_ms: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    own_ms: list[float] = field(default_factory=list)
    errors: int = 0

    def add(self, told: Told) -> None:
        """A further round."""
        self.p50_ms.append(told.p50_ms)
        self.per_s.append(told.per_s)
        self.own_ms.append(told.own_ms)
        self.errors += told.errors


Found = Mapping[tuple[str, int], Figures]


def run(quick: bool) -> Iterator[Result]:
    """The tiny model: latency of one client and throughput of sixteen, in turn with each peer."""
    return _run(tiny, TINY_BARS, quick)


def run_drilling(quick: bool) -> Iterator[Result]:
    """The same of the drilling model; and by binary tensors, as its windows are better sent."""
    return _run(drilling, DRILLING_BARS, quick)


def _run(make: Callable[[Stack], Model], bars: Mapping[str, float], quick: bool) -> Iterator[Result]:
    with stack() as services:
        model = make(services)
        model.client.deploy_model(model.name, 1)
        alone, reading = _model_alone(model), _reading(model)
        ours, binary, peers = model.endpoint(), model.binary_endpoint(), start_all(model)
        _agree([ours, *peers])
        found = _measured([ours, binary, *peers], quick)
    yield from _of_one_client(model.title, alone, reading, found, peers)
    yield from _of_many(model.title, bars, found, peers)
    errors = sum(figures.errors for figures in found.values())
    yield Measure(f"{model.title}: errors of all requests, the peers' included", "", [errors], 0.0)


def _measured(servers: list[Peer], quick: bool) -> Found:
    found = {(server.name, clients): Figures() for server in servers for clients in CLIENTS}
    for server in servers:  # the first answers, and what still starts beside them, are nobody's figure
        ask(server, max(CLIENTS), seconds=2.0)
    for number in range(1 if quick else ROUNDS):
        for server in servers:
            for clients in CLIENTS:
                told = ask(server, clients, seconds=1.0 if quick else SECONDS)
                found[server.name, clients].add(told)
                for failure in told.failures[:3]:
                    print(f"  {server.name}: {failure}", file=sys.stderr)
        print(f"  round {number + 1}", file=sys.stderr)
    for server in servers:
        figures = found[server.name, 16]
        own = statistics.median(figures.own_ms)
        print(
            f"  {server.name}: {figures.errors} errors; the load cost {own:.2f} ms a request", file=sys.stderr
        )
    return found


def _of_one_client(
    title: str, alone: list[float], reading: list[float], found: Found, peers: list[Peer]
) -> Iterator[Result]:
    own = statistics.median(alone)
    yield Measure(f"{title}: its own time, one thread, no server", "ms", alone, None)
    yield Measure(f"{title}: reading the request's JSON into arrays, alone", "ms", reading, None)
    for name, words, bar in (
        ("ours", "by the gateway, one client", MOST_ABOVE_MS),
        ("ours, binary", "by the gateway in binary tensors, one client", MOST_ABOVE_MS),
        (FASTAPI, f"by {FASTAPI}, one client", None),
    ):
        above = [taken - own for taken in found[name, 1].p50_ms]
        yield Measure(f"{title} {words}, above the model's own time", "ms", above, bar)
    for peer in peers:
        yield Comparison(
            f"{title}, one client, p50", "ms", found["ours", 1].p50_ms, peer.name, found[peer.name, 1].p50_ms,
            None,
        )  # fmt: skip


def _of_many(title: str, bars: Mapping[str, float], found: Found, peers: list[Peer]) -> Iterator[Result]:
    for peer in peers:
        yield Comparison(
            f"{title}, 16 clients", "requests/s", found["ours", 16].per_s, peer.name,
            found[peer.name, 16].per_s, bars.get(peer.name), at_least=True,
        )  # fmt: skip
    binary = found["ours, binary", 16].per_s
    yield Measure(f"{title}, 16 clients, in binary tensors", "requests/s", binary, None)


# -- without a server ----------------------------------------------------------------------------------


def _model_alone(model: Model) -> list[float]:
    """Milliseconds of one run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model.graph), options, providers=["CPUExecutionProvider"])
    inputs = dict(model.inputs)
    return _milliseconds(lambda: session.run(None, inputs))


def _reading(model: Model) -> list[float]:
    """Milliseconds of reading the body, as the plainest server does."""

    def read() -> object:
        given = json.loads(model.body)["inputs"]
        return {name: np.asarray(value, np.float32) for name, value in given.items()}

    return _milliseconds(read)


def _milliseconds(work: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(200):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


# -- the same answers ----------------------------------------------------------------------------------


def _agree(servers: list[Peer]) -> None:
    """Wait until each answers, and see that all say the same."""
    expected: dict[str, np.ndarray] = {}
    for server in servers:
        said = _arrays(_until_it_answers(server).json())
        expected = expected or said
        assert said.keys() == expected.keys(), f"{server.name}: {list(said)}"
        for name, array in said.items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5, err_msg=server.name)


def _arrays(answer: dict[str, Any]) -> dict[str, np.ndarray]:
    """The outputs by name, of any of the servers."""
    outputs = answer.get("outputs") or answer.get("predictions") or answer
    return {name: np.asarray(value, np.float64).squeeze() for name, value in outputs.items()}


def _until_it_answers(peer: Peer, seconds: float = 120.0) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(
                peer.url, content=peer.body, headers=peer.all_headers(), timeout=20, trust_env=False
            )
            if answer.status_code == 200:
                return answer
            assert answer.status_code in (404, 502, 503), f"{peer.name}: {answer.text[:500]}"
        assert time.monotonic() < deadline, f"{peer.name} does not answer"
        time.sleep(0.3)
