"""One tiny ONNX model by our gateway, with authentication, checks and log, and by what else serves one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from mlops.client import MLOpsClient
from mlops.config import MLOpsConfig
from mlops.installation import LOOPBACK, Installation
from mlops.registration import register
from mlops.services import control, processes
from mlops.serving.bento import environment
from mlops.store.store import Store
from tests.bench.digits import DIGITS, served_sample
from tests.bench.result import Comparison, Measure, Result

ROUNDS, SECONDS = 5, 4.0
CLIENTS = (1, 16)
_BIN, _HERE = Path(sys.executable).parent, Path(__file__).parent
_SHORT = "ray-temp"
"""A link to where Ray of the peer keeps its sockets, whose paths must be short."""
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Peer:
    """A server of the model."""

    name: str
    url: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Figures:
    """Of each round."""

    p50_ms: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    errors: int = 0
    own_ms: list[float] = field(default_factory=list)


def run(quick: bool) -> Iterator[Result]:
    """Latency of one client and throughput of sixteen, in turn with each peer."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        installation = Installation(MLOpsConfig(home=Path(folder) / "home"))
        try:
            yield from _measured(installation, Path(folder), quick)
        finally:
            processes.end_all(Path(folder))
            shutil.rmtree((Path(folder) / _SHORT).resolve(), ignore_errors=True)
            control.stop(installation)


def _measured(installation: Installation, folder: Path, quick: bool) -> Iterator[Result]:
    client, sample = _deployed(installation, folder)
    model = client.download_model("digits", 1, folder / "model")
    graph = next(model.rglob("*.onnx"))
    own_ms = _model_alone(graph, sample)
    ours = _ours(installation, sample)
    peers = [start(folder, installation, graph, sample) for start in _PEERS]
    for each in (ours, *peers):
        _until_it_answers(each)
    found = {(each.name, clients): Figures() for each in (ours, *peers) for clients in CLIENTS}
    for number in range(1 if quick else ROUNDS):
        for each in (ours, *peers):
            for clients in CLIENTS:
                _ask(each, clients, 1.0 if quick else SECONDS, found[each.name, clients])
        print(f"  round {number + 1}", file=sys.stderr)
    for each in (ours, *peers):
        figures = found[each.name, 16]
        own = statistics.median(figures.own_ms)
        print(
            f"  {each.name}: {figures.errors} errors; the load cost {own:.2f} ms a request", file=sys.stderr
        )
    yield from _results(ours, peers, found, own_ms)


def _results(
    ours: Peer, peers: list[Peer], found: Mapping[tuple[str, int], Figures], own_ms: list[float]
) -> Iterator[Result]:
    alone = statistics.median(own_ms)
    single, many = found[ours.name, 1], found[ours.name, 16]
    yield Measure(
        "tiny model by the gateway, one client, above the model's own time", "ms",
        [taken - alone for taken in single.p50_ms], 2.0,
    )  # fmt: skip
    for peer in peers:
        yield Comparison(
            "tiny model, one client, p50", "ms", single.p50_ms, peer.name, found[peer.name, 1].p50_ms, None
        )
        bar = _BARS.get(peer.name)
        yield Comparison(
            "tiny model, 16 clients", "requests/s", many.per_s, peer.name, found[peer.name, 16].per_s, bar,
            at_least=True,
        )  # fmt: skip
    errors = sum(found[ours.name, clients].errors for clients in CLIENTS)
    yield Measure("errors of all our requests", "", [errors], 0.0)


def _deployed(installation: Installation, folder: Path) -> tuple[MLOpsClient, list[list[float]]]:
    control.start(installation)
    store = Store(installation.database_url())
    register(DIGITS.copy_to(folder / "digits"), installation, store)
    store.close()
    client = MLOpsClient.from_project("digits", config=installation.config)
    return client, served_sample(client)


