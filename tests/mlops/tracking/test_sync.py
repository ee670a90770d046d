"""Journals that processes left behind, delivered by hand: everything arrives, and nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops.entities import RUN_KEY, RunStatus
from mlops.errors import JournalError, ServiceUnavailable
from mlops.tracking import pending
from mlops.tracking.admin import MLflowAdmin
from mlops.tracking.mlflow import MLflowTracker
from mlops.tracking.pending import PendingState
from mlops.tracking.run_folder import RunFolder, confirmed
from mlops.tracking.server import MLflowServer
from mlops.tracking.sync import Progress, sync
from tests import servers
from tests.servers import Account

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens

WRITE = """
import json, os, signal, sys
from pathlib import Path
from mlops.entities import RunStatus
from mlops.tracking.mlflow import MLflowTracker

settings, journal, calls, ending = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
tracker = MLflowTracker(**settings, journal=journal)
run = tracker.start_run("left", {"who": "child"}, None)
tracker.log(run.key, params={"lr": 0.1})
for step in range(calls):
    tracker.log(run.key, metrics={f"m{i}": step + i / 10 for i in range(10)}, step=step)
if ending == "end":
    note = journal.parent / "note.txt"
    note.write_text("kept")
    tracker.log_artifact(run.key, note)
    tracker.end_run(run.key, RunStatus.FINISHED)
print(run.key, flush=True)
if ending == "live":
    sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""

SYNC = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from mlops.tracking.mlflow import MLflowTracker
from mlops.tracking.sync import sync

