"""A run's curves and a comparison in a real browser, on real curves in MLflow's database."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from mlops.installation import Installation
from mlops.store.indexed_runs import MetricSummary
from mlops.store.store import Store
from tests.chromium import needs_chromium

from .conftest import ask
from .runs import FIRST, OF_DIGITS, RUNNING, SECOND, THIRD

pytestmark = needs_chromium

THREE = "/compare?" + "&".join(f"run=drilling/{id}" for id in (FIRST, SECOND, THIRD))


def asked_of(page) -> dict[str, list[str]]:
    """The fields of the page's address."""
    return parse_qs(urlsplit(page.url).query)


def curve(page, metric: str):
    """The drawn chart of a metric, in sight."""
    found = page.locator(f'figure[data-metric="{metric}"]')
    found.scroll_into_view_if_needed()
    found.locator("canvas").wait_for()
    return found


def test_curves_share_one_cursor_and_a_drag_asks_for_finer_points(open_page) -> None:
    page = open_page(path=f"/runs/drilling/{FIRST}")
    loss = curve(page, "loss")
    over = loss.locator(".u-over")
    over.hover(position={"x": 200, "y": 40})
    times = page.locator(".curve .u-legend .u-series:first-child .u-value").all_inner_texts()
    assert len(times) >= 6
    seconds = [int(minutes) * 60 + int(rest) for minutes, rest in (each.split(":") for each in times)]
    assert max(seconds) - min(seconds) < 60, "each shows the point of its own that is nearest"
    over.hover(position={"x": 60, "y": 40})
    page.mouse.down()
    over.hover(position={"x": 120, "y": 60})
    with page.expect_response(lambda answer: "from=" in answer.url) as finer:
        page.mouse.up()
    assert 200 < finer.value.json()["series"]["loss"]["total"] < 1600
    begin, end = (float(asked_of(page)[name][0]) for name in ("from", "to"))
    assert 0 < begin < end < 3600
    page.reload()
    assert float(asked_of(page)["from"][0]) == begin
    curve(page, "loss").locator(".u-over").dblclick(position={"x": 100, "y": 40})
    assert "from" not in asked_of(page)
    assert page.get_by_role("button", name="Show all again").is_hidden()


def test_how_curves_are_drawn_is_in_the_address(open_page) -> None:
    page = open_page(path=f"/runs/drilling/{FIRST}")
    curve(page, "loss")
    page.locator("select[name=x]").select_option("step")
    page.get_by_label("Logarithmic").check()
    page.get_by_label("Smoothed").fill("0.6")
    assert {name: asked_of(page)[name] for name in ("x", "log", "smooth")} == {
        "x": ["step"], "log": ["1"], "smooth": ["0.6"],
    }  # fmt: skip
    page.reload()
    curve(page, "loss").get_by_text("Value, smoothed").wait_for()
    page.locator("select[name=with]").select_option(f"drilling/{THIRD}")
    page.wait_for_url(lambda url: "with=" in url)
    assert asked_of(page)["x"] == ["step"]
    curve(page, "loss").get_by_text("linear-baseline, smoothed").wait_for()


def test_a_running_run_grows_and_a_new_metric_appears(open_page, store: Store) -> None:
    page = open_page(path=f"/runs/drilling/{RUNNING}")
    curve(page, "loss")
    page.wait_for_timeout(1000)  # the stream is open
    (run,) = store.runs.find([RUNNING])
    with page.expect_response(lambda answer: "/series" in answer.url, timeout=15_000):
        store.run_index.put(
            [replace(run, metrics={**run.metrics, "recall": MetricSummary(0.5, 0.5, 0.5, points=2)})]
        )
    page.locator('figure[data-metric="recall"]').wait_for(timeout=8000)


def test_lineage_leads_on(open_page, gateway: Installation) -> None:
    page = open_page(path=f"/runs/drilling/{FIRST}")
    strip = page.get_by_role("list", name="Lineage")
    assert strip.get_by_text("depth v3").count() == 1
    assert strip.get_by_text("data/holes").count() == 1
    strip.get_by_role("link", name="columns").click()
    page.wait_for_url(gateway.gateway_url + "/monitoring/reports/*")


def test_mlflow_that_is_away_greys_artifacts_alone(open_page) -> None:
    page = open_page(path=f"/runs/drilling/{FIRST}?tab=artifacts")
    assert page.locator("#artifacts.stale .notice").count() == 1
    assert page.locator("#summary").get_by_text("finished").count() >= 1
    page.get_by_role("link", name="Parameters and data").click()
    page.locator("#params").get_by_text("patchtsmixer", exact=True).wait_for()


def test_a_comparison_is_held_against_a_baseline(open_page) -> None:
    page = open_page(path=THREE)
    assert page.locator("#comparison .best").count() >= 3
    assert page.get_by_role("row", name="seed").count() == 0
    page.get_by_role("link", name="all 7").click()
    page.get_by_role("row", name="seed").wait_for()
    page.get_by_role("link", name="Take as baseline").first.click()
    page.get_by_title("Difference to the baseline").first.wait_for()
    assert asked_of(page)["baseline"] == [f"drilling/{FIRST}"]
    page.locator("select[name=metric]").select_option("loss")
    curve(page, "loss").get_by_text("linear-baseline").wait_for()
    assert asked_of(page)["metric"] == ["loss"]
    page.locator("select[name=param]").select_option("lr")
    page.wait_for_url(lambda url: "param=lr" in url)
    page.get_by_title("Leave linear-baseline out").click()
    page.wait_for_url(lambda url: THIRD not in url)
    assert page.locator("svg polyline").count() == 2


def test_a_member_compares_its_own_runs_only(open_page, gateway: Installation) -> None:
    page = open_page(token="token-of-digits", path=f"/runs/digits/{OF_DIGITS}", errors=False)
    curve(page, "loss")
    theirs = f"drilling/{FIRST}"
    for path in (f"/runs/{theirs}", f"/compare?run={theirs}", f"/runs/digits/{OF_DIGITS}?with={theirs}"):
        answer = page.goto(gateway.gateway_url + path)
        assert answer.status == 403
        assert "patchtsmixer" not in page.content()
    refused = ask(gateway, "GET", f"/api/runs/drilling/{FIRST}/series?metric=loss", "token-of-digits")
    assert refused.status_code == 403
