"""The services' logs over HTTP, and what the gateway says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mlops.logs.reading import LogFolder
from mlops.platform import Platform


@pytest.fixture
def logs(platform: Platform, tmp_path: Path) -> Path:
    platform._logs = LogFolder(tmp_path)
    return tmp_path


def test_an_admin_reads_and_filters(admin: TestClient, logs: Path) -> None:
    line = {"time": "2026-11-27T11:00:00Z", "level": "warning", "message": "slow", "project": "alpha"}
    (logs / "worker.log").write_text(json.dumps(line) + "\n" + json.dumps(line | {"message": "later"}) + "\n")
    told = admin.get("/api/logs").json()
    assert [each["message"] for each in told] == ["slow", "later"]
    assert (told[0]["service"], told[0]["level"], told[0]["project"]) == ("worker", "warning", "alpha")
    assert [each["message"] for each in admin.get("/api/logs?count=1").json()] == ["later"]
    assert admin.get("/api/logs?project=beta").json() == []
    assert admin.get("/api/logs?level=error").json() == []
    assert len(admin.get("/api/logs?service=worker&text=slow").json()) == 1


def test_a_member_is_refused(alpha: TestClient, logs: Path) -> None:
    refused = alpha.get("/api/logs")
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "Forbidden")


def test_what_cannot_be_asked_is_named(admin: TestClient, logs: Path, subtests: pytest.Subtests) -> None:
    for query, field in [
        ("service=x", "service"), ("level=loud", "level"), ("since=soon", "since"), ("count=0", "count"),
        ("count=1000000", "count"),
    ]:  # fmt: skip
        with subtests.test(query=query):
            refused = admin.get(f"/api/logs?{query}")
            assert (refused.status_code, refused.json()["error"]["fields"]["field"]) == (422, field)


def test_a_failure_is_one_line_with_its_request(
    alpha: TestClient, anonymous: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    alpha.post("/projects/alpha/models/nothing/predict", json={"inputs": {}})
    anonymous.get("/api/me", headers={"Authorization": "Bearer wrong-token"})
    events = [record.__dict__.get("event") for record in caplog.records]
    assert "login.refused" in events
    assert "wrong-token" not in caplog.text
