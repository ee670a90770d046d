"""Turns inferences away while more come than this process can read: else all of them would be late."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.errors import ServiceUnavailable
from mlops.gateway.errors import error_response

_INFERENCES = ("/predict", "/infer", "/invocations")
FREE = 64
"""Inferences at a time that are let in without a look at the clock."""
_MOST_LAG_S = 0.05
"""Of one round of the event loop; an inference takes several."""


class Door:
    """ASGI middleware before all that costs. What one endpoint cannot answer in time is the router's to
    refuse; this is about the gateway's own event loop."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it in, or answer 503."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(_INFERENCES):
            await self._app(scope, receive, send)
            return
        self._inside += 1
        try:
            if self._inside > FREE and await _lag_s() > _MOST_LAG_S:
                await error_response(_FULL)(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            self._inside -= 1


async def _lag_s() -> float:
    began = time.monotonic()
    await asyncio.sleep(0)
    return time.monotonic() - began


_FULL = ServiceUnavailable(
    "the gateway",
    "more requests come than it can read",
    remedy="Try again in a moment, or send fewer at a time.",
)
