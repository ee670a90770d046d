"""The page of runs: what it shows, its columns, its saved views, and what it makes of a bad question."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops.dashboard.columns import Column, chosen_columns, usual_columns
from mlops.entities import RunStatus
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.sparks import Spark
from mlops.store.store import Store
from mlops.store.tokens import Principal, Role
from mlops.tracking.rest import ServerRefusal
from mlops.tracking.run_desk import RunNames

from .conftest import CSRF

ADMIN, ALPHA = Principal(Role.ADMIN, None), Principal(Role.MEMBER, "alpha")
HOSTILE = "<script>alert(1)</script>\"'"
BEGIN = datetime(2026, 1, 1, 8, tzinfo=UTC)

Page = Callable[..., str]


@pytest.fixture
def three(add_project, add_run) -> None:
    """Two runs of alpha, one of beta."""
    add_project("alpha", primary_metric="loss")
    add_project("beta", primary_metric="acc")
    add_run(
        "alpha",
        "a1",
        name="mixer",
        metrics={"loss": 0.5, "system/gpu": 1.0},
        started_at=BEGIN,
        ended_at=BEGIN + timedelta(minutes=4),
        params={"lr": "0.1"},
        tags={"stage": "prod"},
        user="ada",
    )
    add_run(
        "alpha",
        "a2",
        name="lora",
        metrics={"loss": 0.25, "aux": 7.0},
        started_at=BEGIN + timedelta(hours=1),
        status=RunStatus.RUNNING,
    )
    add_run("beta", "b1", name="digits", metrics={"acc": 0.9}, started_at=BEGIN + timedelta(hours=2))


def runs_of(shown: str) -> list[str]:
    return re.findall(r'data-run="([^"]*)"', shown)


def headings_of(shown: str) -> list[str]:
    head = re.search(r"<thead>.*?</thead>", shown, re.S)[0]
    return [
        " ".join(re.sub(r"<[^>]+>", " ", each).split()) for each in re.findall(r"<th .*?</th>", head, re.S)
    ]


def hrefs_of(shown: str) -> list[str]:
    return [each.replace("&amp;", "&") for each in re.findall(r'href="([^"]*)"', shown)]


@pytest.mark.usefixtures("three")
def test_all_runs_of_all_projects_newest_first(page: Page) -> None:
    shown = page("/runs", region="runs")
    assert runs_of(shown) == ["beta/b1", "alpha/a2", "alpha/a1"]
    assert headings_of(shown) == [
        "Run",
        "Project",
        "State",
        "Started",
        "Primary metric",
        "Trend",
        "Took",
        "User",
    ]
    assert "0.25" in shown
    assert "4 min 00 s" in shown
    assert {"/runs/beta/b1", "/runs/alpha/a1", "/runs?sort=started"} <= set(hrefs_of(shown))
    assert 'aria-sort="descending"' in shown


@pytest.mark.usefixtures("three")
def test_a_projects_columns_are_its_metrics_and_params(page: Page) -> None:
    shown = page("/runs?project=alpha", region="runs")
    assert headings_of(shown) == ["Run", "State", "Started", "loss", "Trend", "aux", "lr", "Took", "User"]
    columns = "&column=tag:stage&column=metric:loss.min&column=nonsense&column=metric:none&column=tag:stage"
    shown = page(f"/runs?project=alpha{columns}", region="runs")
    assert headings_of(shown) == ["Run", "State", "Started", "stage", "loss min", "none"]
    assert "prod" in shown
    assert headings_of(page("/runs?column=usual", region="runs"))[4:] == [
        "Primary metric",
        "Trend",
        "Took",
        "User",
    ]


@pytest.mark.usefixtures("three")
def test_conditions_and_order_are_of_the_url(page: Page) -> None:
    for query, found in (
        ("state=running", ["a2"]),
        ("state=running&state=FINISHED&project=alpha", ["a2", "a1"]),
        ("metric=loss<0.3", ["a2"]),
        ("metric=loss<1&metric=aux>1", ["a2"]),
        ("tag=stage=prod", ["a1"]),
        ("param=lr", ["a1"]),
        ("text=MIX", ["a1"]),
        ("sort=metric:loss", ["a2", "a1"]),
        ("since=2026-01-01T09:30%2B00:00", ["b1"]),
        ("until=2026-01-01T08:30%2B00:00", ["a1"]),
    ):
        shown = runs_of(page(f"/runs?{query}", region="runs"))
        assert [run.split("/")[1] for run in shown] == found, query


@pytest.mark.usefixtures("three")
def test_links_keep_what_the_url_says(page: Page) -> None:
    shown = page(
        "/runs?project=alpha&state=running&state=finished&metric=loss<1&sort=-metric:loss&column=metric:loss"
    )
    hrefs = hrefs_of(shown)
    question = "project=alpha&state=running&state=finished&metric=loss%3C1"
    assert f"/runs?{question}&sort=metric%3Aloss&column=metric%3Aloss" in hrefs
    for form in ("csv", "json"):
        assert f"/api/runs/export?format={form}&{question}&sort=-metric%3Aloss" in hrefs
    assert "runs without a number there are not in the list" in shown
    for name, value in (("metric", "loss&lt;1"), ("column", "metric:loss"), ("sort", "-metric:loss")):
        assert re.search(rf'<input type="\w+" name="{name}" value="{value}"', shown)


@pytest.mark.usefixtures("three")
def test_a_trend_is_drawn_of_the_primary_metric(page: Page, store: Store) -> None:
    assert "<path" not in re.sub(r"<svg class=\"icon.*?</svg>", "", page("/runs", region="runs"), flags=re.S)
    spark = Spark("loss", 1).with_values(4, [(0, 0.5, 0.9), (2, 0.25, 0.25)])
    first, second = sorted(store.runs.indexed(["a1", "a2"]), key=lambda run: run.id)
    store.run_index.put([replace(first, spark=spark), replace(second, spark=replace(spark, key="aux"))])
    shown = page("/runs?column=trend", region="runs")
    assert re.findall(r'aria-label="([^"]*)"><title>', shown) == ["loss, 0.25 to 0.9"], "of no other metric"
    assert 'd="M2 2h0' in shown


@pytest.mark.usefixtures("three")
def test_headings_sort_by_several_keys(page: Page) -> None:
    def thens(query: str) -> dict[str, list[str]]:
        shown = page(
            f"/runs?project=alpha&column=metric:loss&column=metric:aux&column=metric:loss.min{query}",
            region="runs",
        )
        found = re.findall(r'data-then="([^"]*)".*?<bdi>(.*?)</bdi>(.*?)<', shown)
        return {
            f"{name}{note.rstrip()}": re.findall(
                r"(?<=sort=)[^&]*", then.replace("&amp;", "&").replace("%3A", ":")
            )
            for then, name, note in found
        }

    assert thens("")["loss"] == ["-started", "-metric:loss"]
    two = "&sort=-metric:loss&sort=metric:aux"
    assert thens(two) == {
        "Started": ["-metric:loss", "metric:aux", "-started"],
        "loss": ["metric:loss", "metric:aux"],
        "aux": ["-metric:loss"],
        "loss min": ["-metric:loss", "metric:aux", "metric:loss.min"],
    }, "turned once, and then left out"
    three = thens(two + "&sort=started")
    assert three["Started"] == ["-metric:loss", "metric:aux"]
    assert three["loss min"] == ["-metric:loss", "metric:aux", "metric:loss.min"], "in the last one's place"
    assert thens("&sort=metric:loss")["loss"] == ["-metric:loss"], "the only one is turned"
    shown = page(f"/runs?project=alpha&column=metric:aux&column=metric:loss{two}")
    assert headings_of(shown)[2:] == ["Started", "aux ascending, key 2", "loss descending, key 1"]
    assert shown.count("aria-sort=") == 1
    assert [run.split("/")[1] for run in runs_of(shown)] == ["a1", "a2"]
    assert len(re.findall('<input type="hidden" name="sort"', shown)) == 2


def _ask(browse, path: str, principal: Principal = ALPHA, **form):
    return browse(path, principal, method="POST", form={"csrf": CSRF, **form})


@pytest.mark.usefixtures("three")
def test_selected_runs_are_tagged_archived_and_restored(browse, page: Page, platform, add_run) -> None:
    asked = []

    class Account:
        def within(self, seconds):
            return contextlib.nullcontext()

        def call(self, method, path, body):
            if body.get("run_id") == "hostile":
                raise ServerRefusal("X", HOSTILE, 400)
            asked.append((path, body.get("run_id")))
            info = {"run_id": "old", "run_name": HOSTILE, "status": "FINISHED", "start_time": 1000}
            return {"experiments": [{"experiment_id": "1"}], "runs": [{"info": info}]}

    platform.run_changes._rest_of = lambda workspace: Account()
    add_run("alpha", "hostile", name=HOSTILE)
    assert 'hx-get="/runs/archive"' in page("/runs", ALPHA)
    assert 'hx-get="/runs/archive"' not in browse("/runs", ALPHA, csrf="").text, "not by a token"
    for verb in ("tag", "archive"):
        shown = page(f"/runs/{verb}?run=alpha/a2&run=alpha/hostile", ALPHA)
        assert "<script>" not in shown
        assert shown.count('name="run"') == 2
        assert ("1 of them goes on" in shown) == (verb == "archive")
        for bad in ("", "?run=beta/b1", "?run=alpha/none", "?run=a"):
            assert "error" in browse(f"/runs/{verb}{bad}", ALPHA).json(), bad
        refused = browse(f"/runs/{verb}", ALPHA, method="POST", form={"run": "alpha/a1", "key": "k"})
        assert refused.json()["error"]["type"] == "Forbidden", "no token in the form"
        assert _ask(browse, f"/runs/{verb}", run="beta/b1", key="k").json()["error"]["type"] == "Forbidden"
    assert asked == []

    tagged = _ask(browse, "/runs/tag", run=["alpha/a1", "alpha/a2"], key=" stage ", value="prod")
    assert (tagged.status_code, asked) == (204, [("/runs/log-batch", "a1"), ("/runs/log-batch", "a2")])
    assert "2 runs are tagged" in tagged.headers["hx-trigger"]
    half = _ask(browse, "/runs/tag", run=["alpha/a1", "alpha/hostile"], key="stage")
    assert "1 run is as it was" in half.text
    assert "&lt;script&gt;" in half.text
    done = _ask(browse, "/runs/archive", run=["alpha/a1", "alpha/hostile"])
    assert '"unpick"' in done.headers["hx-trigger"]
    assert "1 run archived" in done.text
    assert re.findall(r'name="run" value="([^"]*)"', done.text) == ["alpha/a1"], "what is restored at once"
    listed = page("/runs/archived?project=alpha", ALPHA)
    assert ("<script>" not in listed, 'value="alpha/old"' in listed) == (True, True)
    assert "Choose a project" in page("/runs/archived")
    assert browse("/runs/archived?project=beta", ALPHA).json()["error"]["type"] == "Forbidden"
    assert _ask(browse, "/runs/restore").json()["error"]["fields"]["field"] == "runs"
    assert _ask(browse, "/runs/restore", run="alpha/old").status_code == 204
    assert asked[-1] == ("/runs/restore", "old")


def test_pages_follow_each_other(page: Page, add_project, add_run) -> None:
    add_project("alpha")
    for number in range(103):
        add_run("alpha", f"r{number:03}", started_at=BEGIN + timedelta(minutes=number))
    first = page("/runs?project=alpha")
    assert '<span class="count">100+</span>' in first
    assert (runs_of(first)[0], runs_of(first)[-1]) == ("alpha/r102", "alpha/r003")
    older = next(each for each in hrefs_of(first) if "cursor=" in each)
    second = page(older)
    assert runs_of(second) == ["alpha/r002", "alpha/r001", "alpha/r000"]
    assert "Older runs" in second
    assert "cursor=" not in next(each for each in hrefs_of(second) if each.startswith("/runs?"))


def test_pages_in_the_order_of_a_metric_with_a_long_name_follow_each_other(page, add_project, store) -> None:
    add_project("alpha")
    name = "é" * 250
    store.run_index.put(
        [
            IndexedRun(f"r{number:03}", "alpha", "n", "e", RunStatus.FINISHED, BEGIN,
                       metrics={name: MetricSummary(number, number, number)})
            for number in range(101)
        ]
    )  # fmt: skip
    first = page(f"/runs?sort=-metric:{name}")
    older = next(each for each in hrefs_of(first) if "cursor=" in each)
    assert runs_of(page(older)) == ["alpha/r000"]


@pytest.mark.usefixtures("three")
def test_a_question_that_cannot_be_read_is_told_where_it_is_asked(page: Page) -> None:
    for query, words in (
        ("metric=loss", "is no condition"),
        ("state=moving", "is no state"),
        ("sort=speed", "is no order"),
        ("since=soon", "is no time"),
        ("cursor=x", "cursor"),
        ("text=%2F", "0 words"),
        ("tag==1", "has no key"),
    ):
        shown = page(f"/runs?{query}")
        assert words in re.search(r'role="alert">.*?</div></div>', shown, re.S)[0]
        assert runs_of(shown) == []
        assert 'id="filters"' in shown


def test_an_empty_page_teaches_what_fills_it(page: Page, add_project) -> None:
    add_project("alpha")
    assert "start_run(&#34;first&#34;)" in page("/runs?project=alpha")
    assert "No run meets all conditions" in page("/runs?project=alpha&state=failed")


def test_everything_that_was_logged_is_escaped(page: Page, add_project, add_run) -> None:
    add_project("alpha", primary_metric=HOSTILE)
    add_run("alpha", HOSTILE, name=HOSTILE, metrics={HOSTILE: 1.0}, params={HOSTILE: HOSTILE},
            tags={HOSTILE: HOSTILE}, user=HOSTILE, experiment=HOSTILE)  # fmt: skip
    for path in ("/runs", "/runs?project=alpha", f"/runs?column=tag:{HOSTILE}&text=script&tag={HOSTILE}",
                 "/runs/columns", "/views/new?text=<script>"):  # fmt: skip
        shown = page(path)
        assert "<script>alert" not in shown
        assert not re.search(r'="[^"]*<script', shown)
        assert "style=" not in shown


@pytest.mark.usefixtures("three")
def test_columns_are_offered_with_those_shown_first(browse, page: Page) -> None:
    shown = page("/runs/columns?project=alpha&column=param:lr&column=metric:loss.min&state=running&cursor=x")
    values = re.findall(r'name="column" value="([^"]*)"( checked)?', shown)
    assert [value for value, is_shown in values if is_shown] == ["param:lr", "metric:loss.min"]
    assert {"metric:loss", "metric:loss.max", "metric:aux", "tag:stage", "user"} <= {
        value for value, _ in values
    }
    assert '<input type="hidden" name="state" value="running">' in shown
    assert 'name="cursor"' not in shown
    assert "acc" not in re.findall(r'value="metric:([^"]*)"', shown)
    assert "acc" not in page("/runs/columns", ALPHA)
    assert browse("/runs/columns?project=beta", ALPHA).json()["error"]["type"] == "Forbidden"


def _post(browse, path: str, principal: Principal = ALPHA, **form: str):
    return browse(path, principal, method="POST", form={"csrf": CSRF, **form})


@pytest.mark.usefixtures("three")
def test_a_view_is_saved_found_changed_and_removed(browse, page: Page, store: Store) -> None:
    path = "/runs?project=alpha&state=running&column=param:lr"
    assert "/views/new?project=alpha&amp;state=running&amp;column=param%3Alr" in page(path, ALPHA)
    question = page("/views/new?project=alpha&state=running&column=param:lr&cursor=x", ALPHA)
    query = re.search(r'name="query" value="([^"]*)"', question)[1].replace("&amp;", "&")
    assert query == "state=running&column=param%3Alr"
    refused = browse("/views/new", ALPHA, method="POST", form={"name": "mine", "query": query})
    assert refused.json()["error"]["type"] == "Forbidden", "no token in the form"
    saved = _post(browse, "/views/new", name=HOSTILE, query=query, project="alpha")
    assert saved.status_code == 204
    assert '"live:views"' in saved.headers["hx-trigger"]
    shown = page(path, ALPHA, region="views")
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert shown.count('aria-current="page"') == 1
    assert "Save this view" not in shown
    (view,) = store.run_views.all("alpha")
    lead = browse(f"/views/{view.id}", ALPHA, follow=False)
    assert (lead.status_code, lead.headers["location"]) == (303, f"/runs?project=alpha&{query}")
    assert "Keep what the page shows now" not in page(f"/views/{view.id}/change?{query}", ALPHA)
    assert "Keep what the page shows now" in page(f"/views/{view.id}/change?state=failed", ALPHA)
    assert _post(browse, f"/views/{view.id}/change", name="better", query="state=failed").status_code == 204
    assert [(each.name, each.query) for each in store.run_views.all()] == [("better", "state=failed")]
    assert _post(browse, f"/views/{view.id}/remove").status_code == 204
    assert store.run_views.all() == []
    assert {each.action for each in store.audit.latest(3)} == {"save view", "change view", "remove view"}


@pytest.mark.usefixtures("three")
def test_views_are_of_their_project_and_their_makers(browse, page: Page, store: Store) -> None:
    of_beta = store.run_views.add("beta", "secret", "", "beta").id
    of_all = store.run_views.add(None, "secret too", "", "admin").id
    by_admin = store.run_views.add("alpha", "shared", "", "admin").id
    shown = page("/runs", ALPHA)
    assert "secret" not in shown
    assert "shared" in shown
    assert f"/views/{by_admin}/change" not in shown
    assert "secret too" in page("/runs")
    assert f"/views/{by_admin}/change" in page("/runs?project=alpha")
    for number in (of_beta, of_all):
        for path in (f"/views/{number}", f"/views/{number}/change"):
            assert browse(path, ALPHA).json()["error"]["type"] == "ViewNotFound"
        for action in ("change", "remove"):
            assert _post(browse, f"/views/{number}/{action}").json()["error"]["type"] == "ViewNotFound"
    assert _post(browse, f"/views/{by_admin}/remove").json()["error"]["type"] == "Forbidden"
    refused = _post(browse, "/views/new", name="n", project="beta").json()["error"]["type"]
    assert refused == "Forbidden"
    assert _post(browse, "/views/new", ADMIN, name="").json()["error"]["fields"]["field"] == "name"


def test_a_column_is_named_as_it_is_read() -> None:
    for text in (
        "metric:loss",
        "metric:loss.min",
        "metric:a.min.last",
        "param:a=b",
        "tag:x:y",
        "took",
        "user",
    ):
        assert str(Column.read(text)) == text
    assert str(Column.read("metric:loss.last")) == "metric:loss"
    for text in ("", "metric:", "speed", "param", "fact:user", ":x"):
        assert Column.read(text) is None


def test_usual_columns_are_a_few() -> None:
    names = RunNames(["system/gpu", *"abcdef"], [*"pqrst"], [], None)
    assert [str(each) for each in usual_columns(names, "e")] == [
        "metric:e", "trend", "metric:a", "metric:b", "param:p", "param:q", "param:r", "took", "user",
    ]  # fmt: skip
    usual = usual_columns(names, None)
    assert [str(each) for each in usual] == ["primary", "trend", "took", "user"]
    assert chosen_columns(["none"], usual) == usual
    assert [str(each) for each in chosen_columns(["tag:x", "usual"], usual)] == [
        "tag:x",
        "primary",
        "trend",
        "took",
        "user",
    ]
