"""Alerts and their rules over HTTP: what is seen, changed and refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from mlops.entities import Alert, RunStatus
from mlops.monitoring.alerts import evaluate
from mlops.monitoring.readings import Facts
from mlops.monitoring.rules import all_rules
from mlops.store.store import Store

RULES = "/api/projects/alpha/alerts/rules"
SLOW = {"kind": "latency_p95", "threshold": 0.2}


def error_of(answer) -> dict:
    assert set(answer.json()) == {"error"}
    return answer.json()["error"]


@pytest.fixture
def failed_run(store: Store, add_run: Callable[..., object]) -> Callable[[str], Alert]:
    """Has a run of the project fail, and that found."""

    def fail(project: str) -> Alert:
        now = datetime.now(UTC)
        run = add_run(project, f"{project}-failed", status=RunStatus.FAILED, ended_at=now)
        rules = all_rules({project: {}}, {})
        evaluate(
            [rule for rule in rules if rule.name == "run-failed"],
            Facts(now, runs={project: [run]}),
            store.alerts,
        )
        return store.alerts.latest(project)[0]

    return fail


def test_each_sees_its_own_alerts(
    admin: TestClient,
    alpha: TestClient,
    client_of: Callable[[str], TestClient],
    failed_run: Callable[[str], Alert],
) -> None:
    failed_run("alpha")
    (seen,) = alpha.get("/api/alerts").json()
    assert (seen["project"], seen["rule"], seen["subject"]) == ("alpha", "run-failed", "alpha-failed")
    assert client_of("token-of-beta").get("/api/alerts").json() == []
    assert [each["project"] for each in admin.get("/api/alerts").json()] == ["alpha"]
    assert [each["project"] for each in admin.get("/api/alerts?project=alpha").json()] == ["alpha"]
    assert admin.get("/api/alerts?project=beta").json() == []
    assert client_of("token-of-beta").get("/api/alerts?project=alpha").json() == []
    assert error_of(alpha.get("/api/alerts?count=0"))["fields"]["field"] == "count"


def test_acknowledged_by_its_project_alone(
    admin: TestClient,
    alpha: TestClient,
    client_of: Callable[[str], TestClient],
    failed_run: Callable[[str], Alert],
    store: Store,
) -> None:
    path = f"/api/alerts/{failed_run('alpha').id}/acknowledge"
    assert client_of("token-of-beta").post(path).status_code == 404
    assert alpha.post(path).json()["acknowledged_by"] == "alpha"
    assert admin.post(path).json()["acknowledged_by"] == "alpha", "the first stays"
    entries = [(entry.who, entry.action, entry.project) for entry in store.audit.latest()]
    assert entries[1] == ("alpha", "acknowledge", "alpha")
    assert error_of(alpha.post("/api/alerts/999999/acknowledge"))["type"] == "AlertNotFound"
    assert alpha.post(f"/api/alerts/{2**63}/acknowledge").status_code == 422


def test_a_rule_is_added_holds_and_is_removed(alpha: TestClient, store: Store) -> None:
    made = alpha.put(f"{RULES}/slow", json=SLOW)
    assert made.status_code == 201
    assert (made.json()["kind"], made.json()["threshold"], made.json()["project"]) == (
        "latency_p95",
        0.2,
        "alpha",
    )
    assert {rule["name"] for rule in alpha.get(RULES).json()} == {"error-rate", "drift", "run-failed", "slow"}
    assert error_of(alpha.put(f"{RULES}/slow", json=SLOW))["fields"]["field"] == "rule"
    assert alpha.delete(f"{RULES}/slow").status_code == 204
    assert error_of(alpha.delete(f"{RULES}/slow"))["fields"]["field"] == "rule"
    assert [entry.action for entry in store.audit.latest()] == ["remove rule", "add rule"]


def test_a_wrong_rule_is_refused(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for stated in [{}, {"kind": "slow"}, SLOW | {"threshold": -1}, [], "x", None]:
        with subtests.test(stated=stated):
            answer = alpha.put(f"{RULES}/slow", json=stated)
            assert answer.status_code == 422
            assert error_of(answer)["message"]


def test_a_rule_of_the_project_toml_is_changed_there(
    alpha: TestClient, add_project: Callable[..., str]
) -> None:
    add_project("alpha", alerts={"rules": {"slow": SLOW}, "channels": {}})
    assert "slow" in {rule["name"] for rule in alpha.get(RULES).json()}
    assert "project.toml" in error_of(alpha.put(f"{RULES}/slow", json=SLOW))["message"]
    assert "project.toml" in error_of(alpha.delete(f"{RULES}/slow"))["remedy"]


def test_the_platforms_rules_are_the_admins(admin: TestClient, alpha: TestClient) -> None:
    disk = {"kind": "disk_low", "threshold": 0.3}
    assert alpha.get("/api/alerts/rules").status_code == 403
    assert alpha.put("/api/alerts/rules/disk", json=disk).status_code == 403
    assert alpha.post("/api/alerts/silences", json={}).status_code == 403
    assert admin.put("/api/alerts/rules/disk", json=disk).status_code == 201
    names = {rule["name"] for rule in admin.get("/api/alerts/rules").json()}
    assert names == {"service-down", "restarted-often", "disk-low", "thermal", "journal", "disk"}
    assert admin.delete("/api/alerts/rules/disk").status_code == 204
    assert error_of(admin.put("/api/projects/gamma/alerts/rules/x", json=SLOW))["type"] == "ProjectNotFound"
    assert error_of(admin.get("/api/projects/gamma/alerts/rules"))["type"] == "ProjectNotFound"


def test_a_silence(alpha: TestClient, store: Store) -> None:
    made = alpha.post("/api/projects/alpha/alerts/silences", json={"rule": "run-failed", "minutes": 5.0})
    assert made.status_code == 201
    (kept,) = store.alerts.silences(datetime.now(UTC))
    assert (kept.project, kept.rule, kept.by) == ("alpha", "run-failed", "alpha")


def test_a_wrong_silence_is_refused(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for silencing, field in [
        ({"rule": "nothing"}, "rule"),
        ({"minutes": 0.0}, "minutes"),
        ({"minutes": 1e300}, "minutes"),
        ({"minutes": -1.0}, "minutes"),
    ]:
        with subtests.test(silencing=silencing):
            answer = alpha.post("/api/projects/alpha/alerts/silences", json=silencing)
            assert (answer.status_code, error_of(answer)["fields"]["field"]) == (422, field)