journal = Path(sys.argv[2])
tracker = MLflowTracker(**json.loads(sys.argv[1]), journal=journal)
done = sync(journal, tracker.server, timeout_s=30)
assert not done.left, done.left
print(json.dumps([run.key for run in done.delivered]))
"""


@pytest.fixture
def account(mlflow_accounts: tuple[Account, Account]) -> Account:
    return mlflow_accounts[0]


@pytest.fixture
def server(account: Account, tmp_path: Path) -> MLflowServer:
    return tracker_of(account, tmp_path / "none").server


@pytest.fixture
def journal(tmp_path: Path, account: Account) -> Path:
    return tmp_path / "journal" / account.project


def tracker_of(account: Account, journal: Path, **settings: Any) -> MLflowTracker:
    return MLflowTracker(**{**account.settings(), **settings}, journal=journal)


def left_behind(account: Account, journal: Path, calls: int = 20, ending: str = "die") -> str:
    """A run that a process wrote without a server, before it was killed; its key."""
    with writing(account, journal, calls, ending) as process:
        assert process.stdout is not None
        key = process.stdout.readline().strip()
        assert process.wait(120) == -signal.SIGKILL
    assert key
    return key


@contextmanager
def writing(account: Account, journal: Path, calls: int, ending: str) -> Iterator[subprocess.Popen[str]]:
    settings = json.dumps(replace(account, url=NOWHERE).settings())
    command = [sys.executable, "-c", WRITE, settings, str(journal), str(calls), ending]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def syncing(account: Account, journal: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SYNC, json.dumps(account.settings()), str(journal)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run_at(server: MLflowServer, key: str) -> dict[str, Any]:
    """The one run of that key."""
    found = server.rest.call(
        "POST",
        "/runs/search",
        {"experiment_ids": server.experiments(), "filter": f"tags.`{RUN_KEY}` = '{key}'", "max_results": 10},
    )
    assert len(found.get("runs", [])) == 1
    return dict(found["runs"][0])


def history(server: MLflowServer, run: dict[str, Any], metric: str) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    token = ""
    while True:
        query = {"run_id": run["info"]["run_id"], "metric_key": metric, "max_results": 25000}
        page = server.rest.call(
            "GET", "/metrics/get-history", query=query | ({"page_token": token} if token else {})
        )
        found += [(int(each["step"]), float(each["value"])) for each in page.get("metrics", [])]
        token = page.get("next_page_token", "")
        if not token:
            return sorted(found)


def assert_whole(server: MLflowServer, key: str, calls: int, status: str) -> None:
    run = run_at(server, key)
    assert run["info"]["status"] == status
    assert {each["key"]: each["value"] for each in run["data"]["params"]} == {"lr": "0.1"}
    for i in (0, 9):
        assert history(server, run, f"m{i}") == [(step, step + i / 10) for step in range(calls)]


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- delivering ---------------------------------------------------------------------------------


def test_a_killed_process_run_arrives_once_and_is_killed(
    account: Account, server: MLflowServer, journal: Path
) -> None:
    key = left_behind(account, journal)
    (run,) = pending.status(journal)
    assert (run.key, run.name, run.state, run.mlflow_id) == (key, "left", PendingState.KILLED, None)
    assert run.bytes > 20 * 10 * 8

    seen: list[Progress] = []
    done = sync(journal, server, progress=seen.append)

    assert [run.key for run in done.delivered] == [key]
    assert (done.left, done.held) == ((), ())
    assert (seen[-1].runs_done, seen[-1].bytes_done) == (1, run.bytes)
    assert_whole(server, key, 20, "KILLED")
    assert pending.status(journal) == []
    assert list(journal.iterdir()) == []
    assert sync(journal, server).delivered == ()


def test_a_run_that_ended_offline_keeps_its_end(
    account: Account, server: MLflowServer, journal: Path
) -> None:
    key = left_behind(account, journal, ending="end")
    (run,) = pending.status(journal)
    assert (run.state, run.files) == (PendingState.ENDED, 1)
    done = sync(journal, server, timeout_s=10)
    assert done.left == ()
    assert [run.key for run in done.delivered] == [key]
    assert_whole(server, key, 20, "FINISHED")
    listed = server.rest.call(
        "GET", "/artifacts/list", query={"run_id": run_at(server, key)["info"]["run_id"]}
    )
    assert [each["path"] for each in listed["files"]] == ["note.txt"]


def test_the_next_process_of_the_project_finds_it(
    account: Account, server: MLflowServer, journal: Path
) -> None:
    key = left_behind(account, journal)
    tracker = tracker_of(account, journal)
    run = tracker.start_run("next", {}, None)
    wait_until(lambda: not (journal / key).exists())
    tracker.end_run(run.id, RunStatus.FINISHED)
    assert_whole(server, key, 20, "KILLED")


def test_a_damaged_run_keeps_no_new_one_from_starting(account: Account, journal: Path) -> None:
    (journal / "r-broken").mkdir(parents=True)
    (journal / "r-broken" / "run.json").write_text("{")
    tracker = tracker_of(account, journal)
    tracker.end_run(tracker.start_run("next", {}, None).id, RunStatus.FINISHED)
    assert (journal / "r-broken").is_dir()


# -- beside others ------------------------------------------------------------------------------


def test_two_syncs_at_once(account: Account, server: MLflowServer, journal: Path) -> None:
    keys = {left_behind(account, journal, calls=300) for _ in range(4)}
    both = [syncing(account, journal) for _ in range(2)]
    delivered: list[str] = []
    for process in both:
        out, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        delivered += json.loads(out)
    sync(journal, server)  # what one left to the other, should that have ended first
    assert set(delivered) == keys
    for key in keys:
        assert_whole(server, key, 300, "KILLED")
    assert pending.status(journal) == []


def kill_in_the_middle(account: Account, journal: Path, key: str) -> None:
    """Sync, and kill that as soon as the server has confirmed something more."""

    def progress() -> int:
        return sum(map(confirmed, RunFolder(journal / key).segments()))

    before, process = progress(), syncing(account, journal)
    wait_until(lambda: progress() > before or process.poll() is not None)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed: log more"


def test_a_sync_killed_in_the_middle_of_a_send(account: Account, server: MLflowServer, journal: Path) -> None:
    key = left_behind(account, journal, calls=3000)
    for _ in range(3):
        kill_in_the_middle(account, journal, key)
    (run,) = pending.status(journal)
    assert (run.state, run.mlflow_id) == (PendingState.KILLED, RunFolder(journal / key).mlflow_id())
    assert [run.key for run in sync(journal, server).delivered] == [key]
    assert_whole(server, key, 3000, "KILLED")


def test_a_living_process_keeps_its_run(account: Account, server: MLflowServer, journal: Path) -> None:
    with writing(account, journal, 20, "live") as process:
        assert process.stdout is not None
        key = process.stdout.readline().strip()
        (run,) = pending.status(journal)
        assert (run.key, run.state) == (key, PendingState.WRITING)
        done = sync(journal, server)
        assert ([run.key for run in done.held], done.delivered, done.left) == ([key], (), ())
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
    assert [run.key for run in sync(journal, server).delivered] == [key]
    assert_whole(server, key, 20, "KILLED")


# -- what hinders -------------------------------------------------------------------------------


def test_a_server_that_is_down_is_told_and_nothing_is_lost(
    account: Account, server: MLflowServer, journal: Path
) -> None:
    key = left_behind(account, journal)
    done = sync(journal, tracker_of(account, journal, url=NOWHERE).server, timeout_s=0.5)
    assert done.delivered == ()
    assert [left.run.key for left in done.left] == [key]
    assert isinstance(done.left[0].error, ServiceUnavailable)
    assert sync(journal, server).delivered[0].key == key
    assert_whole(server, key, 20, "KILLED")


def test_a_server_that_comes_back_is_waited_for(
    account: Account, server: MLflowServer, journal: Path
) -> None:
    keys = [left_behind(account, journal) for _ in range(2)]
    url = NOWHERE
    said: list[str] = []

    def wait(progress: Progress) -> None:
        nonlocal url
        if progress.waiting_for:
            said.append(progress.waiting_for)
            url = account.url if len(said) >= 2 else NOWHERE

    flaky = tracker_of(account, journal, url=lambda: url).server
    done = sync(journal, flaky, timeout_s=120, progress=wait)
    assert [run.key for run in done.delivered] == keys
    assert done.left == ()
    assert "does not answer" in said[0]
    for key in keys:
        assert_whole(server, key, 20, "KILLED")


class OwnServer:
    """A server that may be killed, and comes back on the same port with the same database."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._port = folder, servers._free_port()
        self._settings = servers._environment(folder, "password-of-the-admin")
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                servers._command(self._folder, self._port),
                env=self._settings,
                cwd=self._folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        servers._wait_until_it_answers(self.url, self._process, log)

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    made = OwnServer(tmp_path / "mlflow")
    made.start()
    yield made
    made.kill()


