"""What the worker does for runs whose process died: one child at a time, started only when it is needed."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops.config import MLOpsConfig
from mlops.entities import ProjectWorkspace, RunStatus
from mlops.installation import Installation, write_private
from mlops.tracking import pending
from mlops.tracking.mlflow import MLflowTracker
from mlops.worker.journals import Journals
from mlops.workspace import Workspace
from tests.servers import Account

KILLED = """
import os, signal, sys
from pathlib import Path
from mlops.tracking.journal import RunJournal
from mlops.tracking.run_folder import Opening, new_key

journal = Path(sys.argv[1])
opening = Opening(project=journal.name, key=new_key(), name="left", started_ms=1750000000000)
run = RunJournal.create(journal, opening)
run.metrics({"m": 1.0})
print(run.key, flush=True)
if sys.argv[2] == "live":
    sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""

NOTE = """
import sys, time
with open(sys.argv[1], "a") as file:
    file.write("started\\n")
time.sleep(float(sys.argv[2]))
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(MLOpsConfig(home=tmp_path / "home"))
    made.prepare()
    return made


def record(installation: Installation, project: str, **info: str) -> Workspace:
    workspace = Workspace(
        ProjectWorkspace(
            **{
                "project_name": project,
                "namespace": project,
                "mlflow_experiment_id": "1",
                "dvc_remote_path": "",
                "airflow_dag_prefix": "",
                "serving_endpoint": "",
                **info,
            },
            root=installation.root,
        ),
        installation,
    )
    workspace.save()
    return workspace


def killed(installation: Installation, project: str) -> str:
    command = [sys.executable, "-c", KILLED, str(installation.journal_dir / project), "die"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def noting(file: Path, seconds: float = 0.0, code: int = 0) -> list[str]:
    return [sys.executable, "-c", NOTE, str(file), str(seconds), str(code)]


def starts(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def look_until(journals: Journals, condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        journals.look()
        time.sleep(0.02)


def test_delivers_what_a_killed_process_left(
    mlflow_accounts: tuple[Account, Account], installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = mlflow_accounts[0]
    monkeypatch.setenv("MLOPS_MLFLOW_URI", account.url)
    workspace = record(
        Installation(MLOpsConfig.load(home=installation.root)),
        account.project,
        namespace=account.namespace,
        mlflow_experiment_id=account.experiment_id,
    )
    secret = installation.secret_file(installation.project_secret_name(account.project, "mlflow"))
    write_private(secret, account.password)
    key = killed(installation, account.project)
    journals = Journals(installation, look_s=0.1)
    look_until(journals, lambda: not (workspace.journal_dir / key).exists())
    journals.close()
    assert isinstance(workspace.tracking, MLflowTracker)
    run = workspace.tracking.get_run(key)
    assert (run.status, run.metrics) == (RunStatus.KILLED, {"m": 1.0})


def test_starts_nothing_when_nothing_waits(installation: Installation, tmp_path: Path) -> None:
    record(installation, "alpha")
    journals = Journals(installation, look_s=0, command=noting(tmp_path / "notes"))
    command = [sys.executable, "-c", KILLED, str(installation.journal_dir / "alpha"), "live"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None
        assert living.stdout.readline()
        for _ in range(20):
            journals.look()
        assert starts(tmp_path / "notes") == 0
        living.kill()
        living.wait()
    look_until(journals, lambda: starts(tmp_path / "notes") > 0)
    journals.close()


def test_one_child_at_a_time_and_it_ends_with_the_worker(installation: Installation, tmp_path: Path) -> None:
    record(installation, "alpha")
    killed(installation, "alpha")
    journals = Journals(installation, look_s=0, command=noting(tmp_path / "notes", seconds=600))
    look_until(journals, lambda: starts(tmp_path / "notes") > 0)
    child = journals._child
    for _ in range(20):
        journals.look()
    assert journals._child is child
    assert starts(tmp_path / "notes") == 1
    journals.close()
    assert child is not None
    assert child.returncode is not None


def test_a_failure_is_told_and_tried_again_later(
    installation: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(installation, "alpha")
    killed(installation, "alpha")
    journals = Journals(installation, look_s=0.05, command=noting(tmp_path / "notes", code=7))
    look_until(journals, lambda: starts(tmp_path / "notes") >= 3)
    journals.close()
    assert "mlops:sync of alpha ended with 7" in caplog.text
    assert journals._pauses["alpha"] >= 0.2  # it doubles with each failure


def test_a_project_that_fails_holds_up_no_other(installation: Installation, tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        record(installation, name)
        killed(installation, name)
    script = "import sys; print(sys.argv[2], file=open(sys.argv[1], 'a')); sys.exit(1)"
    command = [sys.executable, "-c", script, str(tmp_path / "notes")]
    journals = Journals(installation, look_s=30, command=command)
    journals._pauses = dict.fromkeys(("alpha", "beta", "gamma"), 300.0)  # each is tried once in this test
    look_until(journals, lambda: starts(tmp_path / "notes") >= 3)
    journals.close()
    assert (tmp_path / "notes").read_text().splitlines()[:3] == ["alpha", "beta", "gamma"]


def test_leftovers_of_no_project_are_told_once_and_kept(
    installation: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = killed(installation, "stranger")
    journals = Journals(installation, look_s=0, command=noting(tmp_path / "notes"))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            journals.look()
    assert caplog.text.count("no project of that name is registered") == 1
    assert starts(tmp_path / "notes") == 0
    assert [run.key for run in pending.status(installation.journal_dir / "stranger")] == [key]


def test_what_cannot_be_started_ends_no_worker(
    installation: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(installation, "alpha")
    killed(installation, "alpha")
    journals = Journals(installation, look_s=0, command=[str(tmp_path / "no-such-program")])
    journals.look()
    assert "cannot be looked after" in caplog.text
    journals.close()
