"""mlops:status, logs, doctor, dashboard."""

from __future__ import annotations

import fcntl
import html
import json
import os
import queue
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.cli import inspection
from mlops.entities import Availability, Restart, RestartCause, ServiceRecord
from mlops.installation import Installation
from mlops.services.names import SERVICES
from mlops.services.record import write_records
from mlops.services.status import lock_file, status_file

# -- status -------------------------------------------------------------------------------------


@pytest.fixture
def supervised(installation: Installation) -> Iterator[Callable[..., None]]:
    """Writes what a living supervisor (a lock held by this process) would have seen."""
    with lock_file(installation).open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()

        def see(**states: str) -> None:
            since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
            rows = [
                {"name": name, "state": state, "since": since, "address": "", "restarts": 2, "pid": 7}
                for name, state in states.items()
            ]
            content = {"pid": os.getpid(), "services": rows}
            status_file(installation).write_text(json.dumps(content))

        yield see


@pytest.mark.parametrize("prepared", [True, False])
def test_status_of_nothing_running_exits_with_7(invoke, home: Path, prepared: bool, request) -> None:
    if prepared:
        request.getfixturevalue("installation")
    result = invoke("mlops:status")
    assert result.code == 7
    lines = result.out.splitlines()
    head = "SERVICE  STATE  SINCE  RESTARTS TODAY  LAST  ANSWERED (DAY, WEEK, MONTH)  ADDRESS  DETAIL"
    assert re.split(r"  +", lines[0]) == head.split("  ")
    assert [line.split()[:2] for line in lines[1:]] == [[name, "stopped"] for name in SERVICES]
    assert home.exists() is prepared


def test_status_in_json_is_one_object_a_service(invoke) -> None:
    result = invoke("mlops:status", "--json")
    assert result.code == 7
    assert [(row["name"], row["state"]) for row in result.json] == [(name, "stopped") for name in SERVICES]


def test_status_of_all_answering_exits_with_0(invoke, supervised) -> None:
    supervised(postgres="healthy", mlflow="external", gateway="healthy")
    result = invoke("mlops:status")
    assert result.code == 0
    assert result.out.splitlines()[1].split() == ["postgres", "healthy", "5", "min", "?", "-", "?", "-", "-"]


@pytest.mark.parametrize("state", ["starting", "unhealthy", "stopped"])
def test_status_of_one_not_answering_exits_with_7(invoke, supervised, state: str) -> None:
    supervised(postgres="healthy", mlflow=state)
    assert invoke("mlops:status").code == 7


def test_status_left_by_a_dead_supervisor_is_not_believed(invoke, installation: Installation) -> None:
    content = {"pid": 1, "services": [{"name": "postgres", "state": "healthy", "since": None}]}
    status_file(installation).write_text(json.dumps(content))
    result = invoke("mlops:status", "--json")
    assert result.code == 7
    assert {row["state"] for row in result.json} == {"stopped"}


# -- logs ---------------------------------------------------------------------------------------


@pytest.fixture
def logs(installation: Installation) -> Path:
    (installation.logs_dir / "mlflow.log").write_text("".join(f"line {n}\n" for n in range(100)))
    (installation.logs_dir / "gateway.log").write_text("ready\n")
    return installation.logs_dir


def test_logs_of_one_service_are_its_last_lines(invoke, logs: Path) -> None:
    result = invoke("mlops:logs", "mlflow", "-n", "3")
    assert result.code == 0
    assert [line.split()[2:] for line in result.out.splitlines()] == [
        ["info", "mlflow", "line", "97"], ["info", "mlflow", "line", "98"], ["info", "mlflow", "line", "99"]
    ]  # fmt: skip
    assert len(invoke("mlops:logs", "mlflow").out.splitlines()) == 40
    assert invoke("mlops:logs", "mlflow", "-n", "0").out == ""


def test_logs_of_all_name_each_service(invoke, logs: Path) -> None:
    lines = [line.split()[3:] for line in invoke("mlops:logs", "-n", "101").out.splitlines()]
    assert len(lines) == 101
    assert ["gateway", "ready"] in lines
    assert ["mlflow", "line", "99"] in lines


def test_logs_in_json_are_one_object_a_line(invoke, logs: Path) -> None:
    lines = invoke("mlops:logs", "mlflow", "-n", "2", "--json").out.splitlines()
    told = [json.loads(line) for line in lines]
    assert [(each["service"], each["message"]) for each in told] == [
        ("mlflow", "line 98"),
        ("mlflow", "line 99"),
    ]
    assert set(told[0]) >= {"time", "level", "project", "request_id", "event", "logger", "error", "fields"}


