"""The HTTP face of one replica: a Bento's inner service object behind JSON, a secret and a size cap."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.serving import scoring, v2
from mlops.serving.headers import HEADER_LENGTH, MODEL_HEADER, SECRET_HEADER, VERSION_HEADER

_JSON, _BINARY = "application/json", "application/octet-stream"

MAX_BODY = 32 * 1024 * 1024
"""Bytes of the largest request body that a replica reads."""

_log = logging.getLogger(__name__)


class Predictor(Protocol):
    """A Bento's inner service object."""

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Nested lists by name, in and out; an error with `mlops_problem` means a wrong input."""

    def compute(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays by name, in and out; raises as `predict` does."""

    def signature(self) -> dict[str, Any]:
        """`inputs` and `outputs`: lists of arrays with name, dtype and shape."""


Protocolled = Callable[[Predictor, bytes, Mapping[str, str]], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


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
    """`POST /predict`, `/v2/infer` and `/v2/metadata` (Open Inference Protocol), `/invocations` (MLflow's
    scoring protocol), and `GET /healthz`, for holders of the secret only.

    /predict answers 200 with `{"outputs": {name: nested lists}}`; 400 on a body that is not JSON, 401 without
    the secret, 404, 405, 413 on a body over the cap, 415 on another content type, 422 on an input that
    the signature does not take, 500 when the model fails. Every error is
    `{"error": {"type", "message", "remedy", "fields"}}`.
    """
    pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="predict")

    def answers(protocol: Protocolled, *content_types: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            _check_content_type(request, content_types)
            body = await _read(request, options.max_body)
            work = partial(protocol, model, body, request.headers)
            return await asyncio.get_running_loop().run_in_executor(pool, work)

        return endpoint

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    app = Starlette(
        routes=[
            Route("/predict", answers(_predict, _JSON), methods=["POST"]),
            Route("/v2/infer", answers(_infer, _JSON, _BINARY), methods=["POST"]),
            Route("/invocations", answers(_invoke, _JSON, "text/csv"), methods=["POST"]),
            Route("/v2/metadata", answers(_describe, _JSON), methods=["POST"]),
            Route("/healthz", healthz),
        ],
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


def _check_content_type(request: Request, taken: Sequence[str]) -> None:
    given = _content_type(request.headers)
    if given not in taken:
        raise RequestRefused(
            415,
            f"a body of type {given[:80]!r} is not taken",
            f"Send {' or '.join(taken)}.",
            {"content_type": given},
        )


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", _JSON).split(";")[0].strip().lower()


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


def _predict(model: Predictor, body: bytes, _: Mapping[str, str]) -> Response:
    return _as_json({"outputs": _asked(model.predict, _inputs(body))})


def _describe(model: Predictor, _: bytes, __: Mapping[str, str]) -> Response:
    signature = model.signature()
    return _as_json({side: v2.tensors(signature[side]) for side in ("inputs", "outputs")})


def _infer(model: Predictor, body: bytes, headers: Mapping[str, str]) -> Response:
    stated = headers.get(HEADER_LENGTH)
    try:
        if stated is not None and not stated.isdecimal():
            raise v2.Malformed(HEADER_LENGTH, f"{stated[:20]!r} is no number of bytes")
        inference = v2.read_request(body, None if stated is None else int(stated))
        answer, header = v2.write_answer(
            _asked(model.compute, inference.inputs), inference,
            model=headers.get(MODEL_HEADER, ""), version=headers.get(VERSION_HEADER, ""),
        )  # fmt: skip
    except v2.Malformed as problem:
        raise RequestRefused(
            400, str(problem), "See the Open Inference Protocol, version 2.", {"field": problem.field}
        ) from None
    if header is None:
        return Response(answer, media_type=_JSON)
    return Response(answer, headers={HEADER_LENGTH: str(header)}, media_type=_BINARY)


def _invoke(model: Predictor, body: bytes, headers: Mapping[str, str]) -> Response:
    try:
        inputs = scoring.read_invocation(body, _content_type(headers), model.signature()["inputs"])
    except scoring.Unreadable as problem:
        raise RequestRefused(400, str(problem), "Send what `mlflow models serve` takes.") from None
    return _as_json(scoring.write_predictions(_asked(model.predict, inputs)))


def _as_json(content: dict[str, Any]) -> Response:
    return Response(json.dumps(content, allow_nan=False, separators=(",", ":")), media_type=_JSON)


def _asked(verb: Callable[[dict[str, Any]], dict[str, Any]], inputs: dict[str, Any]) -> dict[str, Any]:
    """What the model answers; its problems as errors of ours."""
    try:
        return verb(inputs)
    except Exception as error:  # noqa: BLE001 - a model's own code may fail in any way
        problem = getattr(error, "mlops_problem", None)
        if problem is None:
            _log.exception("predict failed")
            raise _model_failed() from None
        raise RequestRefused(
            422, f"{problem['field']}: {problem['problem']}", problem["remedy"], {"field": problem["field"]}
        ) from None


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
    remedy = "Use POST /predict, /v2/infer, /v2/metadata, /invocations, or GET /healthz."
    shape = RequestRefused(
        error.status_code,
        error.detail,
        remedy,
        kind=kind,
    )
    return JSONResponse(shape.body, error.status_code, dict(error.headers or {}))


def _fail(_: Request, error: Exception) -> Response:
    shape = _model_failed()
    return JSONResponse(shape.body, shape.status)


def _model_failed() -> RequestRefused:
    return RequestRefused(
        500, "the model failed on this input", "Its log has the traceback.", kind="ModelFailed"
    )
