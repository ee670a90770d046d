"""Runs side by side."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from mlops.gateway.auth import Caller
from mlops.gateway.routes.runs import FoundRun
from mlops.platform import Platform
from mlops.tracking.results import json_number
from mlops.tracking.run_export import run_to_json
from mlops.tracking.side_by_side import Figure, place_of, read_runs, side_by_side

Word = Annotated[str, Query(max_length=1000)]


class ComparedFigure(BaseModel):
    """A metric of one run."""

    last: float | str
    best: float | str | None
    """The greatest or the least, whichever is better; null where that is not known."""
    difference: float | str | None
    """To the baseline's."""
    is_best: bool


class ComparedMetric(BaseModel):
    """A metric of all runs."""

    name: str
    higher_is_better: bool | None
    figures: list[ComparedFigure | None]
    """In the order of the runs; null of one without it."""


class ComparedParam(BaseModel):
    """A parameter of all runs."""

    name: str
    values: list[str | None]
    differs: bool


class Comparison(BaseModel):
    """Runs side by side."""

    runs: list[FoundRun]
    baseline: int | None
    """Place of the run that the others are held against."""
    params: list[ComparedParam]
    metrics: list[ComparedMetric]


def comparison_routes(platform: Platform) -> APIRouter:
    """GET /api/compare."""
    routes = APIRouter(prefix="/api", tags=["runs"])

    @routes.get("/compare", response_model=Comparison)
    def compare(
        caller: Caller,
        run: Annotated[list[Word], Query()],
        baseline: Word = "",
        of: Annotated[str, Query(pattern="^(last|best)$")] = "last",
        higher: Annotated[list[Word], Query()] = [],  # noqa: B006 - FastAPI's own way to have none
        lower: Annotated[list[Word], Query()] = [],  # noqa: B006
    ) -> Any:
        """Compare runs, each given as `project/run`, by their metrics' last values or the best. `higher` and
        `lower` name metrics of which the one or the other is better."""
        wanted = read_runs(run)
        found = platform.runs.several(wanted, caller.project)
        held = place_of(baseline, wanted)
        ways = {**dict.fromkeys(higher, True), **dict.fromkeys(lower, False)}
        told = side_by_side([each for each, _ in found], held, by_best=of == "best", ways=ways)
        return {
            "runs": [run_to_json(each, url) for each, url in found],
            "baseline": told.baseline,
            "params": [
                {"name": row.name, "values": row.values, "differs": row.differs} for row in told.params
            ],
            "metrics": [
                {
                    "name": row.name,
                    "higher_is_better": row.higher_is_better,
                    "figures": [_figure(each) for each in row.figures],
                }
                for row in told.metrics
            ],
        }

    return routes


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    best, difference = figure.best, figure.difference
    return {
        "last": json_number(figure.last),
        "best": None if best is None else json_number(best),
        "difference": None if difference is None else json_number(difference),
        "is_best": figure.is_best,
    }
