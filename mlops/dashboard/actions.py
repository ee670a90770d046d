"""What people change from the dashboard. Each action has a question, shown in the side sheet, and a form that
does it: by POST, with the session's CSRF token, and once."""

from __future__ import annotations

import hmac
import json
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import Response

from mlops.dashboard.frame import Frame
from mlops.entities import Alert
from mlops.errors import Forbidden, InvalidInput
from mlops.platform import Platform
from mlops.store.tokens import Principal

_Number = Annotated[int, Path(ge=1, lt=2**63)]
Field = Annotated[str, Form(max_length=200)]


async def _from_our_form(request: Request, csrf: Field = "") -> None:
    """Raises `Forbidden` where the form is not one of this session's."""
    known = request.state.csrf
    if not known or not hmac.compare_digest(csrf.encode(), known.encode()):
        raise Forbidden("change anything by a form that is not the dashboard's")


async def _by_who_may(request: Request) -> None:
    """Raises `Forbidden` for a viewer."""
    caller: Principal = request.state.principal
    caller.check_may_change("change anything")


ASKS = [Depends(_by_who_may)]
"""Of a route that asks whether something shall be changed."""
OUR_FORM = [Depends(_from_our_form)]
"""Of a route that takes a form of the dashboard."""


def action_routes(platform: Platform, frame: Frame) -> APIRouter:
    """GET and POST of /monitoring/alerts/{number}/acknowledge and …/silence, and of
    /services/{name}/restart."""
    routes = APIRouter()
    desk = platform.alerts

    @routes.get("/monitoring/alerts/{number}/acknowledge", dependencies=ASKS)
    def ask_acknowledge(request: Request, number: _Number) -> Response:
        """Ask whether somebody looks after the alert."""
        return frame.sheet(request, "acknowledge", alert=_alert(platform, request, number))

    @routes.post("/monitoring/alerts/{number}/acknowledge", dependencies=OUR_FORM)
    def acknowledge(request: Request, number: _Number) -> Response:
        """Acknowledge it."""
        caller: Principal = request.state.principal
        alert = desk.acknowledge(number, caller.name, caller.project)
        return done(f"You look after {alert.rule}. Only its end is told now.", "alerts")

    @routes.get("/monitoring/alerts/{number}/silence", dependencies=ASKS)
    def ask_silence(request: Request, number: _Number) -> Response:
        """Ask for how long nothing shall be told of the alert."""
        return frame.sheet(request, "silence", alert=_alert(platform, request, number))

    @routes.post("/monitoring/alerts/{number}/silence", dependencies=OUR_FORM)
    def silence(request: Request, number: _Number, minutes: Field = "") -> Response:
        """Silence its rule and subject for a time."""
        alert = _alert(platform, request, number)
        caller: Principal = request.state.principal
        desk.silence(alert.project, alert.rule, alert.subject, _minutes(minutes), caller.name)
        return done(f"Nothing is told of {alert.rule} for {minutes} min.", "silences")

    @routes.get("/services/{name}/restart", dependencies=ASKS)
    def ask_restart(request: Request, name: str) -> Response:
        """Ask whether the service shall be restarted."""
        _for_an_admin(request)
        found = next((each for each in platform.services() if each.name == name), None)
        if found is None:
            raise InvalidInput("service", name[:40], "is not a service", remedy="Choose one of the page.")
        return frame.sheet(request, "restart", service=found)

    @routes.post("/services/{name}/restart", dependencies=OUR_FORM)
    def restart(request: Request, name: str) -> Response:
        """Have the supervisor replace its process."""
        _for_an_admin(request)
        caller: Principal = request.state.principal
        platform.restart_service(name, caller.name)
        return done(f"{name} is being restarted.", "status")

    return routes


def _alert(platform: Platform, request: Request, number: int) -> Alert:
    caller: Principal = request.state.principal
    return platform.alerts.get(number, caller.project)


def _for_an_admin(request: Request) -> None:
    caller: Principal = request.state.principal
    if caller.project is not None:
        raise Forbidden("restart services")


def _minutes(stated: str) -> float:
    try:
        return float(stated)
    except ValueError:
        raise InvalidInput("minutes", stated[:40], "is no number", remedy="Give some minutes.") from None


def done(words: str, topic: str) -> Response:
    """Nothing to show but that it is done: the sheet closes, and what changed is read again."""
    return Response(status_code=204, headers={"HX-Trigger": json.dumps({"told": words, f"live:{topic}": ""})})
