"""The logs of a whole stack, by command: structured, filtered, without a secret."""

from __future__ import annotations

import json
from typing import Any

import httpx

from mlops.client import MLOpsClient
from mlops.installation import Installation
from tests.stack.test_end_to_end import toolkit


def lines(stack: Installation, *options: str) -> list[dict[str, Any]]:
    done = toolkit(stack, "mlops:logs", "--json", "-n", "100000", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(text) for text in done.stdout.splitlines()]


def test_every_service_has_records(stack: Installation, served_digits: Any) -> None:
    found = lines(stack)
    assert {each["service"] for each in found} >= {
        "gateway",
        "worker",
        "postgres",
        "mlflow",
        "ray",
        "supervisor",
    }
    assert all({"time", "level", "project", "request_id", "event", "message"} <= set(each) for each in found)
    times = [each["time"] for each in found]
    assert times == sorted(times)
    assert any(each["event"] == "gateway.running" for each in lines(stack, "gateway"))


def test_of_a_project_and_by_words(stack: Installation, digits: MLOpsClient, served_digits: Any) -> None:
    of_project = lines(stack, "--project", "digits")
    assert of_project
    assert {each["project"] for each in of_project} == {"digits"}
    assert any("deployment" in each["event"] for each in of_project)
    assert all("deployment" in json.dumps(each) for each in lines(stack, "--text", "deployment"))
    assert {each["level"] for each in lines(stack, "--level", "warning")} <= {"warning", "error", "critical"}
    assert lines(stack, "--until", "2020-01-01T00:00") == []


def test_errors_are_named(stack: Installation) -> None:
    for wrong in (("nothing",), ("--level", "loud"), ("--since", "soon")):
        done = toolkit(stack, "mlops:logs", *wrong)
        assert done.returncode == 3, wrong
        assert "error:" in done.stderr


def test_a_wrong_token_is_told_of_and_not_told(stack: Installation) -> None:
    secret = "a-token-that-nobody-has-0123456789"
    for header in (f"Bearer {secret}", f"Basic {secret}"):
        httpx.get(f"{stack.gateway_url}/api/me?token={secret}", headers={"Authorization": header})
    refused = [each for each in lines(stack, "gateway") if each["event"] == "login.refused"]
    assert refused
    for path in stack.logs_dir.iterdir():
        assert secret not in path.read_text(errors="replace"), path.name
