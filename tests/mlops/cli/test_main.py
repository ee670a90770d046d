"""Help, errors and exit codes, and the commands that projects add."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops import errors
from mlops.cli.main import EXIT_CODES, build_app, exit_code

COMMANDS = [
    command.name
    for command in build_app().registered_commands
    if command.name is not None and command.name.startswith("mlops:")
]

ROOT = Path(__file__).parents[3]

HEAVY = ["mlflow", "dvc", "ray", "bentoml", "evidently", "torch", "numpy", "pandas", "rich"]

_MODULES_AFTER = """
import json, sys
from mlops.cli.main import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)
"""


def modules_after(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _MODULES_AFTER, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout
    return set(json.loads(done.stderr.splitlines()[-1]))


def tree(kind: type[errors.MLOpsError]) -> list[type[errors.MLOpsError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in tree(child))]


# -- help ---------------------------------------------------------------------------------------


def test_commands_are_these() -> None:
    assert set(COMMANDS) == {
        *("mlops:setup", "mlops:start", "mlops:stop", "mlops:restart"),
        *("mlops:status", "mlops:logs", "mlops:doctor", "mlops:dashboard"),
        *("mlops:register", "mlops:projects", "mlops:runs"),
        *("mlops:deploy", "mlops:undeploy", "mlops:list-deployments", "mlops:inferences", "mlops:export"),
        *("mlops:promote", "mlops:rollback", "mlops:canary"),
        *("mlops:dvc-add", "mlops:dvc-push", "mlops:dvc-pull", "mlops:dvc-status", "mlops:dvc-checkout"),
        *("mlops:gc", "mlops:lineage"),
        *("mlops:hardware", "mlops:ane-report"),
        *("mlops:sync", "mlops:drift", "mlops:evidently", "mlops:performance"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_an_example_and_json(name: str, invoke) -> None:
    result = invoke(name, "--help")
    assert result.code == 0
    assert "Example: " in result.out
    assert f"efficientai-toolkit {name}" in " ".join(result.out.split())
    assert "--json" in result.out


def test_help_imports_no_heavy_tool_nor_what_costs(home: Path) -> None:
    costly = {*HEAVY, "pydantic", "sqlalchemy", "psycopg", "httpx", "psutil", "fastapi"}
    assert modules_after("--help") & costly == set()


def test_status_imports_no_database_nor_http(home: Path) -> None:
    assert modules_after("mlops:status") & {*HEAVY, "sqlalchemy", "psycopg", "httpx", "psutil"} == set()


# -- errors and exit codes ----------------------------------------------------------------------


def test_installed_command_answers_with_documented_codes(command) -> None:
    help_ = command("--help")
    assert (help_.code, help_.err) == (0, "")
    assert command("mlops:nope").code == 2
    missing = command("mlops:undeploy", "net", "-p", "alpha", "--json")
    assert (missing.code, missing.json["error"]["type"]) == (3, "ConfigError")
    assert missing.err.startswith("error: ")
    assert "Traceback" not in missing.err


def test_module_is_the_command(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlops.cli", "mlops:status"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7
    assert done.stdout.startswith("SERVICE")


_UV = Path(sys.executable).with_name("uv")


@pytest.mark.skipif(not _UV.is_file(), reason="uv is not installed beside this Python")
@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="the repository is not here")
def test_uv_runs_the_command_from_the_repository(home: Path) -> None:
    done = subprocess.run(
        [_UV, "run", "--no-sync", "--offline", "efficientai-toolkit", "mlops:status"],
        # The environment that the tests run in, wherever it lies.
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": sys.prefix},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("SERVICE")
    assert not home.exists()


@pytest.mark.parametrize("kind", tree(errors.MLOpsError), ids=lambda kind: kind.__name__)
def test_each_error_has_the_code_of_its_nearest_row(kind: type[errors.MLOpsError]) -> None:
    nearest = next(base for base in kind.__mro__ if base in EXIT_CODES)
    assert exit_code(kind.__new__(kind)) == EXIT_CODES[nearest]


def test_codes_leave_the_shells_own_alone() -> None:
    assert set(EXIT_CODES.values()) <= {1, *range(3, 64)}


# -- commands of projects -----------------------------------------------------------------------

_PROJECT_CLI = """
from pathlib import Path
from typing import Annotated
import typer
from mlops import errors

