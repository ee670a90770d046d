"""Tags of runs, and runs that are archived."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from mlops.gateway.auth import Caller
from mlops.platform import Platform
from mlops.tracking.run_changes import ArchivedRun, Named, Outcome
from mlops.tracking.side_by_side import read_run

_Text = Annotated[str, Field(max_length=1000)]
_Value = Annotated[str, Field(max_length=8000)]


class SomeRuns(BaseModel):
    """Runs, each as `project/run` by its key or MLflow's id."""

    model_config = ConfigDict(extra="forbid", strict=True)

    runs: list[_Text]

    def named(self) -> list[Named]:
        """Their projects and ids; raises `InvalidInput`."""
        return [read_run(each) for each in self.runs]


class TaggedRuns(SomeRuns):
    """Runs with the tags that they are to have."""

    tags: dict[_Text, _Value]


class ArchivedRuns(BaseModel):
    """A project's archived runs, newest first."""

    runs: list[ArchivedRun]


def run_change_routes(platform: Platform) -> APIRouter:
    """GET /api/runs/archived; POST /api/runs/tags, /api/runs/archive and /api/runs/restore."""
    routes = APIRouter(prefix="/api/runs", tags=["runs"])
    changes = platform.run_changes

    @routes.get("/archived")
    def archived(project: str, caller: Caller) -> ArchivedRuns:
        """List a project's archived runs, as MLflow has them."""
        return ArchivedRuns(runs=changes.archived(project, caller.project))

    @routes.post("/tags")
    def tag(asked: TaggedRuns, caller: Caller) -> Outcome:
        """Give runs some tags; those of the same keys are replaced."""
        return changes.tag(asked.named(), asked.tags, caller.name, caller.project)

    @routes.post("/archive")
    def archive(asked: SomeRuns, caller: Caller) -> Outcome:
        """Take runs out of tables, searches and counts; MLflow keeps what they have."""
        return changes.archive(asked.named(), caller.name, caller.project)

    @routes.post("/restore")
    def restore(asked: SomeRuns, caller: Caller) -> Outcome:
        """Bring archived runs back, by MLflow's ids."""
        return changes.restore(asked.named(), caller.name, caller.project)

    return routes
