"""What the home page shows, to whom, and with what away."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from mlops.dashboard.overview import Overviews
from mlops.dashboard.pages import Pages, dashboard_routes
from mlops.entities import DeploymentState, RunStatus, ServiceState, ServiceStatus
from mlops.errors import ServiceUnavailable
from mlops.platform import Platform
from mlops.store.tokens import Principal, Role

ADMIN = Principal(Role.ADMIN, None)
XSS = "<script>alert(1)</script>\"'"


@pytest.fixture
def page(platform: Platform):
    """Renders a path for a principal, without the gateway in front."""
    app = FastAPI()
    caller = {"principal": ADMIN}

    @app.middleware("http")
    async def know(request: Request, call_next):
        request.state.principal, request.state.csrf = caller["principal"], "f" * 64
        return await call_next(request)

    app.include_router(dashboard_routes(platform, Pages()))
    client = TestClient(app)

    def render(path: str = "/", principal: Principal = ADMIN) -> str:
        caller["principal"] = principal
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    return render


def _section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    assert found, page
    return found[0]


def test_empty_platform_teaches_the_commands(page, services) -> None:
    services.clear()
    shown = page()
    assert "mlops:register" in _section(shown, "projects")
    assert "mlops:deploy &lt;model&gt; &lt;version&gt;" in _section(shown, "deployments")
    assert "mlops:start" in _section(shown, "services")


def test_projects_with_their_last_run(page, add_project, add_run) -> None:
    add_project("alpha", description="Holes", primary_metric="val_mae_mm")
    started = datetime.now(UTC) - timedelta(minutes=5)
    metrics = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "val_mae_mm": 0.123456, "system/gpu": 99.0}
    add_run("alpha", "older", name="older", started_at=started - timedelta(days=1))
    add_run(
        "alpha",
        "abcd",
        name="train-7",
        started_at=started,
        ended_at=started + timedelta(seconds=70),
        metrics=metrics,
    )
    shown = _section(page(), "projects")
    assert "Holes" in shown
    assert "train-7" in shown
    assert "older" not in shown
    assert "5 min ago" in shown
    assert "took 1 min 10 s" in shown
    assert "finished" in shown
    assert 'href="http://127.0.0.1:5000/#/experiments/7/runs/abcd?workspace=alpha"' in shown
    names = re.findall(r"<dt[^>]*>([^<]*)</dt>", shown)
    assert names == ["val_mae_mm", "a", "b", "c"], "the primary one first, few others, no readings"
    assert "0.1235" in shown


def test_project_without_runs_says_so(page, add_project) -> None:
    add_project("alpha")
    assert "No run yet" in page()


def test_failures_come_first(platform, add_project, add_run) -> None:
    for name in ("alpha", "beta", "gamma"):
        add_project(name)
    add_run("beta", "b", status=RunStatus.RUNNING)
    add_run("gamma", "c", status=RunStatus.FAILED)
    cards = Overviews(platform).gather(ADMIN).projects.rows
    assert [card.workspace.project_name for card in cards] == ["gamma", "beta", "alpha"]


def test_deployments_with_their_errors(page, add_project, serve, store) -> None:
    add_project("alpha")
    serve("alpha", "depth", "http://127.0.0.1:1", version=3)
    failed = store.deployments.want("alpha", "wear", 2, 1)
    store.deployments.advance(
        failed.id, DeploymentState.FAILED, error="Traceback …\n  x\nValueError: <no> model"
    )
    shown = _section(page(), "deployments")
    assert "/projects/alpha/models/depth/predict" in shown
    assert "<summary>ValueError: &lt;no&gt; model</summary>" in shown
    assert "running" in shown
    assert "failed" in shown


def test_services_with_state_restarts_and_detail(page, services) -> None:
    services.append(ServiceStatus("mlflow", ServiceState.UNHEALTHY, detail="answers 500", restarts=4))
    shown = _section(page(), "services")
    assert "answers 500" in shown
    assert ">4<" in shown
    assert "unhealthy" in shown
    assert 'class="state green"' in shown, "postgres is healthy"


def test_everything_is_escaped(page, add_project, add_run, serve, store, services) -> None:
    add_project("alpha", description=XSS, primary_metric=XSS)
    add_run("alpha", "abcd", name=XSS, metrics={XSS: 1.0})
    deployment = serve("alpha", "depth", "http://127.0.0.1:1")
    store.deployments.advance(deployment, DeploymentState.FAILED, error=XSS)
    services.append(ServiceStatus("mlflow", ServiceState.UNHEALTHY, detail=XSS, address=XSS))
    for shown in (page(), page("/fragments/overview"), page(f"/?project={XSS}")):
        assert "alert(1)" in shown
        assert "<script>alert" not in shown
        assert not re.search(r'="[^"]*<script', shown)
        assert not re.search(r"<[^>]+\son\w+=", shown), "no inline handler"
        assert "style=" not in shown, "the policy forbids inline styles"


def test_member_sees_only_its_project(page, add_project, add_run, serve) -> None:
    for name in ("alpha", "beta"):
        add_project(name, description=f"about {name}")
        add_run(name, f"run-of-{name}", name=f"run-of-{name}")
        serve(name, "depth", "http://127.0.0.1:1")
    page()  # what an admin saw is not left over for others
    for path in ("/", "/fragments/overview", "/?project=beta"):
        shown = page(path, Principal(Role.MEMBER, "alpha"))
        assert "about beta" not in shown
        assert "run-of-beta" not in shown
        assert "models/depth" not in shown.replace("/projects/alpha/models/depth", "")


def test_filter_by_project_is_in_the_address(page, add_project) -> None:
    for name in ("alpha", "beta"):
        add_project(name, description=f"about {name}")
    shown = page("/?project=alpha")
    assert "about alpha" in shown
    assert "about beta" not in shown
    assert 'href="/?project=beta"' in shown
    assert 'data-fragment="/fragments/overview?project=alpha"' in shown


def test_postgres_away_greys_its_parts_with_reason_and_age(page, add_project, serve, monkeypatch) -> None:
    add_project("alpha", description="about alpha")
    serve("alpha", "depth", "http://127.0.0.1:1")
    page()

    def away(*args: object) -> None:
        raise ServiceUnavailable("postgres", "connection refused")

    monkeypatch.setattr(Platform, "projects", away)
    monkeypatch.setattr(Platform, "deployments", away)
    shown = page()
    for name in ("projects", "deployments"):
        section = _section(shown, name)
        assert 'class="stale"' in section
        assert "postgres does not answer: connection refused" in section
        assert "was read" in section
    assert "about alpha" in shown, "the last known rows stay"
    assert "models/depth/predict" in shown
    assert 'class="stale"' not in _section(shown, "services")


def test_never_known_and_away_is_no_empty_state(page, monkeypatch) -> None:
    def away(*args: object) -> None:
        raise ServiceUnavailable("postgres")

    monkeypatch.setattr(Platform, "projects", away)
    section = _section(page(), "projects")
    assert "postgres does not answer" in section
    assert "mlops:register" not in section, "nobody knows whether there are projects"


def test_unreadable_status_greys_the_services_alone(page, monkeypatch) -> None:
    def unreadable(*args: object) -> None:
        raise OSError("status.json: permission denied")

    monkeypatch.setattr(Platform, "services", unreadable)
    shown = page()
    assert "permission denied" in _section(shown, "services")
    assert 'class="stale"' not in _section(shown, "projects")


def test_versions_change_with_content_and_not_with_time(platform, add_project, add_run) -> None:
    add_project("alpha")
    overviews = Overviews(platform)
    first, second = (overviews.gather(ADMIN).projects.version for _ in range(2))
    assert first == second
    add_run("alpha", "new")
    assert overviews.gather(ADMIN).projects.version != first
