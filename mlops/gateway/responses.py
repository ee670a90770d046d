"""What every answer carries: the request's id and the headers that browsers guard a page by.

Also the last resort: a fault of ours becomes a 500 in the one shape, with its trace in the log only. And what
failed is told to the log; what is answered as it should be is not.
"""

from __future__ import annotations

import asyncio
import logging
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops.gateway.errors import unexpected_response
from mlops.gateway.failures import Failures
from mlops.logs.context import REQUEST_ID
from mlops.project import REQUEST_ID as ALLOWED_ID

log = logging.getLogger(__name__)


SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_RAW = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class Responses:
    """The outermost ASGI middleware; puts `request_id`, and when it `arrived` by the loop's clock, into the
    request's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._failures = Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to whatever is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if ALLOWED_ID.fullmatch(given) else secrets.token_hex(8)
        REQUEST_ID.set(request_id)
        scope.setdefault("state", {}).update(request_id=request_id, arrived=asyncio.get_running_loop().time())
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if message["status"] >= 500:
                    self._failures.tell(scope, message["status"])
                own = {name.lower() for name, _ in message["headers"]}  # a route's word is the narrower one
                missing = [header for header in _RAW if header[0] not in own]
                headers = MutableHeaders(raw=[*message["headers"], *missing])
                headers["X-Request-Id"] = request_id
                headers.setdefault("Cache-Control", "no-store")
                message["headers"] = headers.raw
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        except Exception:
            log.exception(
                "request %s failed: %s %s", request_id, scope["method"], scope["path"],
                extra={"event": "request.failed"},
            )  # fmt: skip
            if started:
                raise
            await unexpected_response(request_id)(scope, receive, stamped)
