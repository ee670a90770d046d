"""Alerts on the whole stack, by command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from mlops.installation import Installation
from tests.stack.test_end_to_end import toolkit


def alerts(stack: Installation, *options: str) -> list[dict[str, Any]]:
    done = toolkit(stack, "mlops:alerts", "list", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [each for each in json.loads(done.stdout) if each["rule"] == "full"]


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_rule_finds_what_is_wrong_tells_it_and_ends(stack: Installation) -> None:
    never_met = ("--kind", "disk_low", "--threshold", "1", "--platform")  # no disk is all free
    added = toolkit(stack, "mlops:alerts", "add", "full", *never_met)
    assert added.returncode == 0, added.stderr
    until(lambda: len(alerts(stack)) == 1)
    (alert,) = alerts(stack)
    assert (alert["state"], alert["project"], alert["threshold"]) == ("firing", "", 1.0)
    assert "of the disk is free" in toolkit(stack, "mlops:alerts", "list").stdout
    log = stack.logs_dir / "worker.log"
    until(lambda: f"alert-{alert['id']}-fired" in log.read_text())

    acknowledged = toolkit(stack, "mlops:alerts", "ack", str(alert["id"]))
    assert "acknowledged by admin" in acknowledged.stdout, acknowledged.stderr
    assert "full" in toolkit(stack, "mlops:alerts", "rules", "--platform").stdout
    removed = toolkit(stack, "mlops:alerts", "remove", "full", "--platform")
    assert removed.returncode == 0, removed.stderr
    until(lambda: alerts(stack) == [])
    (over,) = alerts(stack, "--history")
    assert (over["id"], over["state"]) == (alert["id"], "resolved")
    until(lambda: f"alert-{alert['id']}-resolved" in log.read_text())
    assert log.read_text().count(f"alert-{alert['id']}-fired") == 1


def test_what_alerts_cannot_do_is_named(stack: Installation) -> None:
    unknown = toolkit(stack, "mlops:alerts", "ack", "999999")
    assert unknown.returncode == 4
    assert "no alert 999999" in unknown.stderr
    wrong = toolkit(stack, "mlops:alerts", "add", "x", "--kind", "slow", "--platform")
    assert wrong.returncode == 3
    assert "x.kind" in wrong.stderr
    silent = toolkit(stack, "mlops:alerts", "silence", "nothing", "--platform")
    assert silent.returncode == 3
    assert "service-down" in silent.stderr
