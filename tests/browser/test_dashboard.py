"""The dashboard in a real browser: how pages look, what they do by themselves, what the keyboard does."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.entities import RunStatus, Severity
from mlops.installation import Installation
from mlops.store.alerts import Begun, Changes
from mlops.store.indexed_runs import IndexedRun
from mlops.store.store import Store
from tests.chromium import is_accessible, looks_right, needs_chromium

from .conftest import SIZES, ask
from .platform_data import HASHES, versions
from .runs import FIRST, SECOND, THIRD

pytestmark = needs_chromium

PAGES = {
    "home": "/",
    "project": "/?project=drilling",
    "runs": "/runs",
    "runs-of-a-project": "/runs?project=drilling&state=finished&metric=loss<1&sort=metric:val_mae_mm",
    "search": "/search?q=d",
    "models": "/models",
    "model": "/models/drilling/depth",
    "version": "/models/drilling/depth/5",
    "deployments": "/deployments",
    "deployment": "/deployments/drilling/depth",
    "monitoring": "/monitoring",
    "report": "/monitoring/reports/{report}?project=drilling",
    "performance": "/monitoring/performance?project=drilling&model=depth",
    "data": "/data?project=drilling",
    "data-version": f"/data/version?project=drilling&path=data/raw&hash={HASHES[1]}.dir",
    "pipelines": "/pipelines?project=drilling",
    "run": f"/runs/drilling/{FIRST}?with=drilling/{THIRD}",
    "run-params": f"/runs/drilling/{FIRST}?tab=params",
    "compare": "/compare?" + "&".join(f"run=drilling/{id}" for id in (FIRST, SECOND, THIRD)),
    "services": "/services",
    "hardware": "/hardware",
}


def _path(store: Store, name: str) -> str:
    return PAGES[name].format(report=store.drift.latest("drilling")[0].id)


@pytest.mark.parametrize("name", PAGES)
def test_page_is_light_looks_right_and_is_accessible(
    open_page, store: Store, tmp_path: Path, name: str
) -> None:
    page = open_page(path=_path(store, name))
    sizes = page.evaluate("performance.getEntries().map(entry => entry.encodedBodySize || 0)")
    assert 0 < sum(sizes) < 200_000
    # Kept where a person looks at them, when one says where.
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    for size, schemes in (("desktop", ("light", "dark")), ("phone", ("dark", "light"))):
        if size == "phone":
            width, height = SIZES[size]
            page.set_viewport_size({"width": width, "height": height})
            page.reload()
        page.wait_for_timeout(400)  # charts and the first renewal
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            looks_right(page, folder / f"{name}-{size}-{scheme}.png")
            is_accessible(page)


def _begin(store: Store, name: str, severity: Severity = Severity.WARNING, project: str = "drilling") -> None:
    key = (project, name, "depth")
    begun = Begun(key, "drift_share", severity, f"{name} is wrong", None, None, (), True, True)
    store.alerts.apply(Changes(begun=[begun]), datetime.now(UTC))


def test_link_in_a_file_logs_in(browser, gateway: Installation, tmp_path: Path) -> None:
    url = ask(gateway, "POST", "/api/tickets").json()["url"]
    file = tmp_path / "dashboard.html"
    file.write_text(f'<meta http-equiv="refresh" content="0;url={url}">')
    page = browser.new_page()
    page.goto(file.as_uri())
    page.wait_for_url(gateway.gateway_url + "/")
    page.close()


def test_member_sees_its_project_only(open_page, gateway: Installation) -> None:
    page = open_page(token="token-of-digits")
    assert page.locator("#projects article h3").all_inner_texts() == ["digits"]
    lists = ("/models", "/deployments", "/monitoring", "/data", "/pipelines", "/services", "/hardware")
    for path in ("/", "/runs", "/search?q=d", *lists):
        page.goto(gateway.gateway_url + path)
        text = page.locator("body").inner_text()
        assert "drilling" not in text
        assert "platform /" not in text


def test_viewer_sees_the_pages_without_actions(open_page, gateway: Installation, tmp_path: Path) -> None:
    page = open_page(token="token-of-a-viewer")
    assert page.locator(".account").inner_text() == "viewer of drilling"
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    model, deployment = "/models/drilling/depth", "/deployments/drilling/depth"
    for path in ("/", "/runs?state=failed", model, f"{model}/5", "/deployments", deployment, "/monitoring"):
        page.goto(gateway.gateway_url + path)
        asking = page.locator("main [hx-get]:is(button, #try)").all_text_contents()
        assert [words for words in asking if words.strip() != "Columns"] == [], path
    looks_right(page, folder / "viewer-monitoring.png")
    is_accessible(page)
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(gateway.gateway_url + "/login")


def test_home_renews_itself_and_keeps_what_is_in_use(open_page, store: Store) -> None:
    page = open_page()
    page.locator("#deployments summary").click()
    begun = IndexedRun("new", "adapters", "lora-rank-8", "adapters", RunStatus.RUNNING, datetime.now(UTC))
    store.run_index.put([begun])
    page.locator("#projects").get_by_text("lora-rank-8").wait_for(timeout=8000)
    assert page.locator("#deployments details[open] pre").is_visible()
    assert page.locator("#project option").count() == 4


def test_a_region_stays_while_the_mouse_is_held_down_in_it(open_page, store: Store) -> None:
    page = open_page()
    page.wait_for_timeout(1500)  # the stream is open
    page.locator("#projects h2").hover()
    page.mouse.down()
    begun = IndexedRun("held", "adapters", "lora-rank-9", "adapters", RunStatus.RUNNING, datetime.now(UTC))
    with page.expect_response(lambda answer: answer.request.headers.get("hx-target") == "projects"):
        store.run_index.put([begun])
    page.wait_for_timeout(500)
    assert page.locator("#projects").get_by_text("lora-rank-9").count() == 0
    page.mouse.up()
    page.locator("#projects").get_by_text("lora-rank-9").wait_for(timeout=3000)


def test_new_rows_wait_to_be_asked_for(open_page, store: Store) -> None:
    page = open_page(path="/monitoring")
    shown = page.locator("#alerts tbody").first.locator("tr:visible").count()
    page.wait_for_timeout(1500)  # the stream is open
    _begin(store, "second-look")
    waiting = page.locator("#alerts .waiting")
    waiting.wait_for(timeout=8000)
    assert waiting.inner_text() == "1 new"
    assert page.locator("#alerts").get_by_text("second-look is wrong").is_hidden()
    waiting.click()
    assert page.locator("#alerts").get_by_text("second-look is wrong").is_visible()
    assert page.locator("#alerts tbody").first.locator("tr:visible").count() == shown + 1


def test_alert_is_acknowledged_by_keyboard_alone(open_page, store: Store, tmp_path: Path) -> None:
    _begin(store, "keyboard-walk")
    page = open_page(path="/monitoring?project=drilling")
    row = page.locator("tr", has_text="keyboard-walk is wrong")
    for _ in range(20):
        page.keyboard.press("j")
        if row.evaluate("row => row === document.activeElement"):
            break
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert row.evaluate("row => row === document.activeElement")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Acknowledge the alert").wait_for()
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", tmp_path)) / "sheet.png")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.keyboard.press("Enter")
    button = page.locator("dialog").get_by_role("button", name="Acknowledge")
    button.wait_for()
    button.focus()
    page.keyboard.press("Enter")
    row.get_by_text("by admin").wait_for(timeout=8000)
    assert "You look after keyboard-walk" in page.locator("#told").inner_text()


def test_an_alert_that_is_over_meanwhile_says_so_in_the_sheet(open_page, store: Store) -> None:
    _begin(store, "short-lived")
    page = open_page(path="/monitoring?project=drilling", errors=False)
    page.locator("tr", has_text="short-lived").get_by_role("button", name="Silence").click()
    page.get_by_role("heading", name="Silence the alert").wait_for()
    number = next(alert.id for alert in store.alerts.latest() if alert.rule == "short-lived")
    store.alerts.apply(Changes(ended=[number]), datetime.now(UTC))
    page.locator("dialog").get_by_role("button", name="Silence").click()
    page.locator("dialog .problem").get_by_text(str(number)).wait_for()


def test_logs_are_filtered_by_the_address(open_page) -> None:
    page = open_page(path="/services")
    rows = page.locator("#logs tbody tr")
    assert rows.count() > 8
    page.get_by_label("From level").select_option("error")
    page.wait_for_url(re.compile("level=error"))
    page.wait_for_function("document.querySelectorAll('#logs tbody tr').length < 8")
    assert "depth answers slowly" not in page.locator("#logs").inner_text()
    page.reload()
    assert page.get_by_label("From level").input_value() == "error"


def test_project_and_range_are_in_the_address(open_page, gateway: Installation) -> None:
    page = open_page(path="/monitoring")
    page.get_by_label("Project").select_option("drilling")
    page.wait_for_url(gateway.gateway_url + "/monitoring?project=drilling")
    page.get_by_label("Time range").select_option("1h")
    page.wait_for_url(gateway.gateway_url + "/monitoring?project=drilling&range=1h")
    page.get_by_role("link", name="Services").click()
    page.wait_for_url(gateway.gateway_url + "/services?project=drilling&range=1h")
    page.go_back()
    assert page.get_by_label("Time range").input_value() == "1h"


def test_charts_are_drawn_with_gaps_and_one_cursor(open_page) -> None:
    page = open_page(path="/monitoring?project=drilling&range=1h")
    page.locator("#traffic .chart canvas").nth(2).wait_for()
    assert page.locator("#traffic .chart.nothing").count() == 0
    page.locator("[data-performance] .chart canvas").nth(1).wait_for()
    page.locator("#traffic .chart .u-over").first.hover(position={"x": 60, "y": 30})
    times = page.locator("#traffic .chart .u-legend .u-series:first-child .u-value").all_inner_texts()
    assert len(set(times)) == 1
    assert times[0] != "–"


def test_a_drag_over_traffic_asks_for_finer_steps(open_page) -> None:
    page = open_page(path="/monitoring?project=drilling&range=24h")
    page.locator("#traffic .chart canvas").nth(2).wait_for()
    page.locator("[data-performance] .chart canvas").nth(1).wait_for()
    over = page.locator("#traffic .chart .u-over").first
    over.hover(position={"x": 140, "y": 40})
    page.mouse.down()
    over.hover(position={"x": 190, "y": 50})
    with page.expect_response(lambda answer: "until=" in answer.url) as finer:
        page.mouse.up()
    assert finer.value.json()["step_s"] < 480
    with page.expect_response(
        lambda answer: "traffic?" in answer.url and "until=" not in answer.url
    ) as whole:
        over.dblclick(position={"x": 100, "y": 40})
    assert whole.value.json()["step_s"] == 480


def test_performance_is_drawn_with_a_band_for_each_version(open_page) -> None:
    page = open_page(path="/monitoring/performance?project=drilling&model=depth")
    charts = page.locator("[data-performance] .chart")
    charts.nth(1).locator("canvas").wait_for()
    assert charts.locator("figcaption").all_inner_texts() == ["depth, mae", "material, accuracy"]
    legend = charts.first.locator(".u-legend .u-series:visible")
    assert [words.rstrip(":–\n\t ") for words in legend.all_inner_texts()] == [
        "Time",
        "v3 champion",
        "v4 canary",
    ]
    charts.first.locator(".u-over").hover(position={"x": 250, "y": 30})
    told = re.compile(r"\d \(0.* to 0.*\), \d+ requests")
    legend.nth(1).get_by_text(told).wait_for(timeout=8000)


def test_nothing_jumps_when_charts_are_drawn(open_page) -> None:
    page = open_page(path="/deployments")
    page.route("**/performance-over-time*", lambda route: None)
    page.goto(page.url.replace("/deployments", "/monitoring?project=drilling"))
    page.locator("#traffic .chart canvas").nth(2).wait_for()
    place = page.locator("#traffic").bounding_box()["y"]
    page.unroute_all()
    page.evaluate("document.dispatchEvent(new Event('theme'))")  # it asks again
    page.locator("[data-performance] .chart canvas").nth(1).wait_for()
    assert abs(page.locator("#traffic").bounding_box()["y"] - place) < 2


def test_a_data_version_is_reached_and_follows_who_uses_it(open_page, store: Store) -> None:
    page = open_page(path="/data")
    page.locator("tr", has_text="data/digits.npz").get_by_role("link", name="data/digits.npz").click()
    page.wait_for_url(re.compile("path=data"))
    page.wait_for_load_state()
    page.keyboard.press("j")
    page.locator("tr:focus").get_by_role("link", name=HASHES[3][:8]).click()
    page.get_by_text("No run used it yet").wait_for()
    page.wait_for_timeout(1500)  # the stream is open
    used = replace(versions()[3], declared=True)
    run = IndexedRun("reads", "digits", "mlp-3", "digits", RunStatus.RUNNING, datetime.now(UTC), data=(used,))
    store.run_index.put([run])
    row = page.locator("#version tr", has_text="mlp-3")
    row.wait_for(timeout=8000)
    assert row.get_by_role("link").get_attribute("href") == "/runs/digits/reads"
    assert "declared" in row.inner_text()
    store.run_index.forget(["reads"])


def test_a_machines_runs_stay_open_while_it_is_renewed(open_page) -> None:
    page = open_page(path="/hardware?range=7d")
    lane = page.locator(".lane", has_text="mac-studio")
    lane.locator("summary").click()
    assert lane.locator("tbody tr").count() == 10
    assert lane.locator("rect").count() == 12
    page.evaluate("htmx.trigger(document.body, 'live:runs')")
    page.wait_for_timeout(700)
    assert lane.locator("tbody tr").first.is_visible()


def test_theme_and_rail_are_chosen_and_kept(open_page) -> None:
    page = open_page()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != ground
    page.locator("#fold").click()
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert page.locator(".rail").bounding_box()["width"] < 60
    assert page.get_by_role("link", name="Monitoring").is_visible()
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
