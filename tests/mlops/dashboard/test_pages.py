"""What pages show, to whom, and with what away."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from mlops.entities import DeploymentState, RunStatus, ServiceState, ServiceStatus, Severity
from mlops.errors import ServiceUnavailable
from mlops.platform import Platform
from mlops.store.alerts import Begun, Changes
from mlops.store.tokens import Principal, Role

ALPHA = Principal(Role.MEMBER, "alpha")
HOSTILE = ["<script>alert(1)</script>\"'", "x" * 2000, "\u202eevil\u202c שלום", "a\x00b".replace("\x00", "")]
PAGES = ["/", "/runs", "/search?q=a", "/monitoring", "/data", "/services", "/hardware"]


@pytest.fixture
def begin(store):
    def begun(project: str, rule: str = "errors", message: str = "wrong", subject: str = "depth") -> int:
        found = Begun((project, rule, subject), "error_rate", Severity.WARNING, message, 1, 0, (), True, True)
        store.alerts.apply(Changes(begun=[found]), datetime.now(UTC))
        return next(each.id for each in store.alerts.latest(project) if each.rule == rule)

    return begun


@pytest.fixture(autouse=True)
def _no_alerts(store):
    with store._engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE alerts, silences CASCADE")


def test_empty_platform_teaches_the_commands(page, services) -> None:
    services.clear()
    shown = page()
    assert "mlops:register" in shown
    assert "mlops:deploy &lt;model&gt; &lt;version&gt;" in shown
    assert "mlops:start" in shown
    assert "Nothing is wrong" in shown


def test_card_has_the_last_run_and_its_metrics(page, add_project, add_run) -> None:
    add_project("alpha", description="Holes", primary_metric="val_mae_mm")
    began = datetime.now(UTC) - timedelta(minutes=5)
    metrics = {"a": 1.0, "b": 2.0, "c": 3.0, "val_d": 4.0, "val_mae_mm": 0.123456, "system/gpu": 99.0}
    add_run("alpha", "older", name="older", started_at=began - timedelta(days=1))
    add_run("alpha", "abcd", name="train-7", started_at=began, ended_at=began + timedelta(seconds=70),
            metrics=metrics)  # fmt: skip
    shown = page(region="projects")
    assert "Holes" in shown
    assert "older" not in shown
    assert "5 min ago" in shown
    assert "took 1 min 10 s" in shown
    assert 'href="/runs/alpha/abcd"' in shown
    names = re.findall(r'<dt title="([^"]*)"', shown)
    assert names == ["val_mae_mm", "val_d", "a", "b"], "the primary one, its kin, few others, no readings"


def test_what_needs_somebody_comes_first(page, add_project, add_run, begin) -> None:
    for name in ("alpha", "beta", "gamma", "delta"):
        add_project(name)
    add_run("beta", "b", status=RunStatus.RUNNING)
    add_run("gamma", "c", status=RunStatus.FAILED)
    begin("delta")
    order = re.findall(r'<article class="card" aria-label="(\w+)"', page(region="projects"))
    assert order == ["gamma", "delta", "beta", "alpha"]


def test_a_region_that_the_browser_has_is_not_sent_again(browse, add_project, serve) -> None:
    add_project("alpha")
    first = browse("/", region="deployments")
    (version,) = re.findall(r'data-version="(\w+)"', first.text)
    again = browse("/", region="deployments", version=version)
    assert (again.status_code, again.content) == (204, b"")
    serve("alpha", "depth", "http://127.0.0.1:1")
    changed = browse("/", region="deployments", version=version)
    assert changed.status_code == 200
    assert version not in changed.text
    assert "depth" in changed.text


def test_a_region_is_given_alone(page, add_project) -> None:
    add_project("alpha")
    shown = page("/?project=alpha", region="deployments")
    assert shown.strip().startswith('<section id="deployments"')
    assert shown.count("<section") == 1
    assert 'hx-get="/?project=alpha"' in shown


@pytest.mark.parametrize("hostile", HOSTILE)
def test_everything_is_escaped(
    page, add_project, add_run, serve, store, services, begin, hostile: str
) -> None:
    add_project("alpha", description=hostile, primary_metric=hostile)
    add_run("alpha", "abcd", name=hostile, metrics={hostile: 1.0})
    store.deployments.advance(
        serve("alpha", "depth", "http://127.0.0.1:1"), DeploymentState.FAILED, error=hostile
    )
    services.append(ServiceStatus("mlflow", ServiceState.UNHEALTHY, detail=hostile, address=hostile))
    number = begin("alpha", message=hostile, subject=hostile)
    for path in (*PAGES, f"/monitoring/alerts/{number}/silence"):
        shown = page(path)
        assert "<script>alert" not in shown
        assert not re.search(r'="[^"]*<script', shown)
        assert not re.search(r"<[^>]+\son\w+=", shown), "no inline handler"
        assert "style=" not in shown, "the policy forbids inline styles"


def test_member_sees_nothing_of_another_project(page, add_project, add_run, serve, begin) -> None:
    for name in ("alpha", "beta"):
        add_project(name, description=f"about {name}")
        add_run(name, f"run-of-{name}", name=f"run-of-{name}")
        serve(name, "depth", "http://127.0.0.1:1")
        begin(name, message=f"wrong with {name}")
    begin("", message="wrong with the platform")
    for path in PAGES:
        page(path)  # what an admin saw is not left over for others
        shown = page(path, ALPHA)
        assert "beta" not in shown, path
        assert "wrong with the platform" not in shown
    assert "wrong with alpha" in page("/monitoring", ALPHA)
    assert "wrong with the platform" in page("/monitoring")


def test_another_project_is_refused_whether_it_exists_or_not(browse, add_project, subtests) -> None:
    add_project("alpha")
    add_project("beta")
    for path in PAGES:
        for project in ("beta", "not-registered"):
            with subtests.test(path=path, project=project):
                refused = browse(path + ("&" if "?" in path else "?") + f"project={project}", ALPHA)
                assert refused.json()["error"]["type"] == "Forbidden"


def test_what_cannot_be_shown_is_named(browse, add_project, subtests) -> None:
    add_project("alpha")
    for path, error, words in [
        ("/?project=nobody", "ProjectNotFound", "nobody"), ("/?project=..%2Fx", "InvalidName", "project"),
        ("/monitoring?range=2y", "InvalidInput", "range"), ("/services?level=loud", "InvalidInput", "level"),
        ("/monitoring/reports/999999", "DriftReportNotFound", "999999"),
        ("/monitoring/alerts/999999/silence", "AlertNotFound", "999999"),
        ("/services/nothing/restart", "InvalidInput", "service"),
    ]:  # fmt: skip
        with subtests.test(path=path):
            told = browse(path).json()["error"]
            assert told["type"] == error
            assert words in str(told)


def test_logs_are_for_admins(browse) -> None:
    assert 'id="logs"' in browse("/services").text
    shown = browse("/services", ALPHA).text
    assert 'id="logs"' not in shown
    assert "Restart" not in shown.replace("Restarts", "")
    assert browse("/services", ALPHA, region="logs").json()["error"]["type"] == "Forbidden"


def test_an_alert_is_acknowledged_and_silenced(browse, page, platform, add_project, begin, store) -> None:
    add_project("alpha")
    number = begin("alpha", rule=platform.alerts.rules("alpha")[0].name)
    path = f"/monitoring/alerts/{number}/acknowledge"
    assert 'name="csrf"' in page(path, ALPHA)
    done = browse(path, ALPHA, method="POST")
    assert done.json()["error"]["type"] == "Forbidden", "no token in the form"
    answer = _post(browse, path, ALPHA)
    assert answer.status_code == 204
    assert '"live:alerts"' in answer.headers["hx-trigger"]
    assert "by alpha" in page("/monitoring", ALPHA)
    assert _post(browse, f"/monitoring/alerts/{number}/silence", ALPHA, minutes="60").status_code == 204
    assert "silenced" in page("/monitoring", ALPHA)
    told = _post(browse, f"/monitoring/alerts/{number}/silence", ALPHA, minutes="soon").json()["error"]
    assert told["fields"]["field"] == "minutes"
    assert {each.action for each in store.audit.latest(2)} == {"acknowledge", "silence"}


def _post(browse, path: str, principal: Principal, **form: str):
    from .conftest import CSRF

    return browse(path, principal, method="POST", form={"csrf": CSRF, **form})


def test_another_projects_alert_is_out_of_reach(browse, add_project, begin) -> None:
    add_project("alpha")
    add_project("beta")
    for number in (begin("beta"), begin("")):
        for action in ("acknowledge", "silence"):
            path = f"/monitoring/alerts/{number}/{action}"
            assert browse(path, ALPHA).json()["error"]["type"] == "AlertNotFound"
            assert _post(browse, path, ALPHA, minutes="5").json()["error"]["type"] == "AlertNotFound"


def test_restart_asks_the_supervisor_and_is_written_down(browse, page, platform, store, services) -> None:
    admin, asked = Principal(Role.ADMIN, None), []
    services.append(ServiceStatus("worker", ServiceState.HEALTHY, pid=1))
    assert _post(browse, "/services/worker/restart", admin).json()["error"]["type"] == "ServiceUnavailable"
    platform._restart = asked.append
    assert "Restart worker" in page("/services/worker/restart")
    assert _post(browse, "/services/worker/restart", ALPHA).json()["error"]["type"] == "Forbidden"
    assert browse("/services/worker/restart", ALPHA).json()["error"]["type"] == "Forbidden"
    assert _post(browse, "/services/worker/restart", admin).status_code == 204
    assert asked == ["worker"]
    assert (store.audit.latest(1)[0].action, store.audit.latest(1)[0].detail) == (
        "restart",
        {"service": "worker"},
    )


def test_postgres_away_greys_its_parts_with_reason_and_age(page, platform, add_project, monkeypatch) -> None:
    add_project("alpha", description="about alpha")
    page()

    def away(*args: object, **kwargs: object) -> None:
        raise ServiceUnavailable("postgres", "connection refused")

    monkeypatch.setattr(platform.board, "projects", away)
    monkeypatch.setattr(Platform, "projects", away)
    shown = page()
    section = re.search(r'<section id="projects".*?</section>', shown, re.S)[0]
    assert 'class="region stale"' in section
    assert "postgres does not answer: connection refused" in section
    assert "was read" in section
    assert "about alpha" in section, "the last known rows stay"
    assert 'class="region stale"' not in re.search(r'<section id="health".*?</section>', shown, re.S)[0]
    assert "<option>alpha</option>" in shown, "the switcher stays"
