"""mlops:sync over a real MLflow server, and with none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops.config import MLOpsConfig
from mlops.entities import ProjectWorkspace
from mlops.installation import Installation, write_private
from mlops.tracking import pending
from mlops.tracking.mlflow import MLflowTracker
from mlops.workspace import Workspace
from tests.mlops.cli.test_main import modules_after
from tests.servers import Account

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens

# Ends as an interpreter that is killed does: nothing is said to anybody.
WRITE = """
import os, signal, sys
from pathlib import Path
from mlops.tracking.journal import RunJournal
from mlops.tracking.run_folder import Opening, new_key
from mlops.entities import RunStatus

journal = Path(sys.argv[1])
opening = Opening(project=journal.name, key=new_key(), name="left", started_ms=1750000000000)
run = RunJournal.create(journal, opening)
for step in range(50):
    run.metrics({"loss": 1 / (step + 1), "lr": 0.1}, step)
if sys.argv[2] == "refused":
    run.operation({"op": "call", "method": "POST", "path": "/runs/no-such-call", "body": {}})
print(run.key, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def account(mlflow_accounts: tuple[Account, Account]) -> Account:
    return mlflow_accounts[0]


@pytest.fixture
def project(
    installation: Installation, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """A registered project with an account on the server, which every command finds."""
    monkeypatch.setenv("MLOPS_MLFLOW_URI", account.url)
    return record(account, tmp_path)


def record(account: Account, tmp_path: Path) -> Workspace:
    here = Installation(MLOpsConfig.load())
    root = tmp_path / account.project
    root.mkdir()
    (root / "project.toml").write_text(f'[project]\nname = "{account.project}"\n')
    info = ProjectWorkspace(
        project_name=account.project,
        namespace=account.namespace,
        mlflow_experiment_id=account.experiment_id,
        dvc_remote_path=str(here.remotes_dir / account.project),
        airflow_dag_prefix=f"{account.project}__",
        serving_endpoint=f"/projects/{account.project}",
        root=root,
    )
    name = here.project_secret_name(account.project, "mlflow")
    write_private(here.secret_file(name), account.password)
    workspace = Workspace(info, here)
    workspace.save()
    return workspace


@pytest.fixture
def left_behind(installation: Installation) -> Callable[..., str]:
    """Has a process write a run, and kills it; returns the run's key."""

    def write(project: str, how: str = "plain") -> str:
        done = subprocess.run(
            [sys.executable, "-c", WRITE, str(installation.journal_dir / project), how],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode < 0, done.stderr
        return done.stdout.strip()

    return write


# -- sending ------------------------------------------------------------------------------------


def test_sends_what_waits(project: Workspace, left_behind, invoke) -> None:
    name = project.info.project_name
    key = left_behind(name)
    result = invoke("mlops:sync", "--project", name)
    assert result.code == 0
    assert f"{name}: delivered 1 run, " in result.out
    tracker = project.tracking
    assert isinstance(tracker, MLflowTracker)
    run = tracker.get_run(key)
    assert (run.name, run.status, run.metrics) == ("left", "KILLED", {"loss": 1 / 50, "lr": 0.1})
    found = tracker.server.rest.call(
        "GET", "/metrics/get-history", query={"run_id": run.mlflow_id, "metric_key": "loss"}
    )
    assert sorted(int(each["step"]) for each in found["metrics"]) == list(range(50))

    again = invoke("mlops:sync", "--project", name)
    assert (again.code, again.out) == (0, "Nothing waits: the server has everything.\n")


def test_as_json(project: Workspace, left_behind, invoke) -> None:
    key = left_behind(project.info.project_name)
    answer = invoke("mlops:sync", "--all", "--json").json
    assert [run["key"] for run in answer["delivered"]] == [key]
    assert (answer["left"], answer["held"], answer["errors"]) == ([], [], {})


def test_of_the_folder_we_are_in(
    project: Workspace, left_behind, invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(project.info.project_name)
    monkeypatch.chdir(project.info.root)
    assert "delivered 1 run" in invoke("mlops:sync").out


def test_a_server_that_is_down(
    project: Workspace, left_behind, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = project.info.project_name
    key = left_behind(name)
    monkeypatch.setenv("MLOPS_MLFLOW_URI", NOWHERE)
    result = command("mlops:sync", "--all", "--timeout", "0.3")
    assert result.code == 7
    assert f"{name}: left still waits: mlflow does not answer" in result.out
    assert "waiting: mlflow does not answer" in result.err
    as_json = command("mlops:sync", "--all", "--timeout", "0", "--json")
    assert as_json.code == 7
    (left,) = as_json.json["left"]
    assert (left["key"], left["error"]["type"]) == (key, "ServiceUnavailable")


def test_a_damaged_run(project: Workspace, left_behind, invoke) -> None:
    name = project.info.project_name
    key = left_behind(name)
    folder = project.journal_dir / key
    (folder / "run.json").write_text("{")
    status = invoke("mlops:sync", "--status", "--all")
    assert "damaged" in status.out
    assert str(folder) in status.err
    result = invoke("mlops:sync", "--project", name)
    assert result.code == 10
    assert "run.json is damaged" in result.out
    assert folder.is_dir()


def test_leftovers_of_no_project_are_told_and_kept(project: Workspace, left_behind, invoke) -> None:
    stranger, own = left_behind("stranger"), left_behind(project.info.project_name)
    status = invoke("mlops:sync", "--status", "--all")
    assert stranger in status.out
    assert own in status.out
    assert "stranger is not registered" in status.err
    result = invoke("mlops:sync", "--all", "--json")
    assert result.code == 4
    assert [run["key"] for run in result.json["delivered"]] == [own]
    assert result.json["errors"]["stranger"]["type"] == "ProjectNotFound"
    assert [run.key for run in pending.status(project.journal_dir.with_name("stranger"))] == [stranger]


def test_one_project_or_all(invoke, installation: Installation) -> None:
    assert invoke("mlops:sync", "--all", "--project", "alpha").code == 2
    assert invoke("mlops:sync", "--project", "nobody").code == 4
    assert invoke("mlops:sync", "--project", "../x").code == 3
    assert invoke("mlops:sync", "--all").out == "Nothing waits: the server has everything.\n"


# -- looking ------------------------------------------------------------------------------------


def test_status_needs_no_server(installation: Installation, left_behind, invoke) -> None:
    key = left_behind("alpha")
    result = invoke("mlops:sync", "--status", "--project", "alpha")
    assert result.code == 0
    header, row = result.out.splitlines()
    assert header.split() == ["PROJECT", "RUN", "KEY", "STATE", "STARTED", "PENDING", "FILES", "REFUSED"]
    assert row.split()[:4] == ["alpha", "left", key, "killed"]
    (run,) = invoke("mlops:sync", "--status", "--all", "--json").json
    assert (run["key"], run["state"], run["mlflow_id"], run["refused"]) == (key, "killed", None, 0)
    assert run["bytes"] > 50 * 16
    assert run["age_s"] > 0
    assert invoke("mlops:sync", "--status", "--project", "beta").out.startswith("Nothing waits")


def test_status_imports_no_heavy_tool(installation: Installation, left_behind) -> None:
    left_behind("alpha")
    costly = {"mlflow", "numpy", "pandas", "rich", "requests", "httpx", "sqlalchemy", "psycopg"}
    assert modules_after("mlops:sync", "--all", "--status") & costly == set()


def test_the_stack_status_mentions_it(installation: Installation, left_behind, invoke) -> None:
    assert "journal" not in invoke("mlops:status").err
    left_behind("alpha")
    assert "1 run waits in the journal" in invoke("mlops:status").err


def test_what_the_server_refused(project: Workspace, left_behind, invoke) -> None:
    name = project.info.project_name
    key = left_behind(name, "refused")
    assert "the server refused 1 record" in invoke("mlops:sync", "--project", name).out
    status = invoke("mlops:sync", "--status", "--all", "--json").json
    assert [(run["key"], run["state"], run["refused"]) for run in status] == [(key, "refused", 1)]

    shown = invoke("mlops:sync", "--refused", "--project", name)
    assert key in shown.out
    assert "path=/runs/no-such-call" in shown.out
    (record,) = invoke("mlops:sync", "--refused", "--all", "--json").json
    assert (record["project"], record["run"], record["path"]) == (name, key, "/runs/no-such-call")
    assert record["reason"]

    forgotten = invoke("mlops:sync", "--forget-refused", "--project", name)
    assert key in forgotten.out
    assert key in forgotten.err
    assert json.loads(invoke("mlops:sync", "--refused", "--all", "--json").out) == []
    assert list(project.journal_dir.iterdir()) == []


def test_nothing_was_refused(installation: Installation, invoke) -> None:
    assert invoke("mlops:sync", "--refused", "--all").out == "The server refused nothing.\n"
