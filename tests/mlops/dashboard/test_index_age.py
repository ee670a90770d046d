"""Pages that show the index of what MLflow has say as of when that is, where it was not just now."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mlops.store.run_index import Progress
from mlops.store.store import Store
from mlops.store.tokens import Principal, Role

ALPHA = Principal(Role.MEMBER, "alpha")
HOSTILE = "<script>alert(1)</script>\"'"
REGIONS = {
    "/": "projects",
    "/runs": "runs",
    "/runs/alpha/a1": "summary",
    "/compare?run=alpha/a1&run=beta/b1": "comparison",
    "/models": "models",
    "/models/alpha/wear": "versions",
    "/models/alpha/wear/1": "detail",
    "/search?q=wear": "found",
}

Page = Callable[..., str]


@pytest.fixture(autouse=True)
def two(add_project, add_run, add_version) -> None:
    """A run and a model of alpha, a run of beta."""
    add_project("alpha")
    add_project("beta")
    add_run("alpha", "a1")
    add_run("beta", "b1")
    add_version("alpha", "wear", 1)


@pytest.fixture
def minutes_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=5)


@pytest.mark.parametrize("path", REGIONS)
def test_an_index_that_is_behind_says_so(page: Page, store: Store, minutes_ago: datetime, path: str) -> None:
    store.run_index.finish(Progress(indexed_at=datetime.now(UTC)))
    assert "As of" not in page(path)
    store.run_index.finish(Progress(indexed_at=minutes_ago))
    shown = page(path)
    assert "5 min ago" in re.search(r"As of .*", shown)[0]
    assert shown.count("has not been renewed") == 1


@pytest.mark.parametrize("path", REGIONS)
def test_an_mlflow_elsewhere_says_how_fresh_it_is(
    page: Page, store: Store, minutes_ago: datetime, path: str
) -> None:
    for project in ("alpha", "beta"):
        store.freshness.read(project, project, minutes_ago)
    shown = page(path)
    assert "5 min ago" in re.search(r"Read from MLflow .*", shown)[0]
    assert "has not been renewed" not in shown
    for project in ("alpha", "beta"):
        store.freshness.failed(project, HOSTILE, is_whole=False)
    shown = page(path)
    section = re.search(rf'<section id="{REGIONS[path]}" class="region stale".*?</section>', shown, re.S)[0]
    assert "&lt;script" in re.search(r'class="notice" role="status".*?</div></div>', section, re.S)[0]
    assert "5 min ago" in section
    assert 'class="body"' in section, "what was known is shown"
    assert "<script>alert" not in shown


def test_one_project_that_is_not_read_greys_its_own_runs_alone(
    page: Page, store: Store, minutes_ago: datetime
) -> None:
    for project in ("alpha", "beta"):
        store.freshness.read(project, project, minutes_ago)
    store.freshness.failed("beta", HOSTILE, is_whole=False)
    shown = page("/runs")
    assert re.search(r"Project beta was last read from MLflow .*5 min ago.*&lt;script", shown)
    assert 'class="region stale"' not in shown, "alpha's runs are as they should be"
    assert "beta" not in page("/runs", ALPHA)
    shown = page("/runs?project=beta")
    assert 'class="region stale"' in shown
    assert re.findall(r'data-run="([^"]*)"', shown) == ["beta/b1"], "what was known is shown"


def test_a_region_is_not_sent_again_because_time_went_on(browse, store: Store) -> None:
    version = _version(browse())
    store.run_index.finish(Progress(indexed_at=datetime.now(UTC)))
    assert browse(region="projects", version=version).status_code == 204
    store.freshness.read("alpha", "alpha", datetime.now(UTC) - timedelta(seconds=9))
    told = browse(region="projects", version=version)
    assert told.status_code == 200
    store.freshness.read("alpha", "alpha", datetime.now(UTC))
    assert browse(region="projects", version=_version(told)).status_code == 200, "it says as of when"


def _version(answer) -> str:
    return re.search(r'id="projects"[^>]*data-version="([^"]*)"', answer.text)[1]
