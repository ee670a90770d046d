"""Drift reports over HTTP: asked for, read and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mlops.entities import ColumnDrift, ColumnKind, DriftCheck, DriftReport
from mlops.monitoring.drift_files import page_of, performance_page_of
from mlops.platform import Platform
from mlops.store.store import Store

DRIFT = "/api/projects/alpha/drift"


def error_of(answer) -> dict:
    assert set(answer.json()) == {"error"}
    return answer.json()["error"]


@pytest.fixture
def made(alpha: TestClient, store: Store) -> int:
    """A report of version 3 that is done, without a page."""
    number = alpha.post(DRIFT, json={"model": "depth", "version": 3}).json()["id"]
    store.drift.claim()
    row = ColumnDrift(
        "wear", "inputs", DriftCheck.DISTRIBUTION, ColumnKind.NUMERICAL, "distance", 0.3, 0.2, True, 0.0, 0.0
    )
    store.drift.done(number, DriftReport(100, 50, 40, None, None, 3, (row,)))
    return number


def test_asked_for_and_read(alpha: TestClient, made: int) -> None:
    found = alpha.get(f"{DRIFT}/{made}").json()
    assert (found["state"], found["drifted"], found["judged"], found["asked_by"]) == ("done", 1, 1, "alpha")
    assert found["columns"][0]["column"] == "wear"
    (listed,) = alpha.get(DRIFT).json()
    assert (listed["id"], listed["columns"]) == (made, [])
    assert alpha.get(f"{DRIFT}?model=other").json() == []


def test_of_the_champion_where_no_version_is_named(
    alpha: TestClient, serve: Callable[..., int], store: Store
) -> None:
    nothing_serves = alpha.post(DRIFT, json={"model": "depth"})
    assert (nothing_serves.status_code, error_of(nothing_serves)["type"]) == (404, "DeploymentNotFound")
    serve("alpha", "depth", version=5)
    asked = alpha.post(DRIFT, json={"model": "depth", "window_s": 3600.0})
    assert asked.status_code == 202
    assert asked.json()["version"] == 5
    job = store.drift.get(asked.json()["id"])
    assert (job.until - job.since).total_seconds() == 3600
    usual = store.drift.get(alpha.post(DRIFT, json={"model": "depth"}).json()["id"])
    assert (usual.until - usual.since).total_seconds() == 86_400


def test_what_cannot_be_asked_for_is_named(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for body, field in [
        ({"model": "depth", "version": 3, "window_s": 0}, "window_s"),
        ({"model": "depth", "version": 3, "window_s": 1e300}, "window_s"),
        ({"model": "../depth", "version": 3}, "model"),
        ({"model": "depth", "version": 0}, "version"),
        ({"model": "depth", "version": 3, "more": 1}, "more"),
        ({}, "model"),
    ]:
        with subtests.test(body=body):
            refused = alpha.post(DRIFT, json=body)
            assert refused.status_code == 422
            assert field in str(error_of(refused)["fields"])


def test_another_projects_reports_are_not_there(
    alpha: TestClient, client_of: Callable[[str], TestClient], made: int, admin: TestClient
) -> None:
    beta = client_of("token-of-beta")
    assert beta.get(f"{DRIFT}/{made}").status_code == 403
    through_ones_own = beta.get(f"/api/projects/beta/drift/{made}")
    assert (through_ones_own.status_code, error_of(through_ones_own)["type"]) == (404, "DriftReportNotFound")
    assert beta.get(f"/api/projects/beta/drift/{made}/page").status_code == 404
    assert beta.get("/api/projects/beta/drift").json() == []
    assert beta.post(DRIFT, json={"model": "depth", "version": 3}).status_code == 403
    assert admin.get(f"{DRIFT}/{made}").status_code == 200
    assert error_of(admin.get("/api/projects/gamma/drift"))["type"] == "ProjectNotFound"
    assert error_of(admin.post("/api/projects/gamma/drift", json={"model": "m"}))["type"] == "ProjectNotFound"
    assert error_of(alpha.get(f"{DRIFT}?count=0"))["fields"]["field"] == "count"
    assert alpha.get(f"{DRIFT}/{2**63}").status_code == 422


def test_the_page_is_in_a_sandbox(
    alpha: TestClient, made: int, store: Store, platform: Platform, tmp_path: Path
) -> None:
    missing = alpha.get(f"{DRIFT}/{made}/page")
    assert (missing.status_code, error_of(missing)["type"]) == (404, "DriftReportNotFound")
    page = page_of(tmp_path, made)
    page.parent.mkdir(parents=True)
    page.write_text("<html><script>alert(1)</script></html>")
    platform.drift._folder = tmp_path
    assert alpha.get(f"{DRIFT}/{made}/page").status_code == 404, "it is not whole yet"
    store.drift.paged(made)
    shown = alpha.get(f"{DRIFT}/{made}/page")
    assert (shown.status_code, shown.text) == (200, page.read_text())
    policies = shown.headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert "sandbox allow-scripts;" in policies[0]
    assert "allow-same-origin" not in policies[0]
    assert "default-src 'none'" in policies[0]
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert (
        alpha.get("/api/me")
        .headers["content-security-policy"]
        .startswith("default-src 'none'; script-src 'self'")
    )


def test_the_page_of_performance_is_there_once_truths_have_come(
    alpha: TestClient, client_of: Callable[[str], TestClient], made: int, store: Store, platform: Platform,
    tmp_path: Path,
) -> None:  # fmt: skip
    missing = alpha.get(f"{DRIFT}/{made}/performance")
    assert (missing.status_code, error_of(missing)["type"]) == (404, "DriftReportNotFound")
    page = performance_page_of(tmp_path, made)
    page.parent.mkdir(parents=True)
    page.write_text("<html>right</html>")
    platform.drift._folder = tmp_path
    assert alpha.get(f"{DRIFT}/{made}/performance").status_code == 404, "it is not whole yet"
    store.drift.performance_paged(made)
    shown = alpha.get(f"{DRIFT}/{made}/performance")
    assert (shown.status_code, shown.text) == (200, page.read_text())
    assert "sandbox allow-scripts;" in shown.headers["content-security-policy"]
    assert alpha.get(f"{DRIFT}/{made}").json()["has_performance"] is True
    beta = client_of("token-of-beta")
    assert beta.get(f"/api/projects/beta/drift/{made}/performance").status_code == 404
