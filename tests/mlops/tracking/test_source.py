"""Where a run comes from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops.tracking.source import source_tags


def test_the_commit_is_that_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "train.py").touch()
    subprocess.run([*git, "add", "train.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    tags = source_tags()
    assert tags["mlflow.source.git.commit"] == head.strip()
    assert tags["mlflow.source.name"] == str(tmp_path / "train.py")
    assert tags["mlflow.source.type"] == "LOCAL"


@pytest.mark.parametrize("argv", [[], [""], ["/nowhere/at/all.py"]])
def test_what_is_not_known_is_left_out(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    tags = source_tags()
    assert "mlflow.source.git.commit" not in tags
    assert all(tags.values())


def test_without_git_and_without_a_user_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "alone" / "train.py")])
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    tags = source_tags()
    assert "mlflow.source.git.commit" not in tags
    assert "mlflow.user" not in tags
