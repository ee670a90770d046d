"""The dashboard in a real browser, over real runs and real deployments of the shared stack."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from mlops.client import MLOpsClient
from mlops.installation import Installation
from mlops.services.status import read_status
from tests.chromium import chromium, is_accessible, looks_right, needs_chromium
from tests.stack.test_drift import until
from tests.stack.test_end_to_end import toolkit

pytestmark = needs_chromium

DEPLOYED_MS = 120_000
"""A replica on Ray that loads a model, on two busy cores."""

_ADDRESSES = "links => links.map(each => new URL(each.getAttribute('href'), location).href)"


@pytest.fixture(scope="module")
def runs(digits: MLOpsClient, served_digits: Any) -> Iterator[list[str]]:
    """Two trainings with curves, whose versions 1 and 2 of `numerals` are kept; the first serves."""
    found = [_train(digits, rate) for rate in (0.001, 0.01)]
    if not digits.drift_reports("digits"):
        for image in served_digits.sample.repeat(40, axis=0):
            digits.predict("digits", {"X": image[None].tolist()})
        digits.drift("digits", window="1h")
    digits.undeploy_model("digits")  # on two cores there is room for two replicas
    digits.deploy_model("numerals", version=1)
    yield found
    if any(each.model == "numerals" for each in digits.deployments()):
        digits.undeploy_model("numerals")
    digits.deploy_model("digits", version=served_digits.version.version)


def _train(client: MLOpsClient, rate: float) -> str:
    import matplotlib.pyplot as plt
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.linear_model import SGDClassifier

    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate, random_state=0)
    with client.start_run(run_name=f"numerals at {rate}") as run:
        client.log_params({"eta0": rate, "loss": "log_loss"})
        for epoch in range(20):
            model.partial_fit(images[:1200], labels[:1200], classes=range(10))
            client.log_metrics({"accuracy": float(model.score(images[1200:], labels[1200:]))}, step=epoch)
        figure, axes = plt.subplots()
        axes.imshow(model.coef_)
        client.log_figure(figure, "weights.png")
        plt.close(figure)
        onnx = to_onnx(model, images[:1], options={"zipmap": False})
        client.log_model(onnx, "numerals", flavor="onnx", input_example={"X": images[:1]})
    return run.id


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Any, stack: Installation, runs: list[str]) -> Iterator[Any]:
    """Logged in as the admin by the link of `mlops:dashboard`; ends with an error if a page had one."""
    link = toolkit(stack, "mlops:dashboard", "--no-open")
    assert link.returncode == 0, link.stderr
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=stack.gateway_url)
    opened, problems = context.new_page(), []
    opened.on("console", lambda message: message.type == "error" and problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(link.stdout.strip())
    opened.wait_for_url(f"{stack.gateway_url}/")  # the link's own page leads on to it
    yield opened
    context.close()
    assert problems == []


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    return Path(os.environ.get("SCREENSHOTS", tmp_path))


def test_every_page_shows_what_is_real_and_its_links_lead_somewhere(
    page: Any, stack: Installation, digits: MLOpsClient, runs: list[str], screenshots: Path
) -> None:
    report = digits.drift_reports("digits")[0].id
    paths = {
        "home": "/",
        "runs": "/runs",
        "run": f"/runs/digits/{runs[0]}",
        "run-figures": f"/runs/digits/{runs[0]}?tab=figures",
        "run-artifacts": f"/runs/digits/{runs[0]}?tab=artifacts",
        "run-params": f"/runs/digits/{runs[0]}?tab=params",
        "run-log": f"/runs/digits/{runs[0]}?tab=log",
        "compare": f"/compare?run=digits/{runs[0]}&run=digits/{runs[1]}",
        "models": "/models",
        "model": "/models/digits/numerals",
        "version": "/models/digits/numerals/1",
        "deployments": "/deployments",
        "deployment": "/deployments/digits/numerals",
        "monitoring": "/monitoring",
        "report": f"/monitoring/reports/{report}?project=digits",
        "data": "/data",
        "pipelines": "/pipelines",
        "services": "/services",
        "hardware": "/hardware",
    }
    links: set[str] = set()
    for name, path in paths.items():
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(path)
        page.wait_for_timeout(400)  # charts and the first renewal
        looks_right(page, screenshots / f"real-{name}-desktop.png")
        is_accessible(page)
        page.set_viewport_size({"width": 390, "height": 844})
        looks_right(page, screenshots / f"real-{name}-phone.png")
        links |= set(page.locator("main a, nav a").evaluate_all(_ADDRESSES))
    ours = {each.partition("#")[0] for each in links if each.startswith(stack.gateway_url)}
    assert len(ours) > 30
    answers = {url: page.request.get(url).status for url in ours}
    assert {url: status for url, status in answers.items() if status != 200} == {}


def test_from_home_a_run_leads_to_its_version_and_what_serves_it(page: Any, runs: list[str]) -> None:
    page.goto("/")
    page.locator("#projects article", has_text="digits").get_by_role("link", name="numerals at 0.01").click()
    page.locator('figure[data-metric="accuracy"] canvas').wait_for()
    assert urlsplit(page.url).path == f"/runs/digits/{runs[1]}"
    page.get_by_role("link", name="Figures").click()
    image = page.get_by_alt_text("weights.png")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.get_by_role("list", name="Lineage").get_by_role("link", name="numerals v2").click()
    page.wait_for_url("**/models/digits/numerals/2")
    page.goto(f"/runs/digits/{runs[0]}")
    page.get_by_role("list", name="Lineage").get_by_role("link", name="champion").click()
    page.wait_for_url("**/deployments/digits/numerals")


def test_two_runs_are_chosen_by_keys_and_compared(page: Any) -> None:
    page.goto("/runs?project=digits&text=numerals")
    for key in "jxjxc":
        page.keyboard.press(key)
    page.wait_for_url(re.compile("/compare"))
    page.get_by_role("row", name="eta0").wait_for()
    assert page.get_by_role("row", name="loss", exact=True).count() == 0, "it is the same in both"
    assert page.locator("#comparison .best").count() >= 1
    page.locator("select[name=param]").select_option("eta0")
    page.wait_for_url(re.compile("param=eta0"))
    page.locator('figure[data-metric="accuracy"]').scroll_into_view_if_needed()
    page.locator('figure[data-metric="accuracy"] canvas').wait_for()


def _deploy(page: Any, side: str) -> None:
    """Version 2, from its page; waits until it runs."""
    page.goto("/models/digits/numerals/2")
    page.get_by_role("button", name="Deploy").click()
    sheet = page.locator("dialog[open]")
    sheet.locator("select").select_option(side)
    is_accessible(page)
    sheet.get_by_role("button", name="Deploy").click()
    sheet.wait_for(state="hidden")
    page.goto("/deployments/digits/numerals")
    page.locator(f"tr.{side}", has_text="running").wait_for(timeout=DEPLOYED_MS)


def _act(page: Any, lane: str, action: str, confirm: str, **fields: str) -> str:
    """Does what a lane's button offers; gives the words of the sheet that asked."""
    page.locator(f"tr.{lane}").get_by_role("button", name=action).click()
    sheet = page.locator("dialog[open]")
    sheet.get_by_role("heading").wait_for()
    words = str(sheet.inner_text())
    is_accessible(page)
    for label, value in fields.items():
        sheet.get_by_label(label).fill(value)
    sheet.get_by_role("button", name=confirm).click()
    sheet.wait_for(state="hidden")
    return words


