"""Search: what a few words name, on a page of its own, and where each thing is shown."""

from __future__ import annotations

from itertools import groupby
from urllib.parse import quote

from mlops.dashboard.frame import Page, Region, Scope
from mlops.dashboard.rendering import link
from mlops.platform import Platform
from mlops.store.search import Found, What

MOST = 40
"""Of each kind, on the page."""


def search_page(platform: Platform) -> Page:
    """`/search`."""

    def found(scope: Scope) -> list[tuple[What, list[Found]]]:
        all_found = platform.find(scope.option("q"), scope.project, MOST)
        return [(what, list(those)) for what, those in groupby(all_found, lambda each: each.what)]

    return Page(
        path="/search",
        title="Search",
        template="search.html",
        options=("q",),
        regions={"found": Region(found, ("runs", "deployments"), indexed=True)},
    )


def url_of(found: Found) -> str:
    """The page that shows it."""
    if found.what is What.RUN:
        return f"/runs/{found.project}/{quote(found.id, safe='')}"
    if found.what in (What.MODEL, What.DEPLOYMENT):
        return f"/{found.what}s/{found.project}/{quote(found.name, safe='')}"
    if found.what is What.DATA:
        return link("/data/version", project=found.project, path=found.name, hash=found.id)
    return link("/", project=found.project)
