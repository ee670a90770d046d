"""Alerts over all projects, and their rules."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from mlops.entities import Alert
from mlops.errors import Forbidden
from mlops.gateway.auth import Caller
from mlops.monitoring.rules import Rule
from mlops.platform import Platform
from mlops.store.alerts import Silence

Number = Annotated[int, Path(ge=1, lt=2**63)]


async def _owner(request: Request) -> str:
    return str(request.path_params.get("project", ""))


Owner = Annotated[str, Depends(_owner)]
"""The project of the path; "" for the platform."""


class Silencing(BaseModel):
    """What is not to be told for a time."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rule: Annotated[str, Field(max_length=60)] = ""
    """Its name; each of the project if not given."""
    subject: Annotated[str, Field(max_length=200)] = ""
    """One model, service or run; each if not given."""
    minutes: float = 60.0


def alert_routes(platform: Platform) -> APIRouter:
    """GET /api/alerts; POST /api/alerts/{number}/acknowledge; and below /api/alerts for the platform's own,
    or /api/projects/{project}/alerts: GET rules, PUT and DELETE rules/{name}, POST silences."""
    routes = APIRouter(prefix="/api", tags=["alerts"])
    desk = platform.alerts

    @routes.get("/alerts")
    def alerts(
        caller: Caller, project: str | None = None, history: bool = False, count: int = 100
    ) -> list[Alert]:
        """List what is wrong, newest first; with `history` what was, too. An admin sees all and the
        platform's, or those of one `project`; a member never sees another's."""
        return desk.latest(caller.project or project, with_ended=history, count=count)

    @routes.post("/alerts/{number}/acknowledge")
    def acknowledge(number: Number, caller: Caller) -> Alert:
        """Say that one looks after it: only its end is told any more."""
        return desk.acknowledge(number, caller.name, caller.project)

    for prefix, own in (("/projects/{project}/alerts", []), ("/alerts", [Depends(_admin)])):
        _add_rule_routes(routes, platform, prefix, own)
    return routes


def _add_rule_routes(routes: APIRouter, platform: Platform, prefix: str, guards: list[Any]) -> None:
    desk = platform.alerts

    @routes.get(prefix + "/rules", dependencies=guards)
    def rules(project: Owner) -> list[Rule]:
        """The rules that hold: the usual ones, those of project.toml, and those that were added."""
        return desk.rules(project)

    @routes.put(prefix + "/rules/{name}", status_code=201, dependencies=guards)
    def add_rule(name: str, stated: dict[str, Any], caller: Caller, project: Owner) -> Rule:
        """Judge by a further rule from now on."""
        return desk.add_rule(project, name, stated, caller.name)

    @routes.delete(prefix + "/rules/{name}", status_code=204, dependencies=guards)
    def remove_rule(name: str, caller: Caller, project: Owner) -> None:
        """Judge no more by a rule that was added."""
        desk.remove_rule(project, name, caller.name)

    @routes.post(prefix + "/silences", status_code=201, dependencies=guards)
    def silence(silencing: Silencing, caller: Caller, project: Owner) -> Silence:
        """Tell nothing of it for a time; what is still wrong then is told."""
        return desk.silence(project, silencing.rule, silencing.subject, silencing.minutes, caller.name)


async def _admin(caller: Caller) -> None:
    if caller.project is not None:
        raise Forbidden("change the platform's own alerts")