def test_a_server_killed_in_the_middle_and_started_again(own_server: OwnServer, tmp_path: Path) -> None:
    admin = MLflowAdmin(url=own_server.url, username="admin", password="password-of-the-admin")
    experiment = admin.prepare_project("own", "password-of-own")
    account = Account("own", "own", own_server.url, "own", "password-of-own", experiment)
    journal = tmp_path / "journal" / "own"
    server = tracker_of(account, journal).server
    key = left_behind(account, journal, calls=2000)
    kills = 0

    def kill_once(progress: Progress) -> None:
        nonlocal kills
        if kills == 0 and progress.bytes_done > progress.bytes / 4:
            own_server.kill()
            kills = 1
        elif kills == 1 and progress.waiting_for:
            own_server.start()
            kills = 2

    done = sync(journal, server, timeout_s=120, progress=kill_once)
    assert kills == 2
    assert ([run.key for run in done.delivered], done.left) == ([key], ())
    assert_whole(server, key, 2000, "KILLED")


def test_a_damaged_run_is_told_and_left_alone(account: Account, server: MLflowServer, journal: Path) -> None:
    damaged, whole = left_behind(account, journal), left_behind(account, journal)
    (journal / damaged / "run.json").write_text('{"project": ')
    before = sorted(each.name for each in (journal / damaged).iterdir())
    assert {run.key: run.state for run in pending.status(journal)} == {
        damaged: PendingState.DAMAGED,
        whole: PendingState.KILLED,
    }
    done = sync(journal, server)
    assert [run.key for run in done.delivered] == [whole]
    (left,) = done.left
    assert left.run.key == damaged
    assert isinstance(left.error, JournalError)
    assert "run.json" in left.error.message
    assert sorted(each.name for each in (journal / damaged).iterdir()) == before


