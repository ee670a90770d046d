"""What else serves an ONNX model, each started with one process for it and one thread of ONNX Runtime."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mlops.installation import LOOPBACK
from mlops.services import processes
from mlops.serving.bento import environment
from tests.bench.load import Peer
from tests.bench.served import RAY_FOLDER, Model

FASTAPI, BENTOML, MLFLOW = "FastAPI + ONNX Runtime", "bentoml serve", "mlflow models serve"
LITSERVE, RAY_SERVE = "LitServe", "Ray Serve's proxy"
_BIN, _HERE = Path(sys.executable).parent, Path(__file__).parent


def start_all(model: Model) -> list[Peer]:
    """Start the servers, which end with the stack."""
    graph = model.graph
    return [start(model, graph) for start in _PEERS]


def _fastapi(model: Model, graph: Path) -> Peer:
    port = _free_port()
    script = str(_HERE / "serving_fastapi.py")
    _spawn([sys.executable, script, str(port), str(graph)], model.stack.folder, "fastapi")
    return Peer(FASTAPI, f"http://{LOOPBACK}:{port}/predict", model.body)


def _bentoml(model: Model, _: Path) -> Peer:
    """The Bento that we deployed."""
    port, folder = _free_port(), model.stack.folder
    bento = next(model.stack.installation.bentos_dir.rglob("bento.yaml")).parent
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", LOOPBACK, "--port", str(port)]
    _spawn(command, folder, "bentoml", environment(folder / "bentoml"))
    return Peer(BENTOML, f"http://{LOOPBACK}:{port}/predict", model.body)


def _mlflow(model: Model, graph: Path) -> Peer:
    port, folder = _free_port(), Path(shutil.copytree(graph.parent, model.stack.folder / "mlflow"))
    stated = yaml.safe_load((folder / "MLmodel").read_text())
    stated["flavors"]["onnx"]["onnx_session_options"] = {"intra_op_num_threads": 1}
    (folder / "MLmodel").write_text(yaml.safe_dump(stated))
    command = [str(_BIN / "mlflow"), "models", "serve", "-m", str(folder), "--env-manager", "local"]
    _spawn([*command, "--host", LOOPBACK, "--port", str(port)], model.stack.folder, "mlflow")
    return Peer(MLFLOW, f"http://{LOOPBACK}:{port}/invocations", model.body)


def _litserve(model: Model, graph: Path) -> Peer:
    port, home, uv = _free_port(), model.stack.folder / "litserve", str(_BIN / "uv")
    home.mkdir()
    for command in (
        ["venv", "--clear", "--python", sys.executable, "."],
        ["pip", "install", "--python", "bin/python", "litserve", "onnxruntime", "numpy"],
    ):
        # From there: in our folder uv would hold to our constraints.
        subprocess.run([uv, *command, "--quiet"], cwd=home, check=True)
    command = [str(home / "bin" / "python"), str(_HERE / "serving_litserve.py"), str(port), str(graph)]
    _spawn(command, model.stack.folder, "litserve")
    return Peer(LITSERVE, f"http://{LOOPBACK}:{port}/predict", model.body)


def _ray_serve(model: Model, graph: Path) -> Peer:
    folder, http = model.stack.folder, _free_port()
    ray = model.stack.installation.choose_ports(["bench-ray"])["bench-ray"]
    command = [str(_BIN / "ray"), "start", "--head", "--block", "--port", str(ray), "--disable-usage-stats"]
    short = tempfile.mkdtemp(prefix="r", dir="/tmp")
    (folder / RAY_FOLDER).symlink_to(short)
    _spawn([*command, "--temp-dir", short], folder, "ray")
    deploy = [sys.executable, str(_HERE / "serving_ray.py"), f"{LOOPBACK}:{ray}", str(graph), str(http)]
    until = time.monotonic() + 60
    while True:
        done = subprocess.run(deploy, env=_environment(folder), capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        assert time.monotonic() < until, done.stderr[-2000:]
        time.sleep(1)
    return Peer(RAY_SERVE, f"http://{LOOPBACK}:{http}/predict", model.body)


_PEERS: tuple[Callable[[Model, Path], Peer], ...] = (_fastapi, _bentoml, _mlflow, _litserve, _ray_serve)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
