"""The one table of errors to HTTP statuses, and the one JSON shape.

{"error": {"type": "ModelNotFound", "message": "…", "remedy": "…", "fields": {…}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from mlops import errors
from mlops.dashboard.frame import Frame
from mlops.serving.hangup import CallerGone

STATUSES: Mapping[type[errors.MLOpsError], int] = {
    errors.ConfigError: 500,
    errors.ProjectFileError: 422,
    errors.InvalidName: 422,
    errors.BackendUnknown: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Refused: 403,
    errors.Unauthorized: 401,
    errors.InvalidInput: 422,
    errors.ServiceError: 502,
    errors.ServiceUnavailable: 503,
    errors.ServiceStartFailed: 503,
    errors.DeploymentFailed: 502,
    errors.NotDelivered: 502,
    errors.DriftReportFailed: 502,
    errors.DataError: 409,
    errors.JournalError: 500,
}
"""A class without a row takes its nearest base's."""

RETRY_AFTER_S = 1
CALLER_GONE = 499
"""As nginx has it; nobody reads it."""

_TYPES = {400: "InvalidInput", 404: "NotFound", 405: "InvalidInput", 408: "InvalidInput", 413: "InvalidInput"}
_REMEDIES = {
    404: "See the paths in /openapi.json.",
    405: "See the methods in /openapi.json.",
    413: "Send the samples in several requests.",
}


def status_of(error: errors.MLOpsError) -> int:
    """The HTTP status of `error`; 500 for a class that no row covers."""
    return next((STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES), 500)


def error_response(error: errors.MLOpsError, status: int | None = None) -> JSONResponse:
    """`error` in the one shape."""
    status = status or status_of(error)
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(jsonable_encoder(error.to_json()), status, headers=headers)


def unexpected_response(request_id: str) -> JSONResponse:
    """What a caller sees of a fault of ours: the id that finds it in the log, and nothing else."""
    return _shaped(
        500,
        "InternalError",
        "the gateway failed at this request",
        f"Look for {request_id} in `efficientai-toolkit mlops:logs gateway`.",
        {"request_id": request_id},
    )


def add_error_handlers(app: Starlette, frame: Frame | None = None) -> None:
    """Give every error of a route the one shape; people who asked for a page of the dashboard's `frame`
    get one that says it."""

    async def platform_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.MLOpsError)  # noqa: S101 - registered for this class alone
        request.state.problem = error.message
        if frame is not None and request.method == "GET" and _is_for_people(request):
            return await frame.problem(request, error.message, error.remedy, status_of(error))
        return error_response(error)

    app.add_exception_handler(CallerGone, _caller_gone)
    app.add_exception_handler(errors.MLOpsError, platform_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def _is_for_people(request: Request) -> bool:
    """Whether a browser asked for a page of the dashboard, which holds no data of its own."""
    route = request.scope.get("route")
    asked = "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers
    return asked and not getattr(route, "include_in_schema", True)


async def _caller_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CALLER_GONE)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    problems = [
        {"field": ".".join(str(step) for step in problem["loc"][1:]) or "body", "problem": problem["msg"]}
        for problem in error.errors()
    ]
    message = "; ".join(f"{problem['field']}: {problem['problem']}" for problem in problems)
    remedy = "Send the fields as /openapi.json describes them."
    return _shaped(422, "InvalidInput", message, remedy, {"problems": problems})


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = error.status_code
    return _shaped(
        status,
        _TYPES.get(status, "RequestRefused"),
        str(error.detail),
        _REMEDIES.get(status, ""),
        {},
        dict(error.headers or {}),
    )


def _shaped(
    status: int,
    kind: str,
    message: str,
    remedy: str,
    fields: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    content = {"error": {"type": kind, "message": message, "remedy": remedy, "fields": dict(fields)}}
    return JSONResponse(content, status, headers=dict(headers or {}))
