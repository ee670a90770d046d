"""A Ray cluster elsewhere with several nodes: here on one machine, each with a loopback address."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from mlops.cluster import serve_environment
from mlops.serving.base import Phase, ReplicaLimits
from mlops.serving.ray import RayModelServer
from tests.contracts.test_serving_contract import ANSWER, ROWS, wait
from tests.mlops.serving.fixtures import bento, bentos_home, free_port, onnx_model  # noqa: F401
from tests.mlops.serving.models import HEADERS, SECRET, a_deployment

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:::(_bentoml_.*|pathspec)(\..*)?"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has no clusters of several nodes elsewhere"),
]

HEAD, NODES = "127.0.0.2", ("127.0.0.3", "127.0.0.4")


@dataclass
class Cluster:
    """A head without cores, and nodes with one each."""

    folder: Path
    port: int
    token: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{HEAD}:{self.port}"

    def start(self, name: str, *arguments: str) -> None:
        """`ray start` in the foreground; returns when the node runs."""
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats",
            f"--node-ip-address={name}", f"--dashboard-agent-listen-port={free_port()}",
            "--object-store-memory=80000000", *arguments,
        ]  # fmt: skip
        token = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "SPT_NOENV": "1",
        }
        environment = {**os.environ, **serve_environment(loopback=False), **token}
        file = self.folder / name
        with file.open("wb") as log:
            self.processes.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            )
        deadline = time.monotonic() + 90
        while b"Ray runtime started" not in file.read_bytes():
            assert self.processes[-1].poll() is None, file.read_text()
            assert time.monotonic() < deadline, file.read_text()
            time.sleep(0.1)

    def close(self) -> None:
        started = [psutil.Process(each.pid) for each in self.processes]
        for process in [*started, *(child for each in started for child in each.children(recursive=True))]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for each in self.processes:
            each.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    made = Cluster(folder, free_port(), secrets.token_hex(32))
    (folder / "token").touch(0o600)
    (folder / "token").write_text(made.token)
    try:
        made.start(
            HEAD, "--head", f"--port={made.port}", f"--temp-dir={folder / 's'}", "--num-cpus=0",
            "--include-dashboard=false", "--no-monitor", "--include-log-monitor=false",
        )  # fmt: skip
        for node in NODES:
            made.start(node, f"--address={made.address}", "--num-cpus=1", "--include-log-monitor=false")
        yield made
    finally:
        made.close()


def test_replicas_on_several_nodes_answer(cluster: Cluster, bento: Path) -> None:  # noqa: F811
    # A process keeps what Ray took from the environment at its first session: this one has another kind.
    done = subprocess.run(
        [sys.executable, "-m", __name__, cluster.address, str(bento)],
        input=cluster.token,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(NODES)


def drive(address: str, token: str, bento: Path) -> None:  # noqa: F811
    """Deploy two replicas, ask each, and print on which nodes they are."""
    server = RayModelServer(address, token=token, secret=SECRET, installation="ours")
    try:
        server.deploy(a_deployment(1, replicas=2), bento, ReplicaLimits(cpus=0.8, memory_mb=700))
        served = wait(server, 1, Phase.RUNNING, 120)
        assert served is not None
        for url in served.urls:
            assert httpx.post(f"{url}/predict", json=ROWS, headers=HEADERS).json() == ANSWER
            assert httpx.post(f"{url}/predict", json=ROWS).status_code == 401
        print(*(urlsplit(url).hostname for url in served.urls))
        server.remove(1)
        wait(server, 1, None)
    finally:
        server.close()


if __name__ == "__main__":
    drive(sys.argv[1], sys.stdin.read(), Path(sys.argv[2]))
