"""Saved views of runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import Forbidden
from mlops.gateway.auth import Caller
from mlops.platform import Platform
from mlops.project import check_project_name
from mlops.store.run_views import RunView
from mlops.tracking.view_desk import LONGEST_NAME, LONGEST_QUERY

Number = Annotated[int, Path(ge=1, lt=2**63)]
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
Question = Annotated[str, Field(max_length=LONGEST_QUERY)]
"""Fields of the URL of /runs, encoded as there: `state=FAILED&metric=loss%3C0.1&column=param:lr`."""


class NewView(BaseModel):
    """A question under a name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    query: Question = ""
    project: str | None = None
    """Null: of all projects, as an admin."""


class ViewChange(BaseModel):
    """What is to be another."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = None
    query: Question | None = None


def view_routes(platform: Platform) -> APIRouter:
    """GET and POST /api/views; PATCH and DELETE /api/views/{number}."""
    routes = APIRouter(prefix="/api", tags=["runs"])
    desk = platform.views

    @routes.get("/views")
    def views(caller: Caller, project: str | None = None) -> list[RunView]:
        """List saved views within reach, or one project's, by name."""
        if project is not None and not caller.may_use(check_project_name(project, "project")):
            raise Forbidden(f"use project {project!r}")
        return desk.all(project or caller.project)

    @routes.post("/views", status_code=201)
    def save(new: NewView, caller: Caller) -> RunView:
        """Keep a question for runs under a name, for all who may use its project."""
        project = None if new.project is None else check_project_name(new.project, "project")
        return desk.save(project, new.name, new.query, caller.name, caller.project)

    @routes.patch("/views/{number}")
    def change(number: Number, changed: ViewChange, caller: Caller) -> RunView:
        """Give a view another name or question, as its maker or an admin."""
        return desk.change(number, caller.name, caller.project, name=changed.name, query=changed.query)

    @routes.delete("/views/{number}", status_code=204)
    def remove(number: Number, caller: Caller) -> None:
        """Remove a view, as its maker or an admin."""
        desk.remove(number, caller.name, caller.project)

    return routes
