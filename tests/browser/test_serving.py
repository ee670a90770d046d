"""What people do to models and deployments in a real browser: promote, roll back, deploy, and try."""

from __future__ import annotations

import os
from pathlib import Path

from mlops.entities import DeploymentState, Side
from mlops.store.model_versions import IndexedVersion
from mlops.store.store import Store
from tests.chromium import needs_chromium
from tests.mlops.conftest import ReplicaServer

pytestmark = needs_chromium


def test_a_version_is_promoted_and_rolled_back(open_page, store: Store, tmp_path: Path) -> None:
    page = open_page(path="/deployments/drilling/depth")
    page.locator("tr.canary").get_by_role("button", name="Promote").click()
    sheet = page.locator("dialog[open]")
    sheet.get_by_role("heading", name="Promote depth v5").wait_for()
    words = sheet.inner_text()
    assert "v3 stays up" in words
    assert "val_mae_mm" in words
    assert "by ada" in words
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / "promote.png")
    sheet.get_by_label("Why, for the audit list").fill("three days without a complaint")
    sheet.get_by_role("button", name="Promote").click()
    page.locator("#told", has_text="depth v5 is the champion").wait_for()
    page.locator("tr.champion td a", has_text="v5").wait_for()
    page.locator("#actions", has_text="three days without a complaint").wait_for()
    assert store.aliases.wishes()[("drilling", "depth")].version == 5
    page.get_by_role("button", name="Roll back to v3").click()
    sheet.get_by_role("button", name="Roll back").click()
    page.locator("tr.champion td a", has_text="v3").wait_for()
    assert [entry.action for entry in store.audit.of_model("drilling", "depth", 2)] == ["rollback", "promote"]


def test_a_version_is_deployed_from_its_page_and_its_phase_shows(open_page, store: Store) -> None:
    page = open_page(path="/models/drilling/depth/9")
    page.get_by_role("button", name="Deploy").click()
    sheet = page.locator("dialog[open]")
    sheet.locator("select").select_option("shadow")
    sheet.get_by_role("button", name="Deploy").click()
    page.locator("#detail").get_by_text("pending").wait_for(timeout=8000)
    made = next(each for each in store.deployments.all("drilling") if each.version == 9)
    assert made.side is Side.SHADOW
    store.deployments.advance(made.id, DeploymentState.STARTING)
    page.locator("#detail").get_by_text("starting").wait_for(timeout=8000)
    store.deployments.end("drilling", "depth", Side.SHADOW)


def test_a_change_that_is_refused_says_why_in_the_sheet(open_page, store: Store) -> None:
    page = open_page(path="/models/drilling/depth/7", errors=False)
    page.get_by_role("button", name="Deploy").click()
    sheet = page.locator("dialog[open]")
    sheet.locator("select").select_option("champion")
    sheet.get_by_label("Replicas").evaluate("input => { input.removeAttribute('max'); input.value = '99'; }")
    sheet.get_by_role("button", name="Deploy").click()
    sheet.locator(".problem", has_text="replicas").wait_for()
    assert not any(each.version == 7 for each in store.deployments.all("drilling"))


def test_a_new_version_appears_by_itself_and_another_project_has_a_list(
    open_page, gateway, store: Store
) -> None:
    page = open_page(path="/models/digits/classifier")
    page.wait_for_timeout(1200)  # the stream is open
    every = [each for each, _ in store.model_versions.heads()]
    found = [each for head in every for each in store.model_versions.of_model(head.project, head.model, 100)]
    first = next(each for each in found if each.model == "classifier")
    made = IndexedVersion("digits", "classifier", 2, first.created_at, tags={"flavor": "sklearn"})
    store.model_versions.put([*found, made])
    page.locator("#version-2").wait_for(timeout=8000)
    page.get_by_label("Project").select_option("drilling")
    page.wait_for_url(gateway.gateway_url + "/models?project=drilling")


def test_a_model_is_tried(open_page, gateway, store: Store, tmp_path: Path) -> None:
    secret = gateway.secret("replica_secret")
    replica = ReplicaServer(secret=secret)
    try:
        made = store.deployments.want("digits", "double", 1, 1)
        store.deployments.set_replicas(made.id, [replica.url])
        store.deployments.advance(made.id, DeploymentState.RUNNING)
        page = open_page(path="/deployments/digits/double", errors=False)
        area = page.get_by_label("x int64, any")
        area.wait_for()
        assert area.input_value() == "[0]"
        area.fill("[20, 1]")
        page.get_by_role("button", name="Predict").click()
        page.locator(".answer", has_text="v1").wait_for()
        assert "40" in page.locator('[data-told="outputs"]').inner_text()
        page.screenshot(path=Path(os.environ.get("SCREENSHOTS", tmp_path)) / "tried.png", full_page=True)
        area.fill("[20, ")
        page.get_by_role("button", name="Predict").click()
        page.locator(".try .problem", has_text="x is not JSON").wait_for()
        replica.status = 503
        area.fill("[1]")
        page.get_by_role("button", name="Predict").click()
        page.locator(".try .problem", has_text="Request ").wait_for(timeout=20_000)
    finally:
        store.deployments.forget(made.id)
        replica.stop()
