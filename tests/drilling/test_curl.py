"""The lines that are printed for a shell: they work when pasted, and keep the token out of arguments."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drilling.demo import _curl
from mlops import Deployment
from mlops.entities import DeploymentState

DOCS = Path(__file__).parents[2] / "docs"
TOKEN = "a_token-of-43-characters"
URL = "http://127.0.0.1:1/projects/drilling/models/keypoints/predict"
SHELLS = [pytest.param(name, id=name) for name in ("sh", "bash", "zsh")]


@pytest.fixture
def paste(tmp_path: Path):
    """Runs a line in a shell, with a curl that only notes what it was given: (arguments, input)."""
    programs = tmp_path / "bin"
    programs.mkdir()
    curl = programs / "curl"
    curl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {programs}/arguments\ncat > {programs}/input\n')
    curl.chmod(0o755)

    def run(shell: str, line: str, **environment: str) -> tuple[list[str], str]:
        program = shutil.which(shell)
        if program is None:
            pytest.skip(f"{shell} is not installed")
        search = {"PATH": f"{programs}:/usr/bin:/bin", **environment}
        subprocess.run([program, "-c", line], env=search, check=True, timeout=30)
        return (programs / "arguments").read_text().splitlines(), (programs / "input").read_text()

    return run


@pytest.mark.parametrize("shell", SHELLS)
def test_demos_line_gives_the_token_by_a_pipe(client, paste, shell: str) -> None:
    client.root = client.root / "it's a home"
    client.token_file.parent.mkdir(parents=True)
    client.token_file.write_text(f"{TOKEN}\n")
    now = datetime.now(UTC)
    deployment = Deployment(1, "drilling", "keypoints", 1, DeploymentState.RUNNING, 1, URL, now, now)
    line = _curl(client, deployment, client.root / "data" / "a hole.xls")
    assert "\n" not in line
    arguments, text = paste(shell, line)
    assert text == f'header = "Authorization: Bearer {TOKEN}"\n'
    assert arguments == [
        *("-sS", "-K", "-", "-H", "Content-Type: application/octet-stream"),
        *("--data-binary", f"@{client.root}/data/a hole.xls", URL),
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_line_of_the_documentation_gives_the_token_by_a_pipe(tmp_path: Path, paste, shell: str) -> None:
    home = tmp_path / "a home"
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / "project.drilling.token").write_text(TOKEN)
    examples = re.findall(r"```\w*\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
    line = next(example for example in examples if "curl" in example)
    arguments, text = paste(shell, line, MLOPS_HOME=str(home))
    assert text == f'header = "Authorization: Bearer {TOKEN}"\n'
    assert not any(TOKEN in argument for argument in arguments)
    assert arguments[-1].endswith("/predict")


def test_no_page_puts_a_token_into_arguments() -> None:
    for page in (*DOCS.rglob("*.md"), DOCS.parent / "README.md"):
        assert not re.search(r"(-H|--header)\s+\S?Authorization", page.read_text()), page.name
