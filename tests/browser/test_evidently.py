"""Evidently's UI in a real browser, from real processes: through the gateway's login to a report's drift."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from mlops.entities import ProjectWorkspace
from mlops.installation import Installation
from mlops.monitoring.evidently_files import page_in_ui, project_id
from mlops.services.status import lock_file, status_file
from mlops.store.store import Store
from mlops.store.tokens import Role
from tests.chromium import needs_chromium
from tests.evidently_ui import RunningUi

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def gateway(evidently_ui: RunningUi, database_url: str) -> Iterator[Installation]:
    """The gateway's process, which takes the UI for a service of its supervisor."""
    store = Store(database_url)
    store.upgrade()
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE projects, tokens CASCADE")
    for name in ("alpha", "beta"):
        root = Path("/projects") / name
        store.projects.put(
            ProjectWorkspace(name, name, "1", f"/remotes/{name}", f"{name}__", f"/projects/{name}", root), {}
        )
        store.tokens.put(f"token-of-{name}", Role.MEMBER, name)
    store.close()
    installation = evidently_ui.installation
    installation.choose_ports(["gateway", "mlflow", "postgres", "evidently"])
    lock = lock_file(installation).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(str(os.getpid()))
    lock.flush()
    rows = [{"name": "evidently", "state": "healthy", "since": None}]
    status_file(installation).write_text(json.dumps({"pid": os.getpid(), "services": rows}))
    settings = {"MLOPS_HOME": str(installation.root), "MLOPS_DATABASE_URL": database_url}
    process = subprocess.Popen([sys.executable, "-m", "mlops.gateway"], env={**os.environ, **settings})
    try:
        deadline = time.monotonic() + 60
        while not _ticket(installation):
            assert time.monotonic() < deadline, "the gateway did not start"
            time.sleep(0.1)
        yield installation
    finally:
        process.terminate()
        process.wait(15)
        lock.close()


def _ticket(installation: Installation, token: str = "token-of-alpha") -> str:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = httpx.post(f"{installation.gateway_url}/api/tickets", headers=headers, trust_env=False)
    except httpx.TransportError:
        return ""
    return answer.json()["url"] if answer.is_success else ""


@pytest.fixture
def page(browser, gateway: Installation):
    """A page, which fails the test on any error of it, and on any request to a host that is not ours."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    made, problems = context.new_page(), []
    made.on("console", lambda message: message.type == "error" and problems.append(message.text))
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on(
        "request",
        lambda asked: urlsplit(asked.url).hostname in ("127.0.0.1", None) or problems.append(asked.url),
    )
    yield made
    context.close()
    assert problems == []


def _shown(page, name: str, tmp_path: Path) -> None:
    # Kept where a person looks at them, when one says where.
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", tmp_path)) / f"evidently-{name}.png")


def test_from_the_login_to_a_reports_drift(page, gateway: Installation, tmp_path: Path) -> None:
    page.goto(f"{_ticket(gateway)}&next=/evidently/")
    page.wait_for_url(f"{gateway.evidently_url}/")
    page.get_by_text("alpha").first.wait_for()
    _shown(page, "home", tmp_path)
    assert page.get_by_text("beta").count() == 0
    page.get_by_text("alpha").first.click()
    page.wait_for_url(f"**/projects/{project_id('alpha')}**")
    page.get_by_text("Share of drifted columns").first.wait_for()
    page.wait_for_timeout(1500)
    _shown(page, "dashboard", tmp_path)
    page.goto(f"{gateway.evidently_url}/projects/{project_id('alpha')}/reports")
    page.get_by_text("depth version 3").first.wait_for()
    _shown(page, "reports", tmp_path)
    page.goto(f"{gateway.gateway_url}/evidently{page_in_ui('alpha', 2)}")
    page.get_by_text("inputs: torque").first.wait_for()
    assert page.get_by_text("Data drift detected").count() > 0
    page.wait_for_timeout(1000)
    _shown(page, "report", tmp_path)


def test_who_is_not_logged_in_comes_to_the_login_and_back(page, gateway: Installation) -> None:
    path = page_in_ui("alpha", 1)
    page.goto(f"{gateway.evidently_url}{path}")
    page.wait_for_url(f"{gateway.gateway_url}/login**")
    page.get_by_label("Token").fill("token-of-alpha")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{gateway.evidently_url}{path}")
    page.get_by_text("inputs: torque").first.wait_for()


def test_its_scripts_cannot_reach_the_gateway(browser, gateway: Installation) -> None:
    page = browser.new_page()
    page.goto(f"{_ticket(gateway)}&next=/evidently/")
    page.wait_for_url(f"{gateway.evidently_url}/")
    for options in ({}, {"credentials": "include", "mode": "no-cors", "method": "POST"}):
        refused = page.evaluate(
            "([url, options]) => fetch(url, options).then(answer => answer.type, error => 'refused')",
            [f"{gateway.gateway_url}/api/me", options],
        )
        assert refused == "refused"
    assert page.evaluate("document.cookie") == ""
    page.close()
