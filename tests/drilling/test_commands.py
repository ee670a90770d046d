"""The project's commands and its description."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from drilling.cli import demo, generate
from drilling.progress import staged

PROJECT = Path(__file__).parents[2] / "projects" / "drilling"


def test_generate_writes_a_set(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(generate)
    result = CliRunner().invoke(app, [str(tmp_path / "out"), "--holes", "2"])
    assert result.exit_code == 0, result.output
    assert "2 synthetic logs written to" in result.output
    assert len(list((tmp_path / "out").glob("*.xls"))) == 2


def test_generate_answers_in_json_what_it_wrote(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(generate)
    folder = tmp_path / "out"
    for written in (True, False):
        result = CliRunner().invoke(app, [str(folder), "--holes", "2", "--json"])
        assert json.loads(result.stdout) == {
            "folder": str(folder),
            "holes": 2,
            "seed": 7,
            "truth": "truth.csv",
            "written": written,
        }


@pytest.mark.parametrize("command", [generate, demo])
def test_every_command_offers_json(command: Callable[..., None]) -> None:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    assert "--json" in result.output


def test_demo_describes_its_options() -> None:
    app = typer.Typer()
    app.command()(demo)
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == 0
    for option in ("--logs", "--holes", "--epochs", "--json"):
        assert option in result.output


def test_the_stage_of_a_step_is_shown_on_the_error_stream(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with staged("Deploying keypoints") as show:
        for stage in ("packaging", "starting", "running"):
            show(stage)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1, "no spinner where no terminal is"
    assert lines[0].startswith("Deploying keypoints")
    assert "running" in lines[0]


def test_the_stage_of_a_step_is_shown_while_it_lasts_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with staged("Deploying keypoints") as show:
        show("packaging")
        time.sleep(0.3)
        assert "packaging" in capsys.readouterr().err


def test_listing_the_commands_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'polars', 'matplotlib', 'onnx'}"
    code = f"import sys, drilling.cli; print(sorted({heavy} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_the_commands_of_the_project_file_exist() -> None:
    description = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    commands = description["project"]["entry-points"]["mlops.commands"]
    assert set(commands) == {"drilling:demo", "drilling:generate"}
    for target in commands.values():
        module, function = target.split(":")
        assert callable(getattr(import_module(module), function))
