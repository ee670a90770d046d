"""The dashboard in a real browser, from the gateway's real process."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import httpx
import psycopg
import pytest

from mlops.config import MLOpsConfig
from mlops.entities import DeploymentState, ProjectWorkspace, RunStatus
from mlops.installation import Installation
from mlops.services.status import lock_file, status_file
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.store import Store
from mlops.store.tokens import Role

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium")

# The browser's own background traffic stays off.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
]
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url)
    made.upgrade()
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE projects, tokens, deployments, replicas, runs, audit CASCADE")
    _fill(made)
    yield made
    made.close()


def _fill(store: Store) -> None:
    now = datetime.now(UTC)
    about = {
        "drilling": ("Key points of aerospace drilling from Setitec logs", "val_mae_mm"),
        "digits": ("Hand-written digits, the platform's second project", "accuracy"),
        "adapters": ("Small adapters for a language model, trained on a laptop", ""),
    }
    for name, (description, metric) in about.items():
        workspace = ProjectWorkspace(
            name, name, "1", f"/remotes/{name}", f"{name}__", f"/projects/{name}", Path("/projects") / name
        )
        store.projects.put(workspace, {"description": description, "primary_metric": metric})
    store.tokens.put("token-of-digits", Role.MEMBER, "digits")
    last = {"val_mae_mm": 0.0731, "entry_mae_mm": 0.0512, "exit_mae_mm": 0.0984, "loss": 0.00213}
    drilled = {key: MetricSummary(value, value, value) for key, value in last.items()}
    store.run_index.put(
        [
            IndexedRun("4f2a9c", "drilling", "patchtsmixer-12", "drilling", RunStatus.FINISHED,
                       now - timedelta(hours=3), now - timedelta(hours=1, minutes=57), metrics=drilled),
            IndexedRun("91be04", "digits", "logistic-baseline", "digits", RunStatus.FAILED,
                       now - timedelta(minutes=12), now - timedelta(minutes=11),
                       metrics={"accuracy": MetricSummary(0.9412, 0.9, 0.95)}),
        ]
    )  # fmt: skip
    running = store.deployments.want("drilling", "depth", 3, 2)
    store.deployments.advance(running.id, DeploymentState.RUNNING)
    store.deployments.want("digits", "classifier", 1, 1)
    failed = store.deployments.want("drilling", "wear", 1, 1)
    trace = (
        'Traceback (most recent call last):\n  File "model.py", line 8, in load\nValueError: no input "force"'
    )
    store.deployments.advance(failed.id, DeploymentState.FAILED, error=trace)


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, store: Store, database_url: str
) -> Iterator[Installation]:
    installation = Installation(MLOpsConfig(home=tmp_path_factory.mktemp("browser") / "home"))
    installation.prepare()
    installation.choose_ports(["gateway", "mlflow", "postgres"])
    supervisor = _supervise(installation)
    settings = {"MLOPS_HOME": str(installation.root), "MLOPS_DATABASE_URL": database_url}
    process = subprocess.Popen([sys.executable, "-m", "mlops.gateway"], env={**os.environ, **settings})
    try:
        deadline = time.monotonic() + 30
        while not _admits(installation):
            assert time.monotonic() < deadline, "the gateway did not start"
            time.sleep(0.1)
        yield installation
    finally:
        process.terminate()
        process.wait(15)
        supervisor.close()


def _supervise(installation: Installation) -> IO[str]:
    """Stands in for the supervisor: holds its lock and reports services in several states."""
    since = (datetime.now(UTC) - timedelta(minutes=42)).isoformat()
    rows = [
        {"name": "postgres", "state": "healthy", "address": "127.0.0.1:24101", "since": since},
        {"name": "mlflow", "state": "unhealthy", "address": "http://127.0.0.1:24102", "since": since,
         "restarts": 3, "detail": "http://127.0.0.1:24102/health answers 500"},
        {"name": "ray", "state": "starting", "address": "127.0.0.1:24103", "since": since},
        {"name": "worker", "state": "healthy", "since": since},
        {"name": "gateway", "state": "healthy", "address": installation.gateway_url, "since": since},
    ]  # fmt: skip
    lock = lock_file(installation).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(str(os.getpid()))
    lock.flush()
    status_file(installation).write_text(json.dumps({"pid": os.getpid(), "services": rows}))
    return lock


def _admits(installation: Installation) -> bool:
    try:
        return _ask(installation, "GET", "/api/me").is_success
    except httpx.TransportError:
        return False


def _ask(installation: Installation, method: str, path: str, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or installation.secret('admin_token')}"}
    return httpx.request(method, installation.gateway_url + path, headers=headers, trust_env=False)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser, gateway: Installation):
    """Opens a page logged in by a ticket; fails the test on any console error or page error."""
    contexts, problems = [], []

    def open_(token: str = "", size: str = "desktop", scheme: str = "light", path: str = "/"):
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(_ask(gateway, "POST", "/api/tickets", token).json()["url"])
        page.wait_for_url(gateway.gateway_url + "/")
        if path != "/":
            page.goto(gateway.gateway_url + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_home_shows_the_platform(open_page, tmp_path: Path, size: str, scheme: str) -> None:
    page = open_page(size=size, scheme=scheme)
    assert page.locator("#projects article").count() == 3
    assert page.locator("#projects").get_by_text("patchtsmixer-12").is_visible()
    assert page.locator("#deployments tbody th").count() == 3
    assert page.locator("#services tbody tr").count() == 5
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, "the page itself does not scroll sideways"
    # Kept where a person looks at them, when one says where.
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / f"home-{size}-{scheme}.png", full_page=True)


def test_link_in_a_file_logs_in(browser, gateway: Installation, tmp_path: Path) -> None:
    url = _ask(gateway, "POST", "/api/tickets").json()["url"]
    file = tmp_path / "dashboard.html"
    file.write_text(f'<meta http-equiv="refresh" content="0;url={url}">')
    page = browser.new_page()
    page.goto(file.as_uri())
    page.wait_for_url(gateway.gateway_url + "/")
    page.close()


def test_member_sees_its_project_only(open_page) -> None:
    page = open_page(token="token-of-digits")
    assert page.locator("#projects article h3").all_inner_texts() == ["digits"]
    assert "drilling" not in page.locator("#overview").inner_text()


def test_page_renews_itself_and_keeps_what_is_in_use(open_page, store: Store) -> None:
    page = open_page()
    page.locator("summary").click()
    begun = IndexedRun("new", "adapters", "lora-rank-8", "adapters", RunStatus.RUNNING, datetime.now(UTC))
    store.run_index.put([begun])
    page.locator("#projects").get_by_text("lora-rank-8").wait_for(timeout=5000)
    assert page.locator("#projects article").first.locator("h3").inner_text() in ("digits", "drilling")
    assert page.locator("details[open] pre").is_visible()
    assert page.locator("#switcher a").count() == 4


def test_theme_is_chosen_and_kept(open_page) -> None:
    page = open_page()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != ground
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


def test_pasted_token_logs_in_and_the_door_logs_out(browser, gateway: Installation, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{gateway.gateway_url}/?project=digits")
    assert page.url.startswith(f"{gateway.gateway_url}/login")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    assert page.get_by_role("alert").inner_text() == "That token is not known here."
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", tmp_path)) / "login.png")
    page.get_by_label("Token").fill("token-of-digits")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{gateway.gateway_url}/?project=digits")
    assert page.evaluate("document.cookie") == "", "no script can read the session"
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(re.compile("/login$"))
    page.goto(gateway.gateway_url)
    assert page.url.endswith("/login")
    context.close()


def test_page_is_light(open_page) -> None:
    page = open_page()
    page.reload(wait_until="load")
    sizes = page.evaluate("performance.getEntries().map(entry => entry.encodedBodySize || 0)")
    assert 0 < sum(sizes) < 200_000
