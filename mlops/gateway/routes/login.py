"""Browser sessions: by a pasted token, or by a one-time link."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from mlops.dashboard.pages import Pages
from mlops.errors import Forbidden, ServiceUnavailable, Unauthorized
from mlops.gateway.auth import Caller, identify_token
from mlops.gateway.failures import Refusals
from mlops.gateway.onward import Onward
from mlops.gateway.sessions import Sessions
from mlops.gateway.streams import Streams
from mlops.gateway.tickets import Tickets
from mlops.platform import Platform
from mlops.store.tokens import Principal

log = logging.getLogger(__name__)

_TokenField = Annotated[str, Form(max_length=512)]
_TextField = Annotated[str, Form(max_length=2048)]
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


class TicketLink(BaseModel):
    """A link that logs its first visitor in, within 60 seconds."""

    url: str


def login_routes(
    platform: Platform, pages: Pages, sessions: Sessions, tickets: Tickets, streams: Streams
) -> APIRouter:
    """GET and POST /login, POST /logout, POST /api/tickets."""
    routes = APIRouter(tags=["session"])
    refusals = Refusals()

    @routes.get("/login", include_in_schema=False)
    async def login(request: Request, ticket: str = "", next: str = "/") -> Response:
        """Show the form, or let the holder of a ticket in."""
        if not ticket:
            return _form(request, "", next)
        principal = tickets.redeem(ticket)
        if principal is None:
            refusals.tell(request.scope)
            problem = "That link has been used or is older than a minute. Run mlops:dashboard again."
            return _form(request, problem, next, 401)
        return _enter(principal, Onward(_own(next)))

    @routes.post("/login", include_in_schema=False)
    async def log_in(
        request: Request, token: _TokenField = "", csrf: _TextField = "", next: _TextField = "/"
    ) -> Response:
        """Let the holder of a token in."""
        if not sessions.check_csrf(request.cookies.get(sessions.login_cookie, ""), csrf):
            return _form(request, "This form was open for too long. Try once more.", next, 403)
        try:
            return _enter(await identify_token(platform, token.strip()), RedirectResponse(_own(next), 303))
        except Unauthorized:
            refusals.tell(request.scope)
            return _form(request, "That token is not known here.", next, 401)
        except ServiceUnavailable as error:
            return _form(request, error.message, next, 503)

    @routes.post("/logout", include_in_schema=False)
    async def log_out(request: Request, csrf: _TextField = "") -> Response:
        """End the session."""
        if not sessions.check_csrf(request.cookies.get(sessions.cookie, ""), csrf):
            raise Forbidden("log out by a form that is not the dashboard's")
        streams.end(csrf)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(sessions.cookie, path="/", httponly=True, samesite="strict")
        return response

    @routes.post("/api/tickets")
    async def issue_ticket(caller: Caller) -> TicketLink:
        """Make a one-time login link for the caller."""
        return TicketLink(url=f"{platform.addresses.gateway}/login?ticket={tickets.issue(caller)}")

    def _form(request: Request, problem: str, next: str, status: int = 200) -> Response:
        nonce = request.cookies.get(sessions.login_cookie) or secrets.token_urlsafe(16)
        response = pages.login(problem, sessions.csrf(nonce), _own(next), status)
        sessions.set_cookie(response, sessions.login_cookie, nonce, max_age=3600)
        return response

    def _enter(principal: Principal, response: Response) -> Response:
        log.info("%s logged in", principal.name, extra={"event": "login", "project": principal.project or ""})
        sessions.set_cookie(response, sessions.cookie, sessions.issue(principal))
        response.delete_cookie(sessions.login_cookie, path="/", httponly=True, samesite="strict")
        return response

    return routes


def _own(path: str) -> str:
    """`path` if it is one of ours; the home page for anything that could lead elsewhere."""
    return path if _OWN_PATH.fullmatch(path) else "/"