def test_logs_that_are_no_utf8_are_shown(invoke, logs: Path) -> None:
    (logs / "ray.log").write_bytes(b"caf\xe9\n")
    assert invoke("mlops:logs", "ray").out.endswith("caf\ufffd\n")


def test_logs_of_an_unknown_service_name_those_there_are(invoke, logs: Path) -> None:
    for arguments in (["mlops:logs", "nope"], ["mlops:logs", "../secrets/admin_token", "-f"]):
        result = invoke(*arguments)
        assert result.code == 3
        assert all(name in result.err for name in (*SERVICES, "supervisor"))


def test_logs_before_set_up_are_empty(invoke) -> None:
    result = invoke("mlops:logs")
    assert (result.code, result.out) == (0, "")


class Follower:
    """`mlops:logs -f` as a process whose lines come through a pipe."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("efficientai-toolkit"), "mlops:logs", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def line(self) -> str:
        return self._lines.get(timeout=60)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join()
        assert self.process.stderr is not None
        self.error = self.process.stderr.read()
        self.process.stderr.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))

    def words(self) -> str:
        """The next line without its time, level and service."""
        return self.line().split(maxsplit=4)[4]


def test_followed_log_shows_lines_as_they_come_and_goes_on_after_a_turn(logs: Path, home: Path) -> None:
    path = logs / "mlflow.log"
    follower = Follower("mlflow", "-f", "-n", "1")
    try:
        assert follower.line().endswith("line 99")
        # Its position is taken a moment after the last line was shown: write until it is seen.
        seen = ""
        for number in range(100):
            with path.open("a") as file:
                file.write(f"new {number}\n")
            try:
                seen = follower._lines.get(timeout=0.2).split(maxsplit=4)[4]
                break
            except queue.Empty:
                continue
        assert seen.startswith("new ")
        number = int(seen.split()[1])
        with path.open("a") as file:
            file.write("half ")
            file.flush()
            file.write("a line\n")
        while (seen := follower.words()) != "half a line":
            number += 1
            assert seen == f"new {number}"
        path.replace(path.with_suffix(".log.1"))
        path.write_text("after the turn\n")
        assert follower.words() == "after the turn"
    finally:
        code = follower.end()
    assert code == 130
    assert "Traceback" not in follower.error


def test_followed_log_that_is_not_there_yet_is_waited_for(installation: Installation) -> None:
    follower = Follower("ray", "-f", "--json")
    try:
        with pytest.raises(queue.Empty):
            follower._lines.get(timeout=1.0)
        (installation.logs_dir / "ray.log").write_text("begun\n")
        told = json.loads(follower.line())
        assert (told["service"], told["message"]) == ("ray", "begun")
    finally:
        follower.end()


# -- doctor -------------------------------------------------------------------------------------


def findings(result) -> dict[str, dict[str, str]]:
    return {row["subject"]: row for row in result.json}


def test_doctor_of_an_unprepared_home_says_to_start_and_changes_nothing(invoke, home: Path) -> None:
    found = findings(invoke("mlops:doctor", "--json"))
    assert found["home"]["level"] == "warning"
    assert str(home) in found["home"]["detail"]
    assert "mlops:start" in found["home"]["remedy"]
    assert found["services"]["level"] == "warning"
    assert found["python"]["level"] == "ok"
    assert not home.exists()


def test_doctor_of_a_prepared_home_is_content_with_it(invoke, installation: Installation) -> None:
    found = findings(invoke("mlops:doctor", "--json"))
    assert (found["home"]["level"], found["secrets"]["level"]) == ("ok", "ok")
    assert found["sockets"]["level"] == "ok"


def test_doctor_explains_a_half_made_database(invoke, installation: Installation) -> None:
    (installation.postgres_dir / "base").mkdir(parents=True)
    result = invoke("mlops:doctor", "--json")
    assert result.code == 7
    postgres = findings(result)["postgres"]
    assert postgres["level"] == "error"
    assert "is not a whole data directory" in postgres["detail"]
    assert f"mv {installation.postgres_dir}" in postgres["remedy"]


def test_doctor_names_a_secret_that_others_may_read(invoke, installation: Installation) -> None:
    installation.secret_file("ray_token").chmod(0o644)
    result = invoke("mlops:doctor", "--json")
    assert result.code == 7
    secrets = findings(result)["secrets"]
    assert secrets["level"] == "error"
    assert secrets["detail"] == "others may read ray_token"
    assert "chmod 600" in secrets["remedy"]
    assert not any(installation.secret(name) in result.out for name in ("ray_token", "admin_token"))


def test_doctor_tells_that_the_supervisor_was_killed(invoke, installation: Installation) -> None:
    status_file(installation).write_text("{}")
    assert findings(invoke("mlops:doctor", "--json"))["services"]["detail"] == "the supervisor was killed"


def test_doctor_asks_for_the_log_of_a_service_that_does_not_answer(invoke, supervised) -> None:
    supervised(postgres="healthy", mlflow="unhealthy")
    result = invoke("mlops:doctor", "--json")
    assert result.code == 7
    assert findings(result)["postgres"]["level"] == "ok"
    assert "mlops:logs mlflow" in findings(result)["mlflow"]["remedy"]


def test_doctor_prints_each_finding_with_its_remedy_below(invoke, installation: Installation) -> None:
    installation.secret_file("ray_token").chmod(0o644)
    lines = invoke("mlops:doctor").out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("error   secrets: "))
    assert lines[at + 1].startswith("        → Run `chmod 600")


# -- dashboard ----------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr("webbrowser.open", found.append)
    return found


@pytest.mark.parametrize(
    ("options", "opens"), [(["--no-open"], False), ([], True), (["--json"], False)], ids=str
)
def test_dashboard_prints_its_link_and_opens_it_unless_told_not_to(
    invoke, gateway, installation: Installation, opened: list[str], options: list[str], opens: bool
) -> None:
    url = f"http://127.0.0.1:{gateway.port}/login?ticket=x"
    gateway.answers["POST /api/tickets"] = (200, {"url": url})
    result = invoke("mlops:dashboard", *options)
    assert result.code == 0
    assert (result.json if "--json" in options else result.out.strip()) in ({"url": url}, url)
    page = installation.run_dir / "dashboard.html"
    assert opened == ([page.as_uri()] if opens else [])
    assert page.exists() is opens
    assert gateway.asked == [("POST /api/tickets", f"Bearer {installation.secret('admin_token')}")]


def test_dashboards_page_is_private_leads_on_and_holds_the_last_link_alone(
    invoke, gateway, installation: Installation, opened: list[str]
) -> None:
    page = installation.run_dir / "dashboard.html"
    for ticket in ("first", "last"):
        url = f"http://127.0.0.1:{gateway.port}/login?ticket={ticket}&next=/"
        gateway.answers["POST /api/tickets"] = (200, {"url": url})
        assert invoke("mlops:dashboard").out == f"{url}\n"
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        assert f'content="0;url={html.escape(url)}"' in page.read_text()
    assert "ticket=first" not in page.read_text()
    assert not any("ticket" in address for address in opened)


def test_dashboard_of_a_stopped_gateway_exits_with_7(invoke, installation: Installation) -> None:
    installation.choose_ports(["gateway"])
    result = invoke("mlops:dashboard", "--no-open")
    assert result.code == 7
    assert "gateway does not answer" in result.err


def test_looking_commands_are_the_ones_tried_here() -> None:
    assert set(inspection.COMMANDS) == {"mlops:status", "mlops:doctor", "mlops:dashboard"}


# -- availability -------------------------------------------------------------------------------


def test_status_tells_what_was_recorded_and_of_when(invoke, supervised, installation: Installation) -> None:
    now = datetime.now(UTC)
    restart = Restart("postgres", now - timedelta(minutes=3), RestartCause.KILLED, "words of its log")
    day, month = Availability(0.99876, 9.0, 1.0), Availability(1.0, 0.0, 0.125)
    record = ServiceRecord(now, 4, (restart,), day, Availability(None, 0.0, 0.0), month)
    write_records(installation, {"postgres": record})
    supervised(postgres="healthy")
    line = invoke("mlops:status").out.splitlines()[1]
    assert "4  " in line
    assert "3 min ago: killed" in line
    assert "99.88%  ?  100.00% of 12.5%" in line
    assert "as of" not in line
    write_records(installation, {"postgres": replace(record, as_of=now - timedelta(hours=2))})
    assert "as of 2 h 00 min ago" in invoke("mlops:status").out
