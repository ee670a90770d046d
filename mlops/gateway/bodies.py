"""Bounds what a request body may weigh and how long it may take to arrive."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_BODY_S = 30.0


class BodyLimit:
    """ASGI middleware: 413 for a body above `max_bytes`, announced or not, 408 for a slow one."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES, max_s: float = MAX_BODY_S) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the inner app a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        received, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self._max_s

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()  # waits for the caller to hang up: no deadline there
            if not length.isdecimal() or int(length) > self._max_bytes:
                raise self._too_large()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                detail = f"the body did not arrive within {self._max_s:g} s"
                raise HTTPException(408, detail, headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            if received > self._max_bytes:
                raise self._too_large()
            return message

        await self._app(scope, bounded, send)

    def _too_large(self) -> HTTPException:
        limit = self._max_bytes // (1024 * 1024)
        return HTTPException(413, f"the body is larger than {limit} MB", headers={"Connection": "close"})
