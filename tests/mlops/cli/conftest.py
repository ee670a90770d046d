"""The command line in this process and as a process, over an MLOPS_HOME of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops.cli.main import main
from mlops.config import MLOpsConfig
from mlops.entities import ProjectWorkspace
from mlops.installation import Installation
from mlops.workspace import Workspace


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Invoke = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands find their installation; not set up yet."""
    for name in os.environ:
        if name.startswith("MLOPS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def invoke(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Runs `main` with these arguments."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["efficientai-toolkit", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return Result(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture
def command(home: Path) -> Invoke:
    """Runs the installed command, for its real exit code."""

    def run(*arguments: str) -> Result:
        done = subprocess.run(
            [Path(sys.executable).with_name("efficientai-toolkit"), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def installation(home: Path) -> Installation:
    """The installation, with folders and secrets."""
    made = Installation(MLOpsConfig(home=home))
    made.prepare()
    return made


@pytest.fixture
def register(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Records a project with memory backends and a local data store; returns its folder."""
    for capability, backend in (("TRACKING", "memory"), ("REGISTRY", "memory"), ("DATA", "local")):
        monkeypatch.setenv(f"MLOPS_{capability}_BACKEND", backend)

    def record(name: str) -> Path:
        root = tmp_path / name
        root.mkdir()
        (root / "project.toml").write_text(f'[project]\nname = "{name}"\n')
        info = ProjectWorkspace(
            project_name=name,
            namespace=name,
            mlflow_experiment_id="7",
            dvc_remote_path=str(installation.remotes_dir / name),
            airflow_dag_prefix=f"{name}__",
            serving_endpoint=f"/projects/{name}",
            root=root,
        )
        workspace = Workspace(info, Installation(MLOpsConfig.load()))
        workspace.data.prepare()
        installation.make_secret(installation.project_secret_name(name, "token"))
        workspace.save()
        return root

    return record


class GatewayServer:
    """A real HTTP server that answers each path with what `answers` holds for it; a list's one by one."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object] | list[tuple[int, object]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                asked = f"{self.command} {self.path}"
                server.asked.append((asked, self.headers["Authorization"]))
                answer = server.answers[asked]
                status, content = answer.pop(0) if isinstance(answer, list) else answer
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_DELETE = do_POST = _answer

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False  # commands leave their connections to the process's end
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def gateway(installation: Installation) -> Iterator[GatewayServer]:
    """What the commands take for the installation's gateway."""
    made = GatewayServer()
    (installation.root / "ports.json").write_text(json.dumps({"gateway": made.port}))
    yield made
    made.stop()
