"""The HTTP face of one replica: a Bento's inner service object behind JSON, a secret and a size cap."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

SECRET_HEADER = "X-MLOps-Replica-Secret"  # noqa: S105 - a name

MAX_BODY = 32 * 1024 * 1024
"""Bytes of the largest request body that a replica reads."""

_log = logging.getLogger(__name__)


class Predictor(Protocol):
    """A Bento's inner service object."""

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Nested lists by name, in and out; an error with `mlops_problem` means a wrong input."""


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """How a replica runs."""

    secret: str = field(repr=False)
    """What each request must carry in `SECRET_HEADER`."""
    threads: int = 1
    """Threads the model uses for one answer."""
    concurrency: int = 2
    """Answers computed at a time: one computes while the other's JSON is read or written."""
    max_body: int = MAX_BODY


class RequestRefused(Exception):
    """A request that is refused, with its status and the one error shape."""

    def __init__(
        self, status: int, message: str, remedy: str, fields: dict[str, Any] | None = None, kind: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "error": {
                "type": kind or "InvalidInput",
                "message": message,
                "remedy": remedy,
                "fields": fields or {},
            }
        }


def open_replica(bento: Path, options: ReplicaOptions) -> ASGIApp:
    """The application of the Bento in that folder."""
    from mlops.serving.bento import open_service

    return create_app(open_service(bento, options.threads), options)


def create_app(model: Predictor, options: ReplicaOptions) -> ASGIApp:
    """`POST /predict` and `GET /healthz`, both for holders of the secret only.

    Answers 200 with `{"outputs": {name: nested lists}}`; 400 on a body that is not JSON, 401 without
    the secret, 404, 405, 413 on a body over the cap, 415 on another content type, 422 on an input that
    the signature does not take, 500 when the model fails. Every error is
    `{"error": {"type", "message", "remedy", "fields"}}`.
    """
    pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="predict")

    async def predict(request: Request) -> Response:
        _check_content_type(request)
        body = await _read(request, options.max_body)
        answer = await asyncio.get_running_loop().run_in_executor(pool, _answer, model, body)
        return Response(answer, media_type="application/json")

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    app = Starlette(
        routes=[Route("/predict", predict, methods=["POST"]), Route("/healthz", healthz)],
        exception_handlers={RequestRefused: _refuse, HTTPException: _refuse_http, Exception: _fail},
    )
    return _SecretGate(app, options.secret)


class _SecretGate:
    """Lets through only who knows the secret."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._header = SECRET_HEADER.lower().encode()
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and not self._knows(scope):
            await _unauthorized(scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == self._header]
        return len(given) == 1 and hmac.compare_digest(given[0], self._secret)


def _unauthorized(scope: Scope) -> ASGIApp:
    if scope["type"] != "http":
        return _close
    error = RequestRefused(
        401,
        f"the header {SECRET_HEADER} is missing or wrong",
        "Call the gateway: a replica answers nobody else.",
        kind="Unauthorized",
    )
    return JSONResponse(error.body, error.status)


async def _close(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})


def _check_content_type(request: Request) -> None:
    given = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if given != "application/json":
        raise RequestRefused(
            415,
            f"a body of type {given[:80]!r} is not taken",
            "Send application/json.",
            {"content_type": given},
        )


async def _read(request: Request, limit: int) -> bytes:
    too_large = RequestRefused(
        413, f"the body is over {limit} bytes", "Send fewer rows at a time.", {"limit": limit}
    )
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limit:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def _answer(model: Predictor, body: bytes) -> bytes:
    inputs = _inputs(body)
    try:
        outputs = model.predict(inputs)
    except Exception as error:  # noqa: BLE001 - a model's own code may fail in any way
        problem = getattr(error, "mlops_problem", None)
        if problem is None:
            _log.exception("predict failed")
            raise _model_failed() from None
        raise RequestRefused(
            422, f"{problem['field']}: {problem['problem']}", problem["remedy"], {"field": problem["field"]}
        ) from None
    return json.dumps({"outputs": outputs}, allow_nan=False, separators=(",", ":")).encode()


def _inputs(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(
            400, f"the body is not JSON: {str(error)[:200]}", 'Send {"inputs": {name: nested lists}}.'
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), dict) or len(content) != 1:
        raise RequestRefused(
            422,
            "the body is not an object with `inputs` alone",
            'Send {"inputs": {name: nested lists}}.',
            {"field": "inputs"},
        )
    inputs: dict[str, Any] = content["inputs"]
    return inputs


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)  # noqa: S101
    return JSONResponse(error.body, error.status)


def _refuse_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = "NotFound" if error.status_code == 404 else "InvalidInput"
    shape = RequestRefused(error.status_code, error.detail, "Use POST /predict or GET /healthz.", kind=kind)
    return JSONResponse(shape.body, error.status_code, dict(error.headers or {}))


def _fail(_: Request, error: Exception) -> Response:
    shape = _model_failed()
    return JSONResponse(shape.body, shape.status)


def _model_failed() -> RequestRefused:
    return RequestRefused(
        500, "the model failed on this input", "Its log has the traceback.", kind="ModelFailed"
    )