def greet(name: str, loud: bool = False) -> None:
    "Greet somebody."
    print(f"Hello {name}{'!' if loud else ''}")

def fail(kind: str, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    "Raise an error of the platform."
    raise getattr(errors, kind).from_json(
        {"error": {"type": kind, "message": "it went wrong", "remedy": "Do this.", "fields": {"a": 1}}}
    )
"""


@pytest.fixture
def project_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution `greeting` with the commands greeting:greet, :fail and :broken."""
    site = tmp_path / "site"
    info = site / "greeting-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mlops.commands]\n"
        "greeting:greet = greeting_cli:greet\n"
        "greeting:fail = greeting_cli:fail\n"
        "greeting:broken = greeting_that_is_not_there:run\n"
    )
    (site / "greeting_cli.py").write_text(_PROJECT_CLI)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "greeting_cli", raising=False)
    return site


def test_projects_commands_are_listed_without_being_imported(project_commands: Path, invoke) -> None:
    listed = invoke("--help").out
    assert all(f"greeting:{name}" in listed for name in ("greet", "fail", "broken"))
    assert "A command of project greeting" in listed
    assert "greeting_cli" not in sys.modules


def test_platforms_commands_do_not_import_projects(project_commands: Path, invoke) -> None:
    assert invoke("mlops:status").code == 7
    assert "greeting_cli" not in sys.modules


def test_projects_command_runs_with_its_own_help(project_commands: Path, invoke) -> None:
    result = invoke("greeting:greet", "Ada", "--loud")
    assert (result.code, result.out) == (0, "Hello Ada!\n")
    assert "Greet somebody." in invoke("greeting:greet", "--help").out
    assert invoke("greeting:greet").code == 2


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("MLOpsError", 1),
        ("ConfigError", 3),
        ("ProjectFileError", 3),
        ("InvalidName", 3),
        ("InvalidInput", 3),
        ("ProjectNotFound", 4),
        ("ProjectExists", 5),
        ("NoActiveRun", 5),
        ("Unauthorized", 6),
        ("Forbidden", 6),
        ("ServiceUnavailable", 7),
        ("PortTaken", 7),
        ("DeploymentFailed", 8),
        ("DataError", 9),
    ],
)
def test_error_ends_the_command_with_its_code(project_commands: Path, invoke, kind: str, code: int) -> None:
    result = invoke("greeting:fail", kind)
    assert result.code == code
    assert result.err == "error: it went wrong\n  → Do this.\n"
    assert result.out == ""
    shown = invoke("greeting:fail", kind, "--json")
    assert shown.code == code
    assert shown.json == {
        "error": {"type": kind, "message": "it went wrong", "remedy": "Do this.", "fields": {"a": 1}}
    }


# -- the project meant --------------------------------------------------------------------------


def test_project_is_that_of_the_folder_or_the_option(
    register: Callable[[str], Path], invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha, beta = register("alpha"), register("beta")
    for root in (alpha, beta):
        (root / "raw.csv").write_text(root.name)
    monkeypatch.chdir(alpha)
    assert invoke("mlops:dvc-add", "raw.csv", "--json").json["project"] == "alpha"
    assert invoke("mlops:dvc-add", "raw.csv", "--json", "--project", "beta").json["project"] == "beta"


def test_no_project_here_is_told_with_the_option(
    invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("mlops:dvc-push")
    assert result.code == 4
    assert "--project" in result.err


def test_unsafe_project_name_is_refused(invoke) -> None:
    assert invoke("mlops:dvc-push", "-p", "../x").code == 3


def test_bad_setting_is_told_before_anything_starts(invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_GATEWAY_PORT", "http")
    result = invoke("mlops:start")
    assert result.code == 3
    assert "MLOPS_GATEWAY_PORT='http'" in result.err
