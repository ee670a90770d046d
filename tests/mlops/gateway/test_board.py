"""The figures of the dashboard's pages over HTTP, the stream, and a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from mlops.entities import RunStatus
from mlops.hardware.names import ENERGY
from mlops.platform import Platform
from mlops.store.traffic import Traffic


def test_overview_and_endpoints(admin: TestClient, alpha: TestClient, serve, add_run, store) -> None:
    number = serve("alpha", "depth", "http://127.0.0.1:1")
    add_run("alpha", "bad", status=RunStatus.FAILED)
    traffic = Traffic()
    for place in range(30):
        traffic.record(0.004, failed=place < 3)
    store.traffic.add({number: traffic})
    found = admin.get("/api/overview").json()
    assert [each["workspace"]["project_name"] for each in found] == ["alpha", "beta"]
    assert (found[0]["run"]["status"], found[0]["failed"], found[1]["run"]) == ("FAILED", 1, None)
    endpoint = alpha.get("/api/endpoints").json()[0]
    assert endpoint["requests_s"] == pytest.approx(0.1)
    assert endpoint["error_share"] == pytest.approx(0.1)
    assert endpoint["p95_s"] == 0.005
    assert endpoint["deployment"]["url"].startswith("http://")


def test_traffic_has_gaps_where_nobody_asked(alpha: TestClient, serve, store) -> None:
    number = serve("alpha", "depth", "http://127.0.0.1:1")
    traffic = Traffic()
    traffic.record(0.004, failed=False)
    store.traffic.add({number: traffic}, datetime.now(UTC) - timedelta(minutes=2))
    found = alpha.get("/api/projects/alpha/traffic?model=depth&span_s=600").json()
    assert found["step_s"] == 10
    assert {len(found[name]) for name in ("times", "requests_s", "error_share", "p95_s")} == {
        len(found["times"])
    }
    assert len([each for each in found["requests_s"] if each is not None]) == 1


def test_a_stretch_of_the_past_is_finer_and_has_whole_steps(alpha: TestClient, serve, store) -> None:
    number = serve("alpha", "depth", "http://127.0.0.1:1")
    traffic = Traffic()
    traffic.record(0.004, failed=False)
    now = datetime.now(UTC).timestamp()
    at = now - now % 10 - 3600
    for place in range(12):
        store.traffic.add({number: traffic}, datetime.fromtimestamp(at + 10 * place, UTC))
    found = alpha.get(f"/api/projects/alpha/traffic?model=depth&span_s=60&until={at + 55}").json()
    assert (found["step_s"], found["times"][-1]) == (10, at + 50)
    assert found["requests_s"][-6:] == [pytest.approx(0.1)] * 6
    ahead = alpha.get(f"/api/projects/alpha/traffic?model=depth&span_s=60&until={now + 1e6}").json()
    assert ahead["times"][-1] <= datetime.now(UTC).timestamp()
    assert set(ahead["requests_s"]) == {None}


def test_the_step_under_way_counts_by_what_is_over_of_it(alpha: TestClient, serve, store) -> None:
    number = serve("alpha", "depth", "http://127.0.0.1:1")
    traffic = Traffic()
    traffic.record(0.004, failed=False)
    store.traffic.add({number: traffic}, datetime.now(UTC) - timedelta(seconds=25))
    found = alpha.get("/api/projects/alpha/traffic?model=depth&span_s=86400").json()
    (rate,) = [each for each in found["requests_s"] if each is not None]
    assert 1 / found["step_s"] <= rate <= 1 / 10


def test_what_cannot_be_asked_is_named(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for path, status, words in [
        ("/api/overview?window=soon", 422, "window"), ("/api/overview?project=beta", 403, "beta"),
        ("/api/projects/alpha/traffic?model=depth&span_s=5", 422, "span_s"),
        *((f"/api/projects/alpha/traffic?model=depth&until={each}", 422, "until")
          for each in ("-1", "nan", "inf", "1e12", "soon")),
        ("/api/projects/alpha/traffic", 422, "model"),
        ("/api/projects/alpha/traffic?model=..%2Fx", 422, "model"),
        ("/api/projects/alpha/drift-history?model=depth&window=x", 422, "window"),
    ]:  # fmt: skip
        with subtests.test(path=path):
            refused = alpha.get(path)
            assert refused.status_code == status
            assert words in refused.text


def test_hardware_tells_the_energy_of_ones_own(admin: TestClient, alpha: TestClient, add_run) -> None:
    add_run("alpha", "a1", metrics={ENERGY: 100.0})
    add_run("alpha", "a2", metrics={ENERGY: 20.5})
    add_run("beta", "b1", metrics={ENERGY: 7.0})
    assert admin.get("/api/hardware").json()["energy_j"] == {"alpha": 120.5, "beta": 7.0}
    told = alpha.get("/api/hardware").json()
    assert told["energy_j"] == {"alpha": 120.5}
    assert told["machine"]["disk"]["size"] > 0
    assert alpha.get("/api/projects/alpha/drift-history?model=depth").json() == []
    assert alpha.get("/api/silences").json() == []


def test_restart_is_for_admins(admin: TestClient, alpha: TestClient, platform: Platform) -> None:
    assert alpha.post("/api/services/worker/restart").status_code == 403
    assert admin.post("/api/services/worker/restart").status_code == 503
    asked: list[str] = []
    platform._restart = asked.append
    assert admin.post("/api/services/worker/restart").status_code == 202
    assert asked == ["worker"]


def test_marks_differ_where_something_changed(platform: Platform, store, admin, serve, add_run) -> None:
    before = platform.marks()
    add_run("alpha", "r1", status=RunStatus.RUNNING, metrics={"loss": 1.0})
    serve("beta", "depth", "http://127.0.0.1:1")
    now = platform.marks()
    assert "alpha" in now["runs"]
    assert now["runs"].get("beta") == before.get("runs", {}).get("beta")
    assert "beta" in now["deployments"]
    add_run("alpha", "r1", status=RunStatus.RUNNING, metrics={"loss": 0.5, "more": 1.0})
    assert platform.marks()["runs"]["alpha"] != now["runs"]["alpha"], "what it logs counts"


def test_a_person_gets_a_page_that_says_what_failed(alpha: TestClient) -> None:
    told = alpha.get("/monitoring?range=2y", headers={"Accept": "text/html"})
    assert told.status_code == 422
    assert "<h1>" in told.text
    assert "Use one of: 1h" in told.text


def test_machines_are_told_of_ones_own_runs(admin: TestClient, alpha: TestClient, add_run) -> None:
    for name in ("alpha", "beta"):
        add_run(name, name, tags={"hardware.os": "Linux", "hardware.host": f"host-of-{name}"})
    assert [each["name"] for each in admin.get("/api/machines").json()] == ["host-of-alpha", "host-of-beta"]
    assert [each["name"] for each in alpha.get("/api/machines").json()] == ["host-of-alpha"]
    assert alpha.get("/api/machines?project=beta").status_code == 403
    assert alpha.get("/api/machines?window=soon").status_code == 422
