"""One run: what it was made of, its metrics over steps or time, its artifacts, what it printed."""

from __future__ import annotations

import gzip
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from mlops.gateway.routes.runs import FoundRun, MetricColumns
from mlops.platform import Platform
from mlops.tracking.curves import Axis
from mlops.tracking.run_export import run_to_json
from mlops.tracking.run_files import RunFile
from mlops.tracking.run_lineage import RunLineage
from mlops.tracking.run_log import RunLog

Name = Annotated[str, Query(max_length=1000)]
Moment = Annotated[int | None, Query(ge=-(2**63), lt=2**63)]

_SHOWN = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "svg": "image/svg+xml",
    **dict.fromkeys(
        ("txt", "log", "md", "csv", "tsv", "json", "jsonl", "yaml", "yml", "toml", "ini", "py"),
        "text/plain; charset=utf-8",
    ),
}
"""What a browser shows by itself, by the end of its name; all else is saved, HTML too."""
_SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Of what a run logged: an image may hold scripts. Its origin is nobody's, and nothing in it runs."""


class OneRun(BaseModel):
    """A run with where it comes from, and what came of it."""

    run: FoundRun
    lineage: RunLineage


class Series(BaseModel):
    """Metrics of a run, each in the order of the axis."""

    series: dict[str, MetricColumns]


class Artifacts(BaseModel):
    """What is in a folder of a run's artifacts."""

    files: list[RunFile]


def one_run_routes(platform: Platform) -> APIRouter:
    """GET /api/runs/{project}/{run_id}, and its series, artifacts, artifact and log."""
    routes = APIRouter(prefix="/api/runs/{project}/{run_id}", tags=["runs"])
    facts = platform.run_facts

    @routes.get("", response_model=OneRun)
    def run(project: str, run_id: str) -> Any:
        """Read a run, by its key or MLflow's id, with its lineage."""
        found, url = platform.runs.get(project, run_id)
        return {"run": run_to_json(found, url), "lineage": facts.lineage(project, found.id)}

    @routes.get("/series", response_model=Series)
    def series(
        request: Request,
        project: str,
        run_id: str,
        metric: Annotated[list[Name], Query()],
        x: Axis = Axis.STEP,
        begin: Annotated[Moment, Query(alias="from")] = None,
        end: Annotated[Moment, Query(alias="to")] = None,
        points: int = 1000,
    ) -> Response:
        """Read metrics from a step or time (ms since 1970) to another; of equally wide stretches of a long
        one the smallest and the largest values are kept."""
        found = facts.series(project, run_id, metric, axis=x, begin=begin, end=end, points=points)
        return _json(request, {"series": found})

    @routes.get("/artifacts")
    def artifacts(project: str, run_id: str, path: Name = "") -> Artifacts:
        """List a folder of the run's artifacts, or their root."""
        return Artifacts(files=facts.files(project, run_id, path))

    @routes.get("/artifact", response_class=StreamingResponse)
    def artifact(project: str, run_id: str, path: Name) -> Any:
        """Read a file; images and plain texts are shown by a browser, all else is saved."""
        content = facts.file(project, run_id, path)
        name = path.rpartition("/")[2]
        kind = _SHOWN.get(name.rpartition(".")[2].lower())
        way = "attachment" if kind is None else "inline"
        headers = {
            "Content-Disposition": f"{way}; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": _SANDBOX,
            "Cache-Control": "private, max-age=60",
        }
        if content.size_bytes is not None:
            headers["Content-Length"] = str(content.size_bytes)
        return StreamingResponse(
            content.pieces, media_type=kind or "application/octet-stream", headers=headers
        )

    @routes.get("/log")
    def log(project: str, run_id: str, name: Name = "") -> RunLog:
        """Read the end of what the run printed: of its newest log, unless one is named."""
        return facts.log(project, run_id, name)

    return routes


def _json(request: Request, content: Any) -> Response:
    """Curves are long, and half as long compressed."""
    body, headers = orjson.dumps(content), {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, 3), "gzip"
    return Response(body, media_type="application/json", headers=headers)
