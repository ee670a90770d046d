"""Ground truths, and how right the models were by them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from mlops.entities import GroundTruth, GroundTruthsLogged, PerformanceReport
from mlops.gateway.auth import Caller
from mlops.monitoring.labels import MOST_AT_ONCE
from mlops.monitoring.performance_columns import PerformanceColumns
from mlops.platform import Platform


class Labels(BaseModel):
    """What turned out to be right."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ground_truths: Annotated[list[dict[str, Any]], Field(max_length=MOST_AT_ONCE)]
    """Each with `request_id`, `truth` (output to a value, or to a list with one for each row) and, where two
    models were asked under one id, `model`."""


def performance_routes(platform: Platform) -> APIRouter:
    """POST /api/projects/{project}/ground-truths, GET of those of a request; GET
    /api/projects/{project}/performance and …/performance-over-time."""
    routes = APIRouter(prefix="/api/projects/{project}", tags=["performance"])
    desk = platform.performance

    @routes.post("/ground-truths", status_code=201)
    def log(project: str, labels: Labels, caller: Caller) -> GroundTruthsLogged:
        """Log what turned out to be right, all or none: early or late, again, or otherwise than before. The
        answer counts what is new, was there, and contradicts what was there."""
        return desk.log(project, labels.ground_truths, caller.name)

    @routes.get("/ground-truths/{request_id}")
    def of_request(project: str, request_id: str) -> list[GroundTruth]:
        """What is known of a request, by model and output, with what was contradicted."""
        platform.project(project)
        return desk.of_request(project, request_id)

    @routes.get("/performance")
    def performance(
        project: str,
        model: str,
        window_s: float = 86_400.0,
        every_s: float | None = None,
        version: Annotated[int | None, Field(ge=1, lt=2**31)] = None,
    ) -> PerformanceReport:
        """How right a model was in the time just gone: by version and side, with 95 % intervals; over time in
        parts of `every_s`; canary and shadow beside the champion."""
        platform.project(project)
        return desk.report(project, model, window_s=window_s, every_s=every_s, version=version)

    @routes.get("/performance-over-time")
    def over_time(project: str, model: str, window_s: float = 86_400.0) -> PerformanceColumns:
        """How right the versions of a model were over the time just gone, in columns for a chart: the
        accuracy of classes, the mae of numbers; at most 50 points."""
        platform.project(project)
        return desk.over_time(project, model, window_s)

    return routes
