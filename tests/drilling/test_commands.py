"""The project's commands and its description."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from drilling.cli import (
    demo,
    evaluate,
    export,
    generate,
    label,
    parse,
    plot,
    predict,
    promote,
    split,
    train,
    tune,
    validate,
)  # fmt: skip
from drilling.errors import InvalidConfig, NoLogs
from drilling.labeling import Label, LabelStore
from drilling.progress import staged
from drilling.synthetic import MARKER, TRUTH

PROJECT = Path(__file__).parents[2] / "projects" / "drilling"
COMMANDS = (
    evaluate, export, generate, label, parse, plot, predict, promote, split, train, tune, validate,
)  # fmt: skip


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
            "labelled": 2,
            "seed": 7,
            "truth": "truth.csv",
            "written": written,
        }


@pytest.mark.parametrize("command", [demo, *COMMANDS])
def test_every_command_offers_json(command: Callable[..., None]) -> None:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    assert "--json" in result.output


def invoke(command: Callable[..., None], *arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_examples(command: Callable[..., None]) -> None:
    output = invoke(command, "--help").output
    assert f"drilling:{command.__name__} " in output.split("Examples:")[1]


def test_generate_damages_logs_on_request_and_names_the_kinds(tmp_path: Path) -> None:
    assert "semicolons" in invoke(generate, tmp_path, "--break", "list").output.split("\n")
    result = invoke(generate, tmp_path / "out", "--holes", "10", "--break", "semicolons")
    assert result.exit_code == 0
    assert sum(b";" in path.read_bytes() for path in (tmp_path / "out").glob("*.xls")) == 1
    refused = invoke(generate, tmp_path / "other", "--holes", "2", "--break", "fire")
    assert isinstance(refused.exception, InvalidConfig)
    assert not (tmp_path / "other").exists()


def test_from_logs_to_folds_by_command(synthetic_folder: Path, tmp_path: Path) -> None:
    parsed, labels, folds = tmp_path / "parsed", tmp_path / "labels", tmp_path / "folds.json"
    result = invoke(parse, synthetic_folder, parsed, "--plots", tmp_path / "plots", "--json")
    assert json.loads(result.stdout)["read"] == 40
    assert (tmp_path / "plots" / "problems.csv").read_text().startswith("check,info,warning,error\n")
    result = invoke(
        label, parsed, labels, "--plots", tmp_path / "plots", "--figures", tmp_path / "f.json", "--json"
    )
    assert json.loads(result.stdout)["holes"] == 40
    assert json.loads((tmp_path / "f.json").read_text())["holes"] == 40
    assert (tmp_path / "plots" / "confidence.csv").read_text().startswith("from,to,holes")
    result = invoke(split, parsed, labels, folds, "--folds", "5", "--plots", tmp_path / "plots")
    assert "components" in result.output
    assert len((tmp_path / "plots" / "folds.csv").read_text().splitlines()) == 6


def test_people_s_labels_are_taken_from_a_file(synthetic_folder: Path, tmp_path: Path) -> None:
    parsed, mine = tmp_path / "parsed", tmp_path / "mine"
    invoke(parse, synthetic_folder, parsed)
    file = sorted(path.name for path in synthetic_folder.glob("*.xls"))[0]
    human = Label(
        file, 1.0, 2.0, 3.0, 10, 20, 30, "human", "by eye", None, "Ada", datetime(2026, 1, 2, tzinfo=UTC),
        "gui 1", None, "0" * 64,
    )  # fmt: skip
    store = LabelStore(tmp_path / "elsewhere")
    store.record(human)
    store.export_csv(tmp_path / "mine.csv")
    refused = invoke(label, parsed, tmp_path / "labels", "--import", tmp_path / "mine.csv")
    assert refused.exit_code == 2
    assert "--annotations" in refused.output
    result = invoke(
        label, parsed, tmp_path / "labels", "--import", tmp_path / "mine.csv", "--annotations", mine, "--json"
    )
    answer = json.loads(result.stdout)
    assert (answer["human"], answer["imported"]) == (1, 1)
    assert LabelStore(mine).current(file) == human


def test_one_log_is_parsed_validated_and_drawn(synthetic_folder: Path, tmp_path: Path) -> None:
    path = sorted(synthetic_folder.glob("*.xls"))[0]
    assert json.loads(invoke(parse, path, "--json").stdout)["rows"] > 50
    assert "broken_names" in invoke(parse, path).output
    assert json.loads(invoke(validate, path, "--json").stdout)["files"] == 1
    result = invoke(plot, path, "--out", tmp_path, "--json")
    (picture,) = json.loads(result.stdout)["pictures"]
    assert Path(picture).read_bytes().startswith(b"\x89PNG")


def test_a_folder_is_validated_past_files_without_a_signal(synthetic_folder: Path, tmp_path: Path) -> None:
    for path in sorted(synthetic_folder.glob("*.xls"))[:5]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.xls").write_text("nothing")
    result = invoke(validate, tmp_path, "--csv", tmp_path / "findings.csv")
    assert result.exit_code == 0
    assert "no_signal" in result.output
    assert "broken.xls" in (tmp_path / "findings.csv").read_text()
    assert invoke(validate, tmp_path, "--strict").exit_code == 1


def test_a_folder_is_drawn_with_its_errors(synthetic_folder: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for path in [
        *sorted(synthetic_folder.glob("*.xls"))[:6],
        synthetic_folder / MARKER,
        synthetic_folder / TRUTH,
    ]:
        (logs / path.name).write_bytes(path.read_bytes())
    result = invoke(plot, logs, "--out", tmp_path / "out", "--worst", "1")
    assert result.exit_code == 0, result.output
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert {
        "overlay.png",
        "wear.png",
        "thickness.png",
        "problems.png",
        "errors.png",
        "calibration.png",
    } <= names
    assert sum(name.startswith("unsure/") for name in names) == 1


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (parse, ("gone",)),
        (validate, ("gone",)),
        (plot, ("gone",)),
        (label, ("gone", "labels")),
        (split, ("gone", "labels", "folds.json")),
    ],
)
def test_a_folder_that_is_not_there_is_named(
    command: Callable[..., None], arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = invoke(command, *arguments).exception
    assert isinstance(error, NoLogs)
    assert "gone does not exist" in str(error)
    assert list(tmp_path.iterdir()) == []


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
    heavy = "{'torch', 'polars', 'matplotlib', 'onnx', 'optuna', 'ray'}"
    code = f"import sys, drilling.cli; print(sorted({heavy} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_the_commands_of_the_project_file_exist() -> None:
    description = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    commands = description["project"]["entry-points"]["mlops.commands"]
    names = (
        "demo", "evaluate", "export", "generate", "label", "parse", "plot", "predict", "promote", "split",
        "train", "tune", "validate",
    )  # fmt: skip
    assert set(commands) == {f"drilling:{name}" for name in names}
    for target in commands.values():
        module, function = target.split(":")
        assert callable(getattr(import_module(module), function))
