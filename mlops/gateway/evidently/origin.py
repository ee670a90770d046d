"""A port of the gateway's own at which it shows Evidently's UI.

Not below `/evidently/`: the UI is built to live at `/`, its script has no setting for another place, and
its API takes names that are the gateway's (`/api/projects`). And not at the gateway's origin: its pages
show what callers of an endpoint chose, and a script that came in with that would act with the session of
who looks. A port of its own is another origin, which browsers keep away from the gateway's pages and
answers. The session is the same, since cookies know no ports; it is checked by the same middleware, and
goes no further than here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.errors import ServiceUnavailable
from mlops.gateway.errors import add_error_handlers
from mlops.gateway.evidently.reach import Within, within_reach
from mlops.monitoring.evidently_client import START, EvidentlyClient

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_KEPT = ("content-type", "content-disposition")
_POLICY = (
    "default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


class EvidentlyOrigin:
    """ASGI middleware, behind those that say who calls: requests to the port of `url` are answered by
    Evidently, all others by the gateway."""

    def __init__(self, app: ASGIApp, *, url: str, gateway: str, client: EvidentlyClient | None) -> None:
        """`url` is where the UI is shown, "" for nowhere; `gateway` is the gateway's."""
        self._app = app
        self._port = urlsplit(url).port
        self._gateway_port = urlsplit(gateway).port
        self._client = client
        self._shown = Starlette(
            routes=[
                Route("/login", self._log_in, methods=["GET"]),
                Route("/{path:path}", self._show, methods=_METHODS),
            ]
        )
        add_error_handlers(self._shown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell them apart by the socket that a request came by."""
        server = scope.get("server")
        is_here = scope["type"] == "http" and server is not None and server[1] == self._port
        await (self._shown if is_here and self._client else self._app)(scope, receive, send)

    async def _log_in(self, request: Request) -> Response:
        """There is one place to log in; it leads back here."""
        back = f"/evidently{request.query_params.get('next', '/')}"
        host = request.url.hostname
        return RedirectResponse(f"http://{host}:{self._gateway_port}/login?next={quote(back, safe='')}", 303)

    async def _show(self, request: Request) -> Response:
        # Some paths are open at the gateway; here none is.
        if not hasattr(request.state, "principal"):
            return Response(status_code=404)
        scope = request.scope
        query = scope["query_string"].decode("latin-1")
        asked = within_reach(request.method, scope["path"], query, request.state.principal)
        try:
            return await self._answer(asked, request)
        except ServiceUnavailable:
            if not asked.is_page:
                raise
            return _waiting()

    async def _answer(self, asked: Within, request: Request) -> Response:
        assert self._client is not None  # noqa: S101 - else nothing comes here
        method = "POST" if request.method == "POST" else "GET"
        answer = await self._client.ask(method, asked.path, asked.query, await request.body())
        if asked.is_page:
            return _page(answer.body.decode())
        if asked.only is not None:
            return JSONResponse([each for each in json.loads(answer.body) if each["id"] == asked.only])
        headers = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
        return Response(answer.body, answer.status, headers | {"Content-Security-Policy": _policy()})


def _page(text: str) -> HTMLResponse:
    """Evidently's page, with what its one script in line needs to be let run. Its manifest is left out, which
    browsers ask for without a session."""
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    text = re.sub(r'<link rel="manifest"[^>]*>', "", text)
    return HTMLResponse(text, headers={"Content-Security-Policy": _policy(*scripts)})


def _waiting() -> HTMLResponse:
    """Of a UI that is just being started, or was stopped: it comes by itself once it answers."""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Evidently</title>'
        f"<p>Evidently's UI does not answer. Start it: <code>{START}</code></p></html>"
    )
    headers = {"Refresh": "3", "Content-Security-Policy": _policy()}
    return HTMLResponse(text, 503, headers)


def _policy(*scripts: str) -> str:
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    return _POLICY.format(hashes="".join(f" 'sha256-{base64.b64encode(one).decode()}'" for one in digests))
