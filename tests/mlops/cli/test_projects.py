"""mlops:register, projects, deploy, undeploy, list-deployments and the data commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops import errors
from mlops.entities import ModelVersion
from mlops.installation import Installation
from mlops.registry.memory import MemoryRegistry


def row(project: str, model: str, state: str = "running", error: str = "") -> dict[str, Any]:
    moment = "2026-01-02T03:04:05+00:00"
    return {
        "id": 9,
        "project": project,
        "model": model,
        "version": 3,
        "state": state,
        "replicas": 1,
        "side": "champion",
        "weight": 0,
        "url": f"http://127.0.0.1:1/projects/{project}/models/{model}/predict",
        "created_at": moment,
        "updated_at": moment,
        "bento": "",
        "error": error,
    }


# -- register, projects -------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["nowhere", "/nowhere/at/all"])
def test_register_of_no_folder_says_what_to_give(invoke, given: str) -> None:
    result = invoke("mlops:register", given)
    assert result.code == 4
    assert "project.toml" in result.err


def test_register_of_a_folder_without_project_toml_says_to_create_it(invoke, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    result = invoke("mlops:register", str(tmp_path / "bare"))
    assert result.code == 3
    assert "Create it with at least `[project]`" in result.err


def test_register_before_the_first_start_says_to_start(invoke, tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text('[project]\nname = "alpha"\n')
    result = invoke("mlops:register", str(tmp_path))
    assert result.code == 3
    assert "mlops:" in result.err


def test_register_of_a_stopped_stack_exits_with_7(invoke, installation: Installation, tmp_path: Path) -> None:
    installation.choose_ports(["postgres", "mlflow", "gateway"])
    (tmp_path / "project.toml").write_text('[project]\nname = "alpha"\n')
    result = invoke("mlops:register", str(tmp_path))
    assert result.code == 7
    assert "postgres does not answer" in result.err
    assert installation.secret("postgres_password") not in result.err


def test_no_project_yet_says_how_to_register(invoke, installation: Installation) -> None:
    assert "mlops:register" in invoke("mlops:projects").out
    assert invoke("mlops:projects", "--json").json == []


def test_projects_show_the_files_of_tokens_and_never_tokens(
    invoke, installation: Installation, register: Callable[[str], Path]
) -> None:
    roots = {name: register(name) for name in ("beta", "alpha")}
    shown = invoke("mlops:projects", "--json")
    assert [(found["project"], found["root"]) for found in shown.json] == [
        ("alpha", str(roots["alpha"])),
        ("beta", str(roots["beta"])),
    ]
    token = installation.secret("project.alpha.token")
    assert Path(shown.json[0]["token_file"]).read_text() == token
    assert token not in shown.out + invoke("mlops:projects").out


# -- deployments --------------------------------------------------------------------------------


def test_deployments_are_a_table_with_the_last_line_of_failures(invoke, gateway) -> None:
    failed = row("beta", "trees", "failed", "Traceback (most recent call last):\n  x\nValueError: broken\n")
    gateway.answers["GET /api/deployments"] = (200, [row("alpha", "net"), failed])
    result = invoke("mlops:list-deployments")
    lines = result.out.splitlines()
    assert lines[0].split() == ["PROJECT", "MODEL", "VERSION", "SIDE", "STATE", "REPLICAS", "SINCE", "URL"]
    assert lines[1].split()[:5] == ["alpha", "net", "3", "champion", "running"]
    assert "ValueError: broken" in result.out
    assert "most recent call" not in result.out
    assert "most recent call" in invoke("mlops:list-deployments", "-v").out


def test_deployments_in_json_and_of_one_project(invoke, gateway) -> None:
    gateway.answers["GET /api/deployments"] = (200, [row("alpha", "net"), row("beta", "trees")])
    assert len(invoke("mlops:list-deployments", "--json").json) == 2
    found = invoke("mlops:list-deployments", "--json", "-p", "beta").json
    assert [(one["project"], one["state"]) for one in found] == [("beta", "running")]


def test_no_deployment_says_how_to_deploy(invoke, gateway) -> None:
    gateway.answers["GET /api/deployments"] = (200, [])
    assert "mlops:deploy" in invoke("mlops:list-deployments").out
    assert invoke("mlops:list-deployments", "--json").json == []


def test_undeploy_asks_as_the_administrator(invoke, gateway, installation: Installation) -> None:
    gateway.answers["DELETE /api/projects/alpha/deployments/net"] = (202, [row("alpha", "net", "stopping")])
    result = invoke("mlops:undeploy", "net", "-p", "alpha")
    assert (result.code, result.out) == (0, "net of alpha is served no more.\n")
    assert gateway.asked[0][1] == f"Bearer {installation.secret('admin_token')}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DeploymentNotFound("alpha", "net"), 4),
        (errors.Forbidden("use project 'alpha'"), 6),
        (errors.ServiceUnavailable("postgres"), 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_refusal_of_the_gateway_ends_with_its_code(
    invoke, gateway, error: errors.MLOpsError, code: int
) -> None:
    gateway.answers["DELETE /api/projects/alpha/deployments/net"] = (400, error.to_json())
    result = invoke("mlops:undeploy", "net", "-p", "alpha", "--json")
    assert result.code == code
    assert result.json == json.loads(json.dumps(error.to_json()))
    assert result.err.strip() == f"error: {error}".strip()


def test_deploy_of_what_is_not_registered_exits_with_4(
    invoke, gateway, register: Callable[[str], Path]
) -> None:
    register("alpha")
    result = invoke("mlops:deploy", "net", "1", "-p", "alpha")
    assert result.code == 4
    assert "no version 1 of model 'net'" in result.err
    assert gateway.asked == []


@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_deploy_shows_each_state_as_it_comes_beside_its_answer(
    invoke, gateway, register: Callable[[str], Path], options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    register("alpha")
    monkeypatch.setattr(MemoryRegistry, "get_version", _version)
    monkeypatch.setattr(MemoryRegistry, "set_alias", lambda *_: None)
    states = ("pending", "packaging", "packaging", "starting", "running")
    gateway.answers["PUT /api/projects/alpha/deployments/net"] = (202, row("alpha", "net", "pending"))
    gateway.answers["GET /api/deployments"] = [(200, [row("alpha", "net", state)]) for state in states]
    result = invoke("mlops:deploy", "net", "3", "-p", "alpha", *options)
    assert result.code == 0, result.err
    assert result.err.splitlines() == [
        "  net 3: pending",
        "  net 3: packaging",
        "  net 3: starting",
        "  net 3: running",
    ]
    if options:
        assert result.json["state"] == "running"
    else:
        assert result.out == f"net 3 answers at {row('alpha', 'net')['url']}\n"


@pytest.mark.parametrize(
    ("command", "path", "told"),
    [
        (["promote", "net", "3"], "POST {}/promote", "net 3 is the champion."),
        (["rollback", "net"], "POST {}/rollback", "net 3 is the champion again."),
        (["canary", "net", "--weight", "25"], "POST {}/weight", "net 3 answers 25 % of the callers."),
        (["canary", "net", "--stop"], "DELETE {}/canary", "net 3 is no canary any more."),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_sides_change_by_command_or_the_refusal_is_told(
    invoke, gateway, register: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch,
    command: list[str], path: str, told: str,
) -> None:  # fmt: skip
    register("alpha")
    monkeypatch.setattr(MemoryRegistry, "set_alias", lambda *_: None)
    request = path.format("/api/projects/alpha/deployments/net")
    gateway.answers[request] = (200, row("alpha", "net") | {"weight": 25})
    arguments = [f"mlops:{command[0]}", *command[1:], "-p", "alpha"]
    assert invoke(*arguments).out == f"{told}\n"
    assert invoke(*arguments, "--json").json["version"] == 3
    gateway.answers[request] = (404, errors.DeploymentNotFound("alpha", "net").to_json())
    refused = invoke(*arguments)
    assert refused.code == 4
    assert "not deployed" in refused.err


def test_inferences_are_a_table_or_json_with_features(
    invoke, gateway, register: Callable[[str], Path]
) -> None:
    register("alpha")
    request = "GET /projects/alpha/models/net/inferences?count=20"
    logged = {
        "at": "2026-01-02T03:04:05+00:00", "project": "alpha", "model": "net", "version": 3, "side": "canary",
        "request_id": "r-1", "status": 200, "latency_s": 0.0123, "features": {"rows": 2, "model_s": 0.004},
    }  # fmt: skip
    gateway.answers[request] = (200, [logged, logged | {"status": 422, "features": {}}])
    found = invoke("mlops:inferences", "net", "-p", "alpha")
    head, first, second = found.out.splitlines()
    assert head.split("  ")[0] == "AT"
    assert first.split()[-7:] == ["3", "canary", "200", "2", "12.3", "4.0", "r-1"]
    assert "422" in second
    assert invoke("mlops:inferences", "net", "-p", "alpha", "--json").json[0]["features"]["rows"] == 2
    gateway.answers[request] = (200, [])
    assert "Nothing is logged" in invoke("mlops:inferences", "net", "-p", "alpha").out
    assert invoke("mlops:inferences", "net", "-p", "alpha", "--count", "0").code == 2


def test_canary_takes_a_weight_or_stop(invoke, register: Callable[[str], Path]) -> None:
    register("alpha")
    for options in ([], ["--weight", "5", "--stop"]):
        refused = invoke("mlops:canary", "net", "-p", "alpha", *options)
        assert refused.code == 3
        assert "exactly one is needed" in refused.err
    assert invoke("mlops:canary", "net", "-p", "alpha", "--weight", "101").code == 2


def test_deploy_asks_for_bounds_of_replicas(
    invoke, gateway, register: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    register("alpha")
    monkeypatch.setattr(MemoryRegistry, "get_version", _version)
    monkeypatch.setattr(MemoryRegistry, "set_alias", lambda *_: None)
    grown = row("alpha", "net") | {"most_replicas": 4}
    gateway.answers["PUT /api/projects/alpha/deployments/net"] = (202, grown)
    gateway.answers["GET /api/deployments"] = (200, [grown])
    for given, least, most in (("1..4", 1, 4), ("3", 3, None), ("2..2", 2, None)):
        assert invoke("mlops:deploy", "net", "3", "-p", "alpha", "--replicas", given).code == 0
        asked = json.loads(next(body for body in reversed(gateway.bodies) if body))
        assert (asked["replicas"], asked["most_replicas"]) == (least, most)
    assert "1..4" in invoke("mlops:list-deployments").out


def _version(_: MemoryRegistry, name: str, version: int) -> ModelVersion:
    return ModelVersion("alpha", name, version, "r1", "sklearn", datetime.now(UTC))


@pytest.mark.parametrize(
    "arguments",
    [
        ["net"],
        ["net", "0"],
        ["net", "x"],
        [],
        *(["net", "1", "--replicas", each] for each in ("65", "0", "4..1", "1..65", "1-2", "two", "1..", "")),
    ],
    ids=str,
)
def test_deploy_in_wrong_usage_exits_with_2(invoke, arguments: list[str]) -> None:
    assert invoke("mlops:deploy", *arguments).code == 2


# -- data ---------------------------------------------------------------------------------------


def test_data_of_an_unregistered_project_exits_with_4(invoke, installation: Installation) -> None:
    result = invoke("mlops:dvc-add", "raw.csv", "-p", "alpha")
    assert result.code == 4
    assert "mlops:register" in result.err
