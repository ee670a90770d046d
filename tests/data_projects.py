"""Projects whose data real DVC and git keep, over tracker and registry in memory: no server is needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mlops.client import MLOpsClient
from mlops.config import MLOpsConfig
from mlops.entities import ProjectWorkspace
from mlops.installation import Installation
from mlops.workspace import Workspace

WHO = ("-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false")


def git(folder: Path, *words: str) -> str:
    """Call git; returns what it prints."""
    done = subprocess.run(["git", *WHO, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(folder: Path) -> Path:
    """A git repository with one commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "start")
    return folder


def installation_in(home: Path) -> Installation:
    """An installation with folders and secrets, tracker and registry in memory."""
    made = Installation(MLOpsConfig(home=home, tracking_backend="memory", registry_backend="memory"))
    made.prepare()
    return made


def join(installation: Installation, root: Path, toml: str = "") -> MLOpsClient:
    """Record a project as registration does, without servers; returns its client."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "project.toml").write_text(f'[project]\nname = "{root.name}"\n{toml}')
    info = ProjectWorkspace.of(root.name, root.name, "7", installation.data_remote(root.name), root)
    workspace = Workspace(info, installation)
    workspace.data.prepare()
    installation.make_secret(installation.project_secret_name(root.name, "token"))
    workspace.save()
    return MLOpsClient.from_project(root.name, config=installation.config)


def write(client: MLOpsClient, path: str, text: str | bytes = "x") -> Path:
    """Write a file of the project."""
    file = client.project.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # it may be a link to the cache
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their content."""
    return {
        str(Path(parent, name).relative_to(folder)): Path(parent, name).read_bytes()
        for parent, _, names in os.walk(folder)
        for name in names
    }
