"""Programs that log into a project's runs: real processes over one home, with or without a server."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops import MLOpsClient
from mlops.config import MLOpsConfig
from mlops.entities import ProjectWorkspace
from mlops.installation import Installation, write_private
from mlops.tracking import codec
from mlops.tracking.output import collect, logs
from mlops.tracking.run_folder import RunFolder, run_folders
from mlops.tracking.segment import records
from mlops.workspace import Workspace

NOWHERE = "http://127.0.0.1:9"
"""An address where no server answers."""
_LONGEST_S = 240
FORKED = "This process"
"""Python 3.12 warns of each fork of a process with threads, and ours has a sender."""

_BEGIN = """
import os, signal, sys, threading, time
from mlops import MLOpsClient
client = MLOpsClient.from_project({project!r})
"""


@dataclass
class Program:
    """A program that has ended."""

    status: int
    out: str
    err: str


class Home:
    """A home with one registered project, and the programs that work in it."""

    def __init__(self, folder: Path, url: str = NOWHERE, backend: str = "mlflow", **account: str) -> None:
        """`account`: `project`, `namespace`, `password`, `experiment_id` at the server of `url`."""
        self.project = account.get("project", "alpha")
        self.config = MLOpsConfig(
            home=folder / "home", mlflow_uri=url, tracking_backend=backend, registry_backend=backend
        )
        self.installation = Installation(self.config)
        self.installation.prepare()
        self.root = folder / self.project
        self.root.mkdir(exist_ok=True)
        (self.root / "project.toml").write_text(f'[project]\nname = "{self.project}"\n')
        info = ProjectWorkspace.of(
            self.project,
            account.get("namespace", self.project),
            account.get("experiment_id", "7"),
            str(self.installation.remotes_dir),
            self.root,
        )
        self.workspace = Workspace(info, self.installation)
        name = self.installation.project_secret_name(self.project, "mlflow")
        self.installation.make_secret(name)
        write_private(self.installation.secret_file(name), account.get("password", "unknown"))
        self.workspace.save()

    def client(self) -> MLOpsClient:
        """A client of this process."""
        return MLOpsClient.from_project(self.project, config=self.config)

    def start(self, script: str, **environment: str) -> subprocess.Popen[str]:
        """Start a program that has `client`; warnings are errors in it."""
        path = self.root / "program.py"
        path.write_text(_BEGIN.format(project=self.project) + textwrap.dedent(script))
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-W", f"ignore:{FORKED}:DeprecationWarning", str(path)],
            cwd=self.root,
            env=os.environ
            | {"MLOPS_HOME": str(self.config.home), "MLOPS_MLFLOW_URI": str(self.config.mlflow_uri)}
            | {"PYTHONPATH": os.pathsep.join(sys.path)}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str, **environment: str) -> Program:
        """Run a program to its end."""
        process = self.start(script, **environment)
        try:
            out, err = process.communicate(timeout=_LONGEST_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return Program(process.returncode, out, err)

    def folders(self) -> list[RunFolder]:
        """The runs in the journal, oldest first."""
        return sorted(run_folders(self.workspace.journal_dir), key=lambda each: each.opening().started_ms)

    def only(self) -> Recorded:
        """What the only run recorded."""
        (folder,) = self.folders()
        return Recorded(folder)


class Recorded:
    """What a run's journal holds."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.opening = folder.opening()
        self.metrics: list[tuple[str, int, float]] = []
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.statuses: list[str] = []
        self.files: dict[str, str] = {}
        for segment in folder.segments():
            decoder = codec.Decoder()
            for payload, _ in records(segment):
                self._add(decoder.decode(payload))

    def _add(self, record: Any) -> None:
        if isinstance(record, codec.Points):
            self.metrics += [
                (key, record.step, value) for key, value in zip(record.keys, record.values, strict=True)
            ]
        elif record is not None and record["op"] == "texts":
            self.params |= record["params"]
            self.tags |= record["tags"]
        elif record is not None and record["op"] == "status":
            self.statuses.append(record["status"])
        elif record is not None and record["op"] == "file":
            path = self.folder.files / record["kept"] / record["name"]
            self.files[record["name"]] = path.read_text()

    def printed(self, to: Path) -> str:
        """What the run printed, of a program that did not make a file of it."""
        (log,) = logs(self.folder.output)
        whole = collect(log, to)
        return whole.read_text() if whole else ""
