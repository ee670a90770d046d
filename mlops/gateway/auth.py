"""Who calls, and what is within reach. Closed by default: a new route needs a token, and one with
`{project}` in its path a token of that project, without a line of its own."""

from __future__ import annotations

import base64
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.errors import Forbidden, MLOpsError, Unauthorized
from mlops.gateway.errors import error_response
from mlops.gateway.failures import Refusals
from mlops.gateway.roles import SAFE_METHODS
from mlops.gateway.sessions import Sessions
from mlops.gateway.sources import Source
from mlops.logs.context import PROJECT
from mlops.platform import Platform
from mlops.project import check_project_name
from mlops.store.tokens import Principal

OPEN_PATHS = frozenset(
    {"/health", "/login", "/static/tokens.css", "/static/login.css", "/static/theme.js", "/static/icon.svg"}
)
"""All that is answered without a token: exact paths, no patterns."""

BASIC_PATH = "/invocations"
"""Where HTTP Basic is taken, too: MLflow's own client knows no other way."""

_HASHES_FRESH_S, _PATIENCE_S = 5.0, 0.25
"""How old the list of tokens may be, and how long it is waited for."""


class Authentication:
    """ASGI middleware: a Bearer token or a session's cookie, else 401 (browsers: the login page).

    Puts `principal` into the request's state, `csrf`, the token its forms must carry ("" for a
    caller without a session), and `user`, the name of HTTP Basic ("" without).
    """

    def __init__(self, app: ASGIApp, *, platform: Platform, sessions: Sessions) -> None:
        self._app = app
        self._platform = platform
        self._sessions = sessions
        self._refusals = Refusals()
        self._tokens = Source(
            "tokens", platform.living_tokens, fresh_s=_HASHES_FRESH_S, patience_s=_PATIENCE_S
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a known caller through; raises nothing."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN_PATHS):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        try:
            principal, csrf, user = await self._identify(scope["method"], scope["path"], headers)
        except Unauthorized as error:
            if "authorization" in headers:  # a browser without a session, or an old one, is nothing to tell
                self._refusals.tell(scope)
            response = _login_page(scope) if _is_page(scope, headers) else error_response(error)
            await response(scope, receive, send)
            return
        except MLOpsError as error:
            await error_response(error)(scope, receive, send)
            return
        scope.setdefault("state", {}).update(principal=principal, csrf=csrf, user=user)
        await self._app(scope, receive, send)

    async def _identify(self, method: str, path: str, headers: Headers) -> tuple[Principal, str, str]:
        authorization = headers.get("authorization")
        if authorization is not None:  # a bad token never falls back to the cookie
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() == "basic" and path == BASIC_PATH:
                user, password = _basic(token)
                return await identify_token(self._platform, password), "", user
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthorized
            return await identify_token(self._platform, token.strip()), "", ""
        cookie = cookie_parser(headers.get("cookie", "")).get(self._sessions.cookie, "")
        principal = self._sessions.read(cookie) if cookie else None
        if principal is None or not await self._is_let_in(principal):
            raise Unauthorized
        if method not in SAFE_METHODS and "origin" not in headers:
            # Browsers send it with every such request; its value was checked before.
            raise Forbidden("change anything by a session without an Origin header")
        return principal, self._sessions.csrf(cookie), ""

    async def _is_let_in(self, principal: Principal) -> bool:
        """Whether a session's token still is. While Postgres is away its cookie will do, which is signed."""
        known = await self._tokens.read()
        if known is None or principal.token in known:
            return True
        # Revoked, or younger than what is known.
        return principal.token in await run_in_threadpool(self._platform.living_tokens)


def _basic(encoded: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise Unauthorized from None
    if not password:
        raise Unauthorized
    return user, password


async def identify_token(platform: Platform, token: str) -> Principal:
    """Who holds the token; raises `Unauthorized`, `ServiceUnavailable`."""
    known = platform.remembered(token)
    return known if known is not None else await run_in_threadpool(platform.authenticate, token)


async def _principal(request: Request) -> Principal:
    return cast(Principal, request.state.principal)


Caller = Annotated[Principal, Depends(_principal)]
"""A route's parameter that is who calls."""


async def project_within_reach(request: Request) -> None:
    """Depended on by every route: raises `InvalidName`, and `Forbidden` for a project that is not the
    caller's, whether it exists or not."""
    project = request.path_params.get("project")
    if project is None:
        return
    check_project_name(project, "project")
    if not request.state.principal.may_use(project):
        raise Forbidden(f"use project {project!r}")
    PROJECT.set(project)


def _is_page(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "GET" and "text/html" in headers.get("accept", "")


def _login_page(scope: Scope) -> RedirectResponse:
    query = scope["query_string"].decode("latin-1")
    asked = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse("/login" if asked == "/" else f"/login?next={quote(asked, safe='')}", 303)
