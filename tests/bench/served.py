"""What the serving benchmarks serve, on a stack of their own: a tiny model, and one of the drilling project's
size, whose weights are as they were drawn, which its time does not depend on."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mlops.client import MLOpsClient
from mlops.config import MLOpsConfig
from mlops.installation import Installation
from mlops.registration import register
from mlops.services import control, processes
from mlops.store.store import Store
from tests.bench.digits import DIGITS, Source, digits_job
from tests.bench.load import Peer

Arrays = Mapping[str, np.ndarray]

RAY_FOLDER = "ray-temp"
"""A link to where a peer's Ray keeps its sockets, whose paths must be short."""
_DRILLING = Source(Path(__file__).parents[2] / "projects" / "drilling")
_HOLES = 15


@dataclass(frozen=True)
class Stack:
    """The services, and a folder for all else."""

    installation: Installation
    folder: Path

    def join(self, source: Source) -> MLOpsClient:
        """Register a copy of the project."""
        store = Store(self.installation.database_url())
        workspace = register(source.copy_to(self.folder / source.folder.name), self.installation, store)
        store.close()
        return MLOpsClient.from_project(workspace.info.project_name, config=self.installation.config)


@contextmanager
def stack() -> Iterator[Stack]:
    """Start it; at the end nothing of it is left, nor of the peers started in its folder."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        installation = Installation(MLOpsConfig(home=folder / "home"))
        try:
            control.start(installation)
            yield Stack(installation, folder)
        finally:
            processes.end_all(folder)
            shutil.rmtree((folder / RAY_FOLDER).resolve(), ignore_errors=True)
            control.stop(installation)


@dataclass(frozen=True)
class Model:
    """A model of a project that joined the stack, with one input."""

    title: str
    """In the results."""
    name: str
    inputs: Arrays
    client: MLOpsClient
    stack: Stack
    train: Callable[[], int]
    """Registers a further version, whose number it returns."""

    @property
    def project(self) -> str:
        """Its name."""
        return self.client.project.name

    @cached_property
    def body(self) -> bytes:
        """The input as JSON."""
        return json.dumps({"inputs": {name: array.tolist() for name, array in self.inputs.items()}}).encode()

    def endpoint(self, deadline_s: float | None = None) -> Peer:
        """By our gateway, with the project's token."""
        installation = self.stack.installation
        url = f"{installation.gateway_url}/projects/{self.project}/models/{self.name}/predict"
        headers = {"Authorization": f"Bearer {installation.secret(f'project.{self.project}.token')}"}
        if deadline_s is not None:
            headers["X-Request-Timeout"] = f"{deadline_s:g}"
        return Peer("ours", url, self.body, headers)

    def binary_endpoint(self) -> Peer:
        """The same by the Open Inference Protocol, with binary tensors."""
        installation, json_peer = self.stack.installation, self.endpoint()
        told: dict[str, Any] = {"inputs": [], "parameters": {"binary_data_output": True}}
        for name, array in self.inputs.items():
            described = {"name": name, "datatype": "FP32", "shape": list(array.shape)}
            told["inputs"].append({**described, "parameters": {"binary_data_size": array.nbytes}})
        header = json.dumps(told).encode()
        headers = {**json_peer.headers, "Content-Type": "application/octet-stream"}
        headers["Inference-Header-Content-Length"] = str(len(header))
        url = f"{installation.gateway_url}/projects/{self.project}/v2/models/{self.name}/infer"
        return Peer(
            "ours, binary", url, header + b"".join(a.tobytes() for a in self.inputs.values()), headers
        )

    @cached_property
    def graph(self) -> Path:
        """The file of version 1."""
        folder = self.client.download_model(self.name, 1, self.stack.folder / f"model-{self.project}")
        return next(folder.rglob("*.onnx"))


def tiny(stack: Stack) -> Model:
    """A logistic regression of 64 inputs, registered once."""
    client, job = stack.join(DIGITS), digits_job()
    trained = job.train(client)
    return Model(
        "tiny model", "digits", {"X": trained.sample}, client, stack,
        lambda: int(job.train(client).version.version),
    )  # fmt: skip


def drilling(stack: Stack) -> Model:
    """The network for key points with one synthetic hole's windows, registered once."""
    from drilling.answers import Answers
    from drilling.export import open_session, run_onnx
    from drilling.registration import MODEL_NAME, register

    client, windows = stack.join(_DRILLING), _hole()
    network = _untrained()
    answers: Answers = run_onnx(open_session(network), windows)

    def train() -> int:
        with client.start_run("untrained"):
            return int(
                register(client, network, MODEL_NAME, windows, answers, answers.keypoints_mm).version or 0
            )

    assert train() == 1
    return Model("drilling model", MODEL_NAME, windows.as_dict(), client, stack, train)


def _hole() -> Any:
    """Of some synthetic holes the one with the median number of windows."""
    from drilling.depth_grid import grid_of, hole_windows
    from drilling.setitec import read_log
    from drilling.synthetic import make_hole

    logs = (read_log(make_hole(number, holes=4000, seed=11).content) for number in range(_HOLES))
    holes = sorted((hole_windows([grid_of(log)]) for log in logs), key=lambda hole: hole.signals.shape[1])
    return holes[_HOLES // 2]


def _untrained() -> onnx.ModelProto:
    import torch

    from drilling.config import TrainingConfig
    from drilling.export import to_onnx
    from drilling.model import KeypointModel

    torch.manual_seed(0)
    return to_onnx(KeypointModel(TrainingConfig().size()).eval())


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
