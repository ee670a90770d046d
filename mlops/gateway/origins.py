"""Keeps web pages of elsewhere from reaching the gateway through somebody's browser.

A page may send requests to a loopback address, and DNS may be rebound to it; so the name it was
called by must be ours (Host), and a page that calls must be ours too (Origin), whatever the method.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.errors import Forbidden
from mlops.gateway.errors import error_response

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class OriginCheck:
    """ASGI middleware; `host` is the name the gateway is bound to."""

    def __init__(self, app: ASGIApp, *, host: str) -> None:
        self._app = app
        self._hosts = _LOOPBACK | {host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse foreign hosts and origins with 403."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            problem = self._problem(scope, headers.get("host", ""), headers.get("origin"))
            if problem:
                await error_response(Forbidden(problem))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope, host: str, origin: str | None) -> str:
        if _hostname(host) not in self._hosts:
            return "call the gateway by that Host"
        if origin is not None and origin.lower() != f"{scope['scheme']}://{host.lower()}":
            return "be used by a page of another origin"
        return ""


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