def test_a_run_whose_files_cannot_be_used_hinders_no_other(
    account: Account, server: MLflowServer, journal: Path
) -> None:
    broken, whole = left_behind(account, journal), left_behind(account, journal)
    (segment,) = RunFolder(journal / broken).segments()
    segment.with_suffix(".pos").mkdir()
    done = sync(journal, server)
    assert [run.key for run in done.delivered] == [whole]
    assert [left.run.key for left in done.left] == [broken]
    segment.with_suffix(".pos").rmdir()
    assert [run.key for run in sync(journal, server).delivered] == [broken]
    assert_whole(server, broken, 20, "KILLED")


REFUSED = """
import json, os, signal, sys
from pathlib import Path
from mlops.tracking.journal import RunJournal
from mlops.tracking.run_folder import Opening, new_key
from mlops.entities import RunStatus

journal = Path(sys.argv[1])
opening = Opening(project=journal.name, key=new_key(), name="refused", started_ms=1700000000000)
run = RunJournal.create(journal, opening)
run.operation({"op": "call", "method": "POST", "path": "/runs/no-such-call", "body": {"run_id": run.key}})
run.metrics({"m": 1.0})
run.end(RunStatus.FINISHED)
print(run.key)
"""


def test_what_the_server_refuses_is_listed_until_it_is_forgotten(server: MLflowServer, journal: Path) -> None:
    command = [sys.executable, "-c", REFUSED, str(journal)]
    key = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (delivered,) = sync(journal, server).delivered
    assert (delivered.key, delivered.refused) == (key, 1)
    assert history(server, run_at(server, key), "m") == [(0, 1.0)]

    (run,) = pending.status(journal)
    assert (run.state, run.refused, run.bytes) == (PendingState.REFUSED, 1, 0)
    (record,) = pending.refused(RunFolder(journal / key))
    assert record["path"] == "/runs/no-such-call"
    assert record["reason"]
    assert not pending.waits(RunFolder(journal / key))
    assert sync(journal, server).delivered == ()  # once only

    assert pending.forget_refused(RunFolder(journal / key))
    assert list(journal.iterdir()) == []


def test_half_made_and_half_deleted_folders_go(server: MLflowServer, journal: Path) -> None:
    for name in (".done-r-1", ".done-r-2", ".new-r-3", ".new-r-4"):
        (journal / name / "files").mkdir(parents=True)
        (journal / name / "lock").touch()
    os.utime(journal / ".new-r-3" / "lock", (0, 0))
    assert pending.status(journal) == []
    held = RunFolder(journal / ".done-r-2").open_lock()
    assert held is not None
    sync(journal, server)
    # One that is being closed, and one that somebody may be making.
    assert sorted(each.name for each in journal.iterdir()) == [".done-r-2", ".new-r-4"]
    os.close(held)
    sync(journal, server)
    assert [each.name for each in journal.iterdir()] == [".new-r-4"]


def test_a_run_written_to_while_it_was_closed_is_not_lost(
    account: Account, server: MLflowServer, journal: Path
) -> None:
    key = left_behind(account, journal)
    (journal / key).rename(journal / f".done-{key}")  # the closing process was killed here
    assert [run.key for run in sync(journal, server).delivered] == [key]
    assert_whole(server, key, 20, "KILLED")


def test_nothing_waits_where_nothing_was_written(server: MLflowServer, journal: Path) -> None:
    assert pending.status(journal) == []
    assert pending.projects(journal.parent) == []
    assert sync(journal, server).delivered == ()
