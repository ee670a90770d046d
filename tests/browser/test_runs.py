"""The table of runs and the search field in a real browser: filters, selection, columns, views, keys."""

from __future__ import annotations

import http.server
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mlops.entities import RunStatus
from mlops.installation import Installation
from mlops.store.indexed_runs import IndexedRun
from mlops.store.run_index import Progress
from mlops.store.store import Store
from tests.chromium import needs_chromium

pytestmark = needs_chromium

ROWS = "#runs tbody tr:visible"


@pytest.fixture
def shot(tmp_path: Path) -> Callable[..., None]:
    """Keeps what the page looks like where a person looks at it, when one says where. The caret stays: hiding
    it takes a style in the page, which its policy forbids."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    return lambda page, name: page.screenshot(path=folder / f"{name}.png", caret="initial")


def put(
    store: Store, id: str, name: str, status: RunStatus = RunStatus.RUNNING, project: str = "drilling"
) -> None:
    now = datetime.now(UTC)
    store.run_index.put([IndexedRun(id, project, name, project, status, now, None)])


def count(page, wanted: str) -> None:
    page.wait_for_function(f"document.querySelectorAll('#runs tbody tr').length {wanted}")


def test_filters_are_in_the_address_and_back_works(open_page, shot) -> None:
    page = open_page(path="/runs")
    all_runs = page.locator(ROWS).count()
    assert all_runs > 30
    page.locator("#text").type("logistic", delay=60)
    page.wait_for_url(re.compile(r"/runs\?text=logistic$"))
    count(page, f"< {all_runs}")
    assert page.evaluate("document.activeElement.id") == "text"
    assert set(page.locator(f"{ROWS} td[data-label=Project]").all_inner_texts()) == {"digits"}
    page.locator("#filters label", has_text="failed").click()
    page.wait_for_url(re.compile(r"text=logistic&state=failed$"))
    page.locator("#filters .menu summary").click()
    page.get_by_label("Metric").fill("accuracy.max>0.1")
    shot(page, "runs-conditions")
    page.get_by_label("Metric").press("Enter")
    page.wait_for_url(re.compile("metric=accuracy"))
    assert page.locator("#metrics option").count() == 0, "the answer's own, for another look"
    chip = page.locator("#filters .chip", has_text="accuracy.max>0.1")
    chip.click()
    page.wait_for_url(re.compile(r"text=logistic&state=failed$"))
    page.go_back()
    page.wait_for_url(re.compile("metric=accuracy"))
    chip.wait_for()
    assert page.locator("#text").input_value() == "logistic"
    page.get_by_role("link", name="All runs", exact=True).click()
    page.wait_for_url(re.compile("/runs$"))
    assert page.locator(ROWS).count() == all_runs


def test_what_is_typed_while_an_answer_is_on_its_way_stays(open_page) -> None:
    page = open_page(path="/runs")
    page.evaluate(
        "document.body.addEventListener('htmx:beforeOnLoad', (event) => {"
        "  const text = document.getElementById('text');"
        "  if (event.detail.target.id === 'main' && text.value === 'patch') text.value = 'logistic'; })"
    )
    page.locator("#text").type("patch")
    page.wait_for_url(re.compile(r"text=logistic$"))
    assert page.locator("#text").input_value() == "logistic"
    assert page.evaluate("document.activeElement.id") == "text"


def test_a_bad_condition_is_told_beside_the_filters(open_page, shot) -> None:
    page = open_page(path="/runs")
    page.locator("#filters .menu summary").click()
    page.get_by_label("Metric").fill("loss")
    page.get_by_label("Metric").press("Enter")
    page.get_by_role("alert").get_by_text("is no condition").wait_for()
    shot(page, "runs-bad-condition")
    page.locator("#filters .chip", has_text="loss").click()
    page.locator(ROWS).first.wait_for()


def test_runs_are_selected_by_keys_and_compared(open_page, gateway: Installation, shot) -> None:
    page = open_page(path="/runs?project=digits", errors=False)
    ids = page.locator(ROWS).evaluate_all("rows => rows.map(row => row.dataset.run)")
    for key in ("j", "x", "j", "j", " "):
        page.keyboard.press(key)
    assert page.url.endswith(f"/runs?project=digits&run={ids[0]}&run={ids[2]}")
    assert page.locator("#picked").inner_text().startswith("2 selected")
    page.locator(ROWS).nth(4).locator("td").first.click(modifiers=["Shift"])
    assert page.locator("#runs tr.selected").count() == 4
    page.locator(ROWS).nth(4).locator("input").click()
    assert page.locator("#runs tr.selected input:checked").count() == 3
    shot(page, "runs-selected")
    page.locator("#runs thead a", has_text="accuracy").first.click()
    page.wait_for_url(re.compile("sort="))
    assert page.locator("#runs tr.selected").count() == 3, "sorting keeps what is selected"
    page.keyboard.press("c")
    page.wait_for_url(re.compile("/compare"))
    assert page.url == f"{gateway.gateway_url}/compare?run={ids[0]}&run={ids[2]}&run={ids[3]}"
    page.go_back()
    page.keyboard.press("Escape")
    assert "run=" not in page.url
    assert page.locator("#picked").is_hidden()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/runs/digits/\w+$"))


def test_new_runs_wait_and_states_change_under_the_keyboard(open_page, store: Store) -> None:
    put(store, "live-1", "goes-on")
    page = open_page(path="/runs")
    shown = page.locator(ROWS).count()
    page.wait_for_timeout(1500)  # the stream is open
    for _ in range(9):
        page.keyboard.press("j")
        if page.evaluate("document.activeElement.id") == "run-live-1":
            break
    page.keyboard.press("x")
    store.run_index.put(
        [
            IndexedRun(
                "live-1",
                "drilling",
                "goes-on",
                "drilling",
                RunStatus.FINISHED,
                datetime.now(UTC) - timedelta(days=1),
            )
        ]
    )
    page.locator("#run-live-1").get_by_text("finished").wait_for(timeout=8000)
    assert page.evaluate("document.activeElement.id") == "run-live-1"
    assert page.locator("#run-live-1 input").is_checked()
    for number in range(3):
        put(store, f"fresh-{number}", f"fresh-{number}")
    page.locator("#runs .waiting", has_text="3 new runs").wait_for(timeout=8000)
    assert page.locator(ROWS).count() == shown
    page.locator("#runs .waiting").click()
    assert page.locator(ROWS).count() == shown + 3


def test_columns_are_chosen_and_remembered(open_page, gateway: Installation, shot) -> None:
    page = open_page(path="/runs?project=drilling")
    less = ("entry_mae_mm", "exit_mae_mm")
    kept = [name for name in page.locator("#runs thead th").all_inner_texts()[3:] if name not in less]
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("heading", name="Columns").wait_for()
    page.locator("#column-text").fill("val max")
    assert page.locator("#columns li:visible").count() == 1
    page.locator("#columns li:visible input").check()
    page.locator("#column-text").fill("")
    for name in less:
        page.locator("#columns fieldset").first.locator("li", has_text=name).locator("input").uncheck()
    page.locator("#columns fieldset").first.get_by_role("button", name="Move Took up").click()
    shot(page, "runs-columns")
    page.get_by_role("button", name="Show them").click()
    page.wait_for_url(re.compile("column="))
    heads = page.locator("#runs thead th").all_inner_texts()
    place = kept.index("Took")
    assert heads[3:] == [*kept[: place - 1], "Took", kept[place - 1], *kept[place + 1 :], "val_mae_mm\nmax"]
    page.goto(f"{gateway.gateway_url}/runs?project=drilling")
    page.wait_for_url(re.compile("column="))
    assert page.locator("#runs thead th").all_inner_texts() == heads
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("link", name="The usual ones").click()
    page.wait_for_url(re.compile("column=usual"))
    page.goto(f"{gateway.gateway_url}/runs?project=drilling")
    assert "column=" not in page.url


def test_headings_sort_by_several_keys_and_are_moved(open_page, shot) -> None:
    page = open_page(
        path="/runs?project=drilling&column=metric:val_mae_mm&column=metric:loss&column=param:layers"
    )
    heads = page.locator("#runs thead th")
    link = page.locator("#runs thead a")
    link.get_by_text("val_mae_mm").click()
    page.wait_for_url(re.compile("sort=-metric%3Aval_mae_mm"))
    page.keyboard.press("j")
    page.keyboard.press("x")
    link.get_by_text("loss").click(modifiers=["Shift"])
    page.wait_for_url(re.compile("sort=-metric%3Aval_mae_mm&sort=-metric%3Aloss.*run="))
    page.locator("#runs thead a", has_text="loss").focus()
    page.keyboard.press("Shift+Enter")
    page.wait_for_url(re.compile("sort=-metric%3Aval_mae_mm&sort=metric%3Aloss.*run="))
    assert len(page.context.pages) == 1
    assert [text[-1] for text in page.locator("#runs thead small").all_inner_texts()] == ["1", "2"]
    shot(page, "runs-sorted-by-two")
    layers, mae = heads.filter(has_text="layers"), heads.filter(has_text="val_mae_mm")
    layers.drag_to(mae)
    page.wait_for_url(re.compile("column=param%3Alayers&column=metric%3Aval_mae_mm&column=metric%3Aloss"))
    page.locator("#runs tr.selected").wait_for()
    assert "sort=-metric%3Aval_mae_mm&sort=metric%3Aloss" in page.url


def test_columns_are_resized_by_pointer_and_keys(open_page, gateway: Installation, shot) -> None:
    page = open_page(path="/runs?project=drilling")
    edge = page.locator("#runs thead th", has_text="Run").first.get_by_role("separator")

    def width() -> float:
        box = page.locator("#runs tbody th").first.bounding_box()
        assert edge.get_attribute("aria-valuenow") == str(round(box["width"]))
        return box["width"]

    usual, place = width(), edge.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.up()
    assert abs(width() - usual - 60) <= 1
    edge.focus()
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
    assert abs(width() - usual + 84) <= 1
    shot(page, "runs-narrow-column")
    page.goto(f"{gateway.gateway_url}/runs?project=drilling")
    assert abs(width() - usual + 84) <= 1, "it is remembered"
    edge.focus()
    page.keyboard.press("Enter")
    assert abs(width() - usual) <= 1


class Agreeing(http.server.BaseHTTPRequestHandler):
    """An MLflow that does whatever it is told."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        info = {
            "run_id": "0" * 32,
            "run_name": "archived-run",
            "status": "FAILED",
            "start_time": 1_700_000_000_000,
        }
        known = {"search": {"experiments": [{"experiment_id": "1"}], "runs": [{"info": info}]}}
        body = json.dumps(known.get(self.path.rpartition("/")[2], {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def agree(gateway: Installation) -> Iterator[Callable[[], None]]:
    """Has MLflow's address answer, which is dead until then."""
    gateway.make_secret(gateway.project_secret_name("drilling", "mlflow"))
    servers = []

    def begin() -> None:
        servers.append(
            http.server.ThreadingHTTPServer(("127.0.0.1", urlsplit(gateway.mlflow_url).port), Agreeing)
        )
        threading.Thread(target=servers[0].serve_forever, daemon=True).start()

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_selected_runs_are_tagged_or_archived_after_a_question(open_page, agree, shot) -> None:
    page = open_page(path="/runs?project=drilling", errors=False)
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Archive …").click()
    page.get_by_role("heading", name="Archive 2 runs").wait_for()
    assert page.locator("dialog .chosen li").count() == 2
    shot(page, "runs-archive")
    page.get_by_role("button", name="Archive 2 runs").click()
    page.locator("dialog .problem", has_text="mlflow does not answer").wait_for()
    shot(page, "runs-archive-away")
    agree()
    page.get_by_role("button", name="Archive 2 runs").click()
    page.get_by_role("heading", name="2 runs archived").wait_for()
    assert page.locator("#picked").is_hidden()
    shot(page, "runs-archive-done")
    page.get_by_role("button", name="Restore now").click()
    page.locator("#told", has_text="2 runs are restored").wait_for()
    page.get_by_role("button", name="Archived", exact=True).click()
    page.locator("dialog li", has_text="archived-run").wait_for()
    shot(page, "runs-archived")
    page.keyboard.press("Escape")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Tag …").click()
    page.get_by_label("Key").fill("mlflow.user")
    page.get_by_label("Value").fill("candidate")
    page.get_by_role("button", name="Tag 2 runs").click()
    page.locator("dialog .problem", has_text="own").wait_for()
    page.get_by_label("Key").fill("stage")
    shot(page, "runs-tag")
    page.get_by_label("Value").press("Enter")
    page.locator("#told", has_text="2 runs are tagged").wait_for()
    assert page.locator("#picked").inner_text().startswith("2 selected")
    page.set_viewport_size({"width": 390, "height": 844})
    shot(page, "runs-selected-phone")


def test_a_view_is_saved_and_removed(open_page, shot) -> None:
    page = open_page(path="/runs?project=drilling&state=failed")
    page.get_by_role("button", name="Save this view").click()
    page.get_by_label("Name").fill("What failed")
    shot(page, "runs-save")
    page.get_by_role("button", name="Save", exact=True).click()
    tab = page.get_by_role("link", name="What failed")
    tab.wait_for()
    assert tab.get_attribute("aria-current") == "page"
    page.get_by_role("link", name="All runs", exact=True).click()
    tab.click()
    page.wait_for_url(re.compile(r"project=drilling&state=failed$"))
    page.get_by_role("button", name="Change What failed").click()
    page.get_by_role("heading", name="Change the view").wait_for()
    shot(page, "runs-view")
    page.get_by_role("button", name="Remove the view").click()
    tab.wait_for(state="detached")


def test_search_by_keyboard_alone(open_page, shot) -> None:
    page = open_page(path="/", errors=False)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("depth")
    page.locator("#hits [role=option]").first.wait_for()
    field = page.get_by_role("combobox", name="Search")
    assert field.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    chosen = page.locator(f"#{field.get_attribute('aria-activedescendant')}")
    assert chosen.get_attribute("aria-selected") == "true"
    shot(page, "search-field")
    page.keyboard.press("Escape")
    assert page.locator(".hits").is_hidden()
    page.keyboard.press("Control+a")
    page.keyboard.type("patchtsmixer 39")
    page.locator("#hits").get_by_text("patchtsmixer-39").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/runs/drilling/(01){16}$"))


def test_search_on_a_phone_and_as_a_page(open_page, shot) -> None:
    page = open_page(path="/", size="phone")
    page.locator("#search").click()
    page.keyboard.type("<zebra>")
    page.locator(".hits p", has_text="Nothing found").wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.type("holes")
    page.locator("#hits").get_by_text("data/holes").first.wait_for()
    shot(page, "search-phone")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/search\?q=holes$"))
    assert page.locator("#found h2").count() >= 2


def test_an_mlflow_elsewhere_that_is_not_read_greys_its_runs(open_page, shot, store: Store) -> None:
    names = {each.project_name: each.namespace for each in store.projects.all()}
    now = datetime.now(UTC)
    try:
        for name, namespace in names.items():
            store.freshness.read(name, namespace, now - timedelta(seconds=8))
        page = open_page(path="/runs")
        page.locator("#runs p", has_text="Read from MLflow").wait_for()
        shot(page, "runs-elsewhere")
        store.freshness.failed("digits", "MLflow refuses <b>it</b>", is_whole=False)
        page.reload()
        assert page.locator("#runs.stale").count() == 0
        page.locator("#runs p", has_text="Project digits was last read").wait_for()
        shot(page, "runs-elsewhere-one-away")
        for name in names:
            store.freshness.failed(name, "mlflow does not answer: connection refused", is_whole=False)
        for size, scheme in (("desktop", "light"), ("phone", "dark")):
            page = open_page(path="/runs", size=size, scheme=scheme)
            page.locator("#runs.stale .notice", has_text="mlflow does not answer").wait_for()
            assert page.locator("#runs tbody tr").count() > 30, "what was known is shown"
            shot(page, f"runs-elsewhere-away-{size}")
        page = open_page()
        page.locator("#projects.stale .notice", has_text="mlflow does not answer").wait_for()
        assert page.locator("#alerts.stale, #deployments.stale").count() == 0, "they are not MLflow's"
        shot(page, "home-elsewhere-away")
    finally:
        store.run_index.finish(Progress(projects=names))