def _model_alone(graph: Path, sample: list[list[float]]) -> list[float]:
    """Milliseconds of one run without any server."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    inputs, taken = {"X": np.asarray(sample, np.float32)}, []
    for _ in range(200):
        began = time.perf_counter()
        session.run(None, inputs)
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def _ask(peer: Peer, clients: int, seconds: float, into: Figures) -> None:
    order = {
        "url": peer.url, "headers": {**_JSON, **peer.headers}, "body": peer.body, "clients": clients,
        "seconds": seconds,
    }  # fmt: skip
    command = [sys.executable, str(_HERE / "serving_load.py")]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    into.p50_ms.append(told["p50_ms"])
    into.per_s.append(told["per_s"])
    into.own_ms.append(told["own_ms"])
    into.errors += told["errors"]


# -- the servers ---------------------------------------------------------------------------------------


def _ours(installation: Installation, sample: list[list[float]]) -> Peer:
    token = installation.secret("project.digits.token")
    url = f"{installation.gateway_url}/projects/digits/models/digits/predict"
    return Peer("ours", url, _inputs(sample), {"Authorization": f"Bearer {token}"})


def _fastapi(folder: Path, _: Installation, graph: Path, sample: list[list[float]]) -> Peer:
    port = _free_port()
    _spawn([sys.executable, str(_HERE / "serving_fastapi.py"), str(port), str(graph)], folder, "fastapi")
    return Peer("FastAPI + ONNX Runtime", f"http://{LOOPBACK}:{port}/predict", _inputs(sample))


def _bentoml(folder: Path, installation: Installation, _: Path, sample: list[list[float]]) -> Peer:
    port, bento = _free_port(), next(installation.bentos_dir.rglob("bento.yaml")).parent
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", LOOPBACK, "--port", str(port)]
    _spawn(command, folder, "bentoml", environment(folder / "bentoml"))
    return Peer("bentoml serve", f"http://{LOOPBACK}:{port}/predict", _inputs(sample))


def _mlflow(folder: Path, _: Installation, graph: Path, sample: list[list[float]]) -> Peer:
    port = _free_port()
    command = [str(_BIN / "mlflow"), "models", "serve", "-m", str(graph.parent), "--env-manager", "local"]
    _spawn([*command, "--host", LOOPBACK, "--port", str(port)], folder, "mlflow")
    return Peer("mlflow models serve", f"http://{LOOPBACK}:{port}/invocations", _inputs(sample))


def _litserve(folder: Path, _: Installation, graph: Path, sample: list[list[float]]) -> Peer:
    port, home, uv = _free_port(), folder / "litserve", str(_BIN / "uv")
    home.mkdir()
    for command in (
        ["venv", "--clear", "--python", sys.executable, "."],
        ["pip", "install", "--python", "bin/python", "litserve", "onnxruntime", "numpy"],
    ):
        # From there: in our folder uv would hold to our constraints.
        subprocess.run([uv, *command, "--quiet"], cwd=home, check=True)
    python = str(home / "bin" / "python")
    _spawn([python, str(_HERE / "serving_litserve.py"), str(port), str(graph)], folder, "litserve")
    return Peer("LitServe", f"http://{LOOPBACK}:{port}/predict", _inputs(sample))


def _serve(folder: Path, installation: Installation, graph: Path, sample: list[list[float]]) -> Peer:
    ray, http = installation.choose_ports(["bench-ray"])["bench-ray"], _free_port()
    command = [str(_BIN / "ray"), "start", "--head", "--block", "--port", str(ray), "--disable-usage-stats"]
    short = tempfile.mkdtemp(prefix="r", dir="/tmp")
    (folder / _SHORT).symlink_to(short)
    _spawn([*command, "--temp-dir", short], folder, "ray")
    deploy = [sys.executable, str(_HERE / "serve_digits.py"), f"{LOOPBACK}:{ray}", str(graph), str(http)]
    until = time.monotonic() + 60
    while True:
        done = subprocess.run(deploy, env=_environment(folder), capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        assert time.monotonic() < until, done.stderr[-2000:]
        time.sleep(1)
    return Peer("Ray Serve's proxy", f"http://{LOOPBACK}:{http}/digits", _inputs(sample))


_PEERS: tuple[Callable[[Path, Installation, Path, list[list[float]]], Peer], ...] = (
    _fastapi,
    _bentoml,
    _mlflow,
    _litserve,
    _serve,
)
_BARS = {"Ray Serve's proxy": 6.0, "bentoml serve": 1.5, "mlflow models serve": 1.0, "LitServe": 1.0}


def _inputs(sample: list[list[float]]) -> str:
    return json.dumps({"inputs": {"X": sample}})


def _environment(folder: Path, **more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
    search = f"{_BIN}:{os.environ['PATH']}"  # `mlflow models serve` calls uvicorn by its name
    return {**plain, "PATH": search, **processes.mark(folder, "peer"), **more}


def _spawn(command: list[str], folder: Path, name: str, more: Mapping[str, Any] | None = None) -> None:
    with (folder / f"{name}.log").open("wb") as log:
        subprocess.Popen(
            command, env=_environment(folder, **(more or {})), cwd=folder, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def _until_it_answers(peer: Peer, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            headers = {**_JSON, **peer.headers}
            answer = httpx.post(peer.url, content=peer.body, headers=headers, timeout=20, trust_env=False)
            if answer.status_code == 200:
                return
            assert answer.status_code in (404, 502, 503), f"{peer.name}: {answer.text[:500]}"
        assert time.monotonic() < deadline, f"{peer.name} does not answer"
        time.sleep(0.3)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
