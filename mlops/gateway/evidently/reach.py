"""What of Evidently's UI may be asked, and by whom. Closed by default: what no row names is not there, and
nothing can be changed. A project's id follows from its name, so whose it is need not be looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

from mlops.errors import Forbidden, NotFound
from mlops.monitoring.evidently_files import project_id
from mlops.store.tokens import Principal

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PROJECT, _ID, _NAME = f"(?P<project>{_UUID})", _UUID, r"[\w.=-]{1,200}"

PAGES = (
    "/",
    "/projects",
    f"/projects/{_PROJECT}",
    rf"/projects/{_PROJECT}/(?:[\w-]+/?){{1,8}}",
)
"""All of them are the one page, whose script draws what its address names."""
LISTS = ("/api/projects", "/api/v2/projects")
"""Of all projects."""
READS = (
    rf"/(?:static/(?:js|css|img)/)?{_NAME}\.(?:js|css|png|ico|svg)",
    "/api/version",
    "/api/llm_judges/templates",
    f"/api/projects/{_PROJECT}/(?:info|reload|reports|snapshots)",
    f"/api/projects/{_PROJECT}/{_ID}/(?:data|download|metadata)",
    f"/api/projects/{_PROJECT}/{_ID}/graphs_data/{_NAME}",
    f"/api/v2/dashboards/{_PROJECT}",
    f"/api/v2/snapshots/{_PROJECT}/(?:labels|label_values|metrics)",
)
OF_A_PROJECT = ("/api/artifacts", "/api/datasets", "/api/prompts")
"""Which one stands in the query, as `project_id`."""
READS_BY_POST = (f"/api/v2/snapshots/{_PROJECT}/data_series_batch",)
"""Reads, whose question is too long for an address."""


@dataclass(frozen=True, slots=True)
class Within:
    """What may be asked."""

    path: str
    query: str
    is_page: bool = False
    only: str | None = None
    """The one project's id that may be told of, where a list holds all; None where all may."""


def within_reach(method: str, path: str, query: str, principal: Principal) -> Within:
    """What the caller asks, where that is within reach. Raises `NotFound` for what is not there or another
    project's, without a difference, and `Forbidden` for what would change something."""
    own = None if principal.project is None else str(project_id(principal.project))
    if method == "POST":
        if (found := _matches(READS_BY_POST, path)) is None:
            raise Forbidden("change anything in Evidently: it shows what the platform wrote there")
        return _of(found, own, path, query)
    if method not in ("GET", "HEAD"):
        raise Forbidden("change anything in Evidently: it shows what the platform wrote there")
    if (found := _matches(PAGES, path)) is not None:
        return replace(_of(found, own, "/", ""), is_page=True)
    if path in LISTS:
        return Within(path, "", only=own)
    if path in OF_A_PROJECT:
        stated = parse_qs(query).get("project_id", [""])[0]
        if not re.fullmatch(_UUID, stated) or own not in (None, stated):
            raise _nothing(path)
        return Within(path, f"project_id={stated}")  # and nothing beside it that could mean another
    if (found := _matches(READS, path)) is not None:
        return _of(found, own, path, query)
    raise _nothing(path)


def _matches(patterns: tuple[str, ...], path: str) -> re.Match[str] | None:
    return next((found for each in patterns if (found := re.fullmatch(each, path, re.ASCII))), None)


def _of(found: re.Match[str], own: str | None, path: str, query: str) -> Within:
    if own not in (None, found.groupdict().get("project") or own):
        raise _nothing(found[0])
    return Within(path, query)


def _nothing(path: str) -> NotFound:
    remedy = "Begin at /evidently/ of the gateway."
    return NotFound(f"there is no {path[:200]!r} in Evidently that this token may see", remedy=remedy)
