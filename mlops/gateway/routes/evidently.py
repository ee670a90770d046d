"""The way to Evidently's own UI."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from mlops.dashboard.pages import Pages
from mlops.errors import ServiceUnavailable
from mlops.gateway.onward import Onward
from mlops.monitoring.evidently_client import START
from mlops.platform import Platform


def evidently_routes(platform: Platform, pages: Pages) -> APIRouter:
    """GET /evidently/{path}."""
    routes = APIRouter(tags=["drift"])

    @routes.get("/evidently/{path:path}", response_class=HTMLResponse)
    def evidently(request: Request, path: str) -> Response:
        """Lead on to Evidently's UI, at its own origin; 503 while it does not run."""
        is_page = "text/html" in request.headers.get("accept", "")
        if not platform.evidently_answers():
            if is_page:
                return pages.render("evidently.html", 503, start=START)
            raise ServiceUnavailable("evidently", "nobody asked for it", remedy=f"Run `{START}`.")
        port = urlsplit(platform.addresses.evidently).port
        # By the name that the gateway was called by: the session belongs to that.
        url = f"http://{request.url.hostname}:{port}/{quote(path)}"
        return Onward(url) if is_page else RedirectResponse(url, 303)

    return routes
