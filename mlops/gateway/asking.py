"""One inference of a request, whatever protocol it speaks."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

from mlops.errors import InvalidInput
from mlops.logs.context import PROJECT
from mlops.platform import Platform
from mlops.serving.connections import Answer
from mlops.serving.hangup import unless_gone
from mlops.serving.routing import LONGEST_S

ROUTING_KEY = "X-MLOps-Routing-Key"
"""Names the caller: the same name gets the same side of a canary."""
TIMEOUT = "X-Request-Timeout"
"""After how many seconds the caller has no use for an answer."""


async def ask(
    platform: Platform,
    request: Request,
    project: str,
    model: str,
    *,
    path: str = "/predict",
    headers: Mapping[str, str],
    version: int | None = None,
) -> Answer:
    """Have the model answer the request's body; see `Platform.infer`. Raises `CallerGone` where the caller
    hangs up before, and `InvalidInput` for a time-out that is none."""
    PROJECT.set(project)
    deadline_s = _deadline(request.headers.get(TIMEOUT))
    body = await request.body()
    told = {
        "http.request.method": request.method,
        "url.path": request.scope["path"],
        "mlops.project": project,
        "mlops.model": model,
        "mlops.request_id": request.state.request_id,
    }
    with platform.traces.span("inference", "SERVER", told, request.headers) as span:
        work = platform.infer(
            project,
            model,
            body,
            request_id=request.state.request_id,
            caller=request.headers.get(ROUTING_KEY, ""),
            path=path,
            headers=headers,
            version=version,
            deadline_s=deadline_s,
            arrived=request.state.arrived,
        )
        answer = await unless_gone(request.receive, work)
        if span is not None:
            span.set_attributes({"http.response.status_code": answer.status, "mlops.version": answer.version})
        return answer


def _deadline(stated: str | None) -> float | None:
    if stated is None:
        return None
    try:
        seconds = float(stated)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_S:
        raise InvalidInput(
            TIMEOUT, stated[:40], "is no number of seconds", remedy=f"Send one up to {LONGEST_S:g}."
        )
    return seconds
