"""What a viewer may ask: whatever only reads. By method, so that a new route is closed to viewers without a
line of its own."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.errors import Forbidden
from mlops.gateway.errors import error_response
from mlops.store.tokens import Principal

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""With them nothing is changed."""
VIEWERS_POSTS = frozenset({"/login", "/logout", "/api/tickets"})
"""All that viewers may POST, which is about their own sessions: exact paths, no patterns."""


class ViewersRead:
    """ASGI middleware next to the routes: 403 for a viewer who would change something, or ask a model."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through, or refuse it before its body is read."""
        caller: Principal | None = scope.get("state", {}).get("principal")  # none on open paths
        if caller is not None and scope["method"] not in SAFE_METHODS and scope["path"] not in VIEWERS_POSTS:
            try:
                caller.check_may_change(f"{scope['method']} {scope['path'][:200]}")
            except Forbidden as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
