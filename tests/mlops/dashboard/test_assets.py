"""Style sheets and scripts: kept by their hash, compressed, light, and with their licences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from mlops.dashboard.assets import FOREVER, Assets
from mlops.dashboard.rendering import FOLDER

STATIC = FOLDER / "static"
VENDORED = {
    "htmx.min.js": ("htmx", 60_000),
    "uplot.min.js": ("uplot", 60_000),
    "uplot.min.css": ("uplot", 3_000),
}


@pytest.fixture
def assets() -> Assets:
    return Assets(STATIC)


@pytest.fixture
def client(assets: Assets) -> TestClient:
    return TestClient(Starlette(routes=[Mount("/static", assets)]))


def test_named_by_its_hash_it_is_kept_for_ever(assets: Assets, client: TestClient) -> None:
    url = assets.url("vendor/htmx.min.js")
    found = client.get(url, headers={"Accept-Encoding": "gzip"})
    assert found.headers["cache-control"] == FOREVER
    assert found.headers["content-encoding"] == "gzip"
    assert found.content == (STATIC / "vendor" / "htmx.min.js").read_bytes()
    plain = client.get(url, headers={"Accept-Encoding": ""})
    assert "content-encoding" not in plain.headers
    assert plain.content == found.content


def test_another_hash_is_asked_about_each_time(assets: Assets, client: TestClient) -> None:
    for url in ("/static/frame.css", "/static/frame.css?v=0123456789ab"):
        found = client.get(url)
        assert found.headers["cache-control"] == "no-cache"
        again = client.get(url, headers={"If-None-Match": found.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["nothing.css", "../pages.py", "%2e%2e/pages.py", "vendor/htmx.LICENSE", "", "vendor"]
)
def test_nothing_else_is_there(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


def test_a_name_that_is_not_there_is_no_url(assets: Assets) -> None:
    with pytest.raises(KeyError):
        assets.url("nothing.css")


def test_only_reading_is_answered(client: TestClient) -> None:
    assert client.post("/static/frame.css").status_code == 405


@pytest.mark.parametrize("name", VENDORED)
def test_vendored_files_have_their_licence_and_size(name: str) -> None:
    package, most = VENDORED[name]
    licence = (STATIC / "vendor" / f"{package}.LICENSE").read_text()
    assert re.search(r"Permission (is hereby granted|to use)", licence)
    assert 1_000 < (STATIC / "vendor" / name).stat().st_size < most
    assert f"`{name}`" in (STATIC / "vendor" / "README.md").read_text()


def test_our_own_scripts_name_no_host_and_make_no_code_of_text() -> None:
    for path in Path(STATIC).glob("*.js"):
        text = path.read_text()
        assert "http" not in text, path
        assert not re.search(r"\beval\(|new Function|innerHTML\s*=|document\.write", text), path
