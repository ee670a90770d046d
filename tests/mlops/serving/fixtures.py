"""Fixtures of the serving and worker tests, made once for a test process whoever imports them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.cluster import head_command, head_environment
from mlops.services.processes import mark
from mlops.serving.bento import folder
from tests.mlops.serving.models import package, save_onnx, tag_of

_made: dict[str, Path] = {}

_TOKEN = secrets.token_hex(32)
"""Of every head in this process: what Ray read at its first session it keeps."""


@pytest.fixture(scope="session")
def onnx_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow model folder with an ONNX graph."""
    if "onnx_model" not in _made:
        _made["onnx_model"] = save_onnx(tmp_path_factory.mktemp("model") / "onnx")
    return _made["onnx_model"]


@pytest.fixture(scope="session")
def bentos_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME."""
    if "home" not in _made:
        _made["home"] = tmp_path_factory.mktemp("bentos")
    return _made["home"]


@pytest.fixture(scope="session")
def bento(onnx_model: Path, bentos_home: Path) -> Path:
    """The ONNX model's Bento."""
    if "bento" not in _made:
        _made["bento"] = folder(bentos_home, tag_of(package(onnx_model, bentos_home)))
    return _made["bento"]


@pytest.fixture(scope="session")
def broken_model(onnx_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow model folder whose graph cannot be opened."""
    broken = tmp_path_factory.mktemp("broken") / "model"
    shutil.copytree(onnx_model, broken)
    (broken / "model.onnx").write_bytes(b"no graph")
    return broken


@pytest.fixture(scope="session")
def broken_bento(broken_model: Path, bentos_home: Path) -> Path:
    """The Bento of a model that cannot be opened."""
    return folder(bentos_home, tag_of(package(broken_model, bentos_home, build="broken")))


class RayHead:
    """A Ray head of the tests, in a process group of its own."""

    def __init__(self) -> None:
        self.port, self._agent_port = free_port(), free_port()
        self.token = _TOKEN
        self.folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
        token_file = self.folder / "token"
        token_file.touch(0o600)
        token_file.write_text(self.token)
        self.mark = mark(self.folder, "ray")
        self._environment = {**os.environ, **head_environment(token_file), **self.mark}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = head_command(port=self.port, temp_dir=self.folder / "s", agent_port=self._agent_port)
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while b"Ray runtime started" not in (self.folder / "log").read_bytes():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)

    @property
    def group(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As a power cut would: the whole group at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def ray_head() -> Iterator[RayHead]:
    head = RayHead()
    try:
        head.start()
        yield head
    finally:
        head.close()


def free_port() -> int:
    for _ in range(1000):
        port = 20100 + secrets.randbelow(9800)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
