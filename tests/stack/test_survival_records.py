"""kill -9 of each service is seen, recorded and told; after test_survival, whose kills count."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from mlops.entities import ServiceRecord, ServiceState
from mlops.installation import Installation
from mlops.services import control
from mlops.services.names import SERVICES
from mlops.services.record import read_records
from mlops.services.status import read_status
from tests.stack.test_end_to_end import toolkit


def until(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def kill(installation: Installation, name: str) -> None:
    pid = next(each.pid for each in read_status(installation) if each.name == name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        seen = next(each for each in read_status(installation) if each.name == name)
        return seen.pid not in (None, pid) and seen.state is ServiceState.HEALTHY

    until(is_back)


def test_each_outage_is_recorded_and_told(stack: Installation) -> None:
    known = until(lambda: found if set(found := read_records(stack)) >= set(SERVICES) else None)
    for name in SERVICES:
        if known[name].restarts_day == 0:
            kill(stack, name)

    def recorded() -> dict[str, ServiceRecord] | None:
        records = read_records(stack)
        return records if all(records[name].restarts_day >= 1 for name in SERVICES) else None

    records = until(recorded)
    for name in SERVICES:
        record = records[name]
        assert record.restarts_day >= 1, name
        assert any(each.cause in ("killed", "exited") for each in record.restarts), name
        assert record.day.down_s > 0, name
        assert record.day.share is not None
        assert 0 < record.day.share < 1, name
        assert record.day.observed < 0.1, "nobody looked before it was started"

    done = toolkit(stack, "mlops:status", "--json")
    told = {each["name"]: each["record"] for each in json.loads(done.stdout)}
    assert told["gateway"]["restarts_day"] >= 1
    table = toolkit(stack, "mlops:status").stdout
    assert "ANSWERED (DAY, WEEK, MONTH)" in table
    assert "ago: killed" in table
    assert "%" in table

    health = httpx.get(f"{stack.gateway_url}/health").json()
    assert {each["name"] for each in health["services"]} >= set(SERVICES)
    postgres = next(each for each in health["services"] if each["name"] == "postgres")
    assert postgres["restarts_day"] >= 1
    assert 0 < postgres["availability"]["day"] < 1
    assert set(postgres) == {
        *("name", "state", "restarts_day", "last_restarts", "availability", "observed", "recorded_at")
    }
    assert all(set(each) == {"at", "cause"} for each in postgres["last_restarts"])


def test_what_stops_on_purpose_is_not_down_and_what_was_known_is_told(stack: Installation) -> None:
    before = until(lambda: read_records(stack).get("ray"))
    control.stop(stack)
    stopped_at = time.monotonic()
    table = toolkit(stack, "mlops:status")
    assert table.returncode == 7
    assert "%" in table.stdout, "the last that was known"
    assert Path(stack.run_dir / "availability.json").is_file()
    time.sleep(max(0.0, stopped_at + 4 - time.monotonic()))
    control.start(stack)

    def looked_again() -> ServiceRecord | None:
        now = read_records(stack)["ray"]
        return now if now.day.observed > before.day.observed else None

    after = until(looked_again)
    assert after.restarts_day == before.restarts_day
    assert after.day.down_s - before.day.down_s < 2.0


def test_restarts_that_come_often_are_an_alert(stack: Installation) -> None:
    def alert() -> list[dict[str, Any]]:
        found = json.loads(toolkit(stack, "mlops:alerts", "list", "--json").stdout)
        return [each for each in found if (each["rule"], each["subject"]) == ("restarted-often", "mlflow")]

    for _ in range(3):
        if not alert():
            kill(stack, "mlflow")
    (found,) = until(alert)
    assert found["kind"] == "restarted_often"
    assert "times within 600 s" in found["message"]


def test_health_answers_while_postgres_is_away(stack: Installation) -> None:
    pid = next(each.pid for each in read_status(stack) if each.name == "postgres")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    answer = httpx.get(f"{stack.gateway_url}/health", timeout=3.0)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    until(lambda: all(each.state is ServiceState.HEALTHY for each in read_status(stack)))