def test_a_canary_becomes_the_champion_and_is_rolled_back(page: Any, screenshots: Path) -> None:
    _deploy(page, "canary")
    _act(page, "canary", "Share", "Set the share", Share="35")
    page.locator("tr.canary", has_text="35 %").wait_for()
    words = _act(page, "canary", "Promote", "Promote", Why="better on the held-out images")
    assert "accuracy" in words
    page.locator("tr.champion").get_by_role("link", name="v2").wait_for()
    page.locator("#try").get_by_role("button", name="Predict").click()
    page.locator(".answer", has_text="v2").wait_for()
    assert "label" in page.locator('[data-told="outputs"]').inner_text()
    _act(page, "champion", "Roll back to v1", "Roll back")
    page.locator("tr.champion").get_by_role("link", name="v1").wait_for()
    page.locator("#actions", has_text="better on the held-out images").wait_for()
    page.screenshot(path=screenshots / "real-rolled-back.png", full_page=True)
    page.locator("#try").get_by_role("button", name="Predict").click()
    page.locator(".answer", has_text="v1").wait_for()
    page.wait_for_timeout(4000)  # the worker has looked at MLflow's alias
    page.reload()
    page.locator("tr.champion").get_by_role("link", name="v1").wait_for()
    assert page.locator("#actions", has_text="mlflow alias").count() == 0, "it was no wish of MLflow's user"


def test_a_shadow_is_tried_and_the_model_is_undeployed(page: Any) -> None:
    page.goto("/deployments/digits/numerals")
    _act(page, "previous", "End", "End it")
    page.locator("tr.previous").wait_for(state="detached")
    _deploy(page, "shadow")
    _act(page, "shadow", "End", "End it")
    page.locator("tr.shadow").wait_for(state="detached", timeout=30_000)
    page.get_by_role("button", name="Undeploy").click()
    page.locator("dialog[open]").get_by_role("button", name="Undeploy").click()
    page.get_by_text("numerals is not served any more").wait_for(timeout=30_000)


@pytest.fixture
def alert(stack: Installation) -> Iterator[None]:
    """A real one: no disk is all free."""
    added = toolkit(
        stack, "mlops:alerts", "add", "seen", "--kind", "disk_low", "--threshold", "1", "--platform"
    )
    assert added.returncode == 0, added.stderr
    yield
    toolkit(stack, "mlops:alerts", "remove", "seen", "--platform")


def test_an_alert_appears_and_is_acknowledged_and_silenced(page: Any, alert: None) -> None:
    page.goto("/monitoring")
    row, waiting = page.locator("#alerts tr", has_text="seen"), page.locator("#alerts .waiting")
    row.or_(waiting).locator("visible=true").first.wait_for(timeout=30_000)
    if waiting.is_visible():
        waiting.click()
    row.get_by_role("button", name="Acknowledge").click()
    page.locator("dialog").get_by_role("button", name="Acknowledge").click()
    row.get_by_text("by admin").wait_for()
    row.get_by_role("button", name="Silence").click()
    page.locator("dialog").get_by_role("button", name="Silence").click()
    row.get_by_text("silenced").wait_for()


def test_a_service_is_restarted(page: Any, stack: Installation) -> None:
    def pid() -> int | None:
        return next(each.pid for each in read_status(stack) if each.name == "worker")

    before = pid()
    page.goto("/services")
    row = page.locator("#service-worker")
    row.get_by_role("button", name="Restart").click()
    page.locator("dialog[open]").get_by_role("button", name="Restart").click()
    until(lambda: pid() not in (before, None))
    row.get_by_text(re.compile("healthy")).wait_for(timeout=60_000)
