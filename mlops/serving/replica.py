"""The HTTP face of one replica: a Bento's inner service object behind JSON, a secret and a size cap."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops import features
from mlops.errors import MLOpsError
from mlops.serving import jsons, scoring, v2
from mlops.serving.batching import Batcher, Ran, alone
from mlops.serving.hangup import CallerGone, unless_gone
from mlops.serving.headers import (
    FEATURES_HEADER,
    HEADER_LENGTH,
    LOG_HEADER,
    MODEL_HEADER,
    REQUEST_ID_HEADER,
    SECRET_HEADER,
    VERSION_HEADER,
    WORK_HEADER,
)
from mlops.serving.own_features import OwnFeatures
from mlops.serving.runtimes.runtime import as_lists
from mlops.traces import Traces

_JSON, _BINARY = "application/json", "application/octet-stream"
_NO_FILES = frozenset({_JSON, "multipart/form-data"})
"""Content types that are no whole file; a caller's client may call a file anything else."""

MAX_BODY = 32 * 1024 * 1024
"""Bytes of the largest request body that a replica reads."""

_MOST_WORKERS = 16

_log = logging.getLogger(__name__)


class Predictor(Protocol):
    """A Bento's inner service object."""

    def check(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Nested lists or arrays as the arrays that `run` takes; an error with `mlops_problem` names what the
        signature does not take."""

    takes_files: bool
    feature_maker: features.Function | None
    """The project's function that makes the features that are logged; None where the usual are."""

    def answer_file(
        self, body: bytes, infer: Callable[[Mapping[str, Any]], dict[str, Array]]
    ) -> dict[str, Any]:
        """What the project makes of a whole file, where the model `takes_files`; `infer` asks the model.
        Raises as `check` does for a file that it does not take."""

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """What the model makes of them."""

    def signature(self) -> dict[str, Any]:
        """`inputs` and `outputs`: lists of arrays with name, dtype and shape."""


Array = NDArray[Any]
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
    max_batch: int = 1
    """Rows of several requests that one call of the model may answer; with more than 1 as many requests are
    read at a time as there may be in a call."""
    max_body: int = MAX_BODY
    otlp_endpoint: str | None = None
    """The OpenTelemetry collector that gets the replica's part of each trace."""

    @property
    def workers(self) -> int:
        """Threads that read requests, ask the model and write answers."""
        return self.concurrency if self.max_batch == 1 else min(self.max_batch + 1, _MOST_WORKERS)


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
    from mlops.hardware.compute import which_compute
    from mlops.serving.bento import open_service

    providers = which_compute().onnx_providers()
    return create_app(open_service(bento, options.threads, providers), options)


def create_app(model: Predictor, options: ReplicaOptions) -> ASGIApp:
    """`POST /predict`, `/v2/infer` and `/v2/metadata` (Open Inference Protocol), `/invocations` (MLflow's
    scoring protocol), `/signature` (what the model takes), `GET /healthz`, for holders of the secret only.

    /predict takes `{"inputs": {name: nested lists}}`, or a whole file where the model takes some, and answers
    200 with `{"outputs": {name: nested lists}}`, or with what the project makes of the file; 400 on a body
    that is not JSON, 401 without the secret, 404, 405, 413 on a body over the cap, 415 on another content
    type, 422 on an input that the signature, or a file that the project, does not take, 500 when the model
    fails. Every error is `{"error": {"type", "message", "remedy", "fields"}}`.
    """
    pool = ThreadPoolExecutor(options.workers, thread_name_prefix="predict")
    run = alone(model.run) if options.max_batch == 1 else Batcher(model.run, options.max_batch)

    make = features.usual if model.feature_maker is None else OwnFeatures(model.feature_maker)
    traces = Traces(options.otlp_endpoint, "mlops-replica")

    def answers(protocol: Protocolled, *content_types: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            _check_content_type(request, content_types)
            body = await _read(request, options.max_body)
            inference = _Inference(model, run, make, time.perf_counter(), request.headers)
            work = partial(_answer, protocol, inference, body, request.headers)
            with traces.span("answer", "SERVER", _of_request(request), request.headers) as span:
                # What waits for a thread and has no caller any more is not begun.
                answered = asyncio.get_running_loop().run_in_executor(pool, work)
                response = await unless_gone(request.receive, answered)
                if span is not None:
                    span.set_attributes(inference.told())
            return response

        return endpoint

    ask, ask_file = answers(_predict, _JSON), answers(_predict_file)

    async def predict(request: Request) -> Response:
        is_file = model.takes_files and _content_type(request.headers) not in _NO_FILES
        return await (ask_file if is_file else ask)(request)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    app = Starlette(
        routes=[
            Route("/predict", predict, methods=["POST"]),
            Route("/v2/infer", answers(_infer, _JSON, _BINARY), methods=["POST"]),
            Route("/invocations", answers(_invoke, _JSON, "text/csv"), methods=["POST"]),
            Route("/v2/metadata", answers(_describe, _JSON), methods=["POST"]),
            Route("/signature", answers(_signature, _JSON), methods=["POST"]),
            Route("/healthz", healthz),
        ],
        exception_handlers={
            RequestRefused: _refuse,
            HTTPException: _refuse_http,
            CallerGone: _hang_up,
            Exception: _fail,
        },
    )
    return _SecretGate(app, options.secret)


def _of_request(request: Request) -> dict[str, str | int | float]:
    return {
        "http.request.method": request.method,
        "url.path": request.scope["path"],
        "mlops.request_id": request.headers.get(REQUEST_ID_HEADER, ""),
    }


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
    """Refuse what is none of `taken`, if there are some."""
    given = _content_type(request.headers)
    if taken and given not in taken:
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


@dataclass(slots=True)
class _Inference:
    """One request's use of the model, and what it leaves for the log."""

    model: Predictor
    run: Callable[[Mapping[str, Array]], Ran]
    make: features.Make
    since: float
    """When it was handed to the threads."""
    headers: Mapping[str, str]
    inputs: Mapping[str, Array] | None = None
    outputs: Mapping[str, Array] | None = None
    seconds: float = 0.0
    waited: float = 0.0
    together: int = 1

    def told(self) -> dict[str, str | int | float]:
        """Of the request's span."""
        return {
            "mlops.queue_s": self.waited,
            "mlops.model_s": self.seconds,
            "mlops.batch_requests": self.together,
        }

    def ask(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """What the model answers; its problems as errors of ours."""
        with _problems_told(self.headers):
            self.inputs = self.model.check(given)
            ran = self.run(self.inputs)
        self.seconds += ran.seconds
        self.waited += ran.waited
        self.together = max(self.together, ran.together)
        self.outputs = ran.outputs
        return ran.outputs


@contextmanager
def _problems_told(headers: Mapping[str, str]) -> Iterator[None]:
    """What the model's or the project's own code raises, as errors of ours."""
    try:
        yield
    except RequestRefused:
        raise
    except MLOpsError as error:
        raise RequestRefused(422, error.message, error.remedy, {}, type(error).__name__) from None
    except Exception as error:  # noqa: BLE001 - such code may fail in any way
        problem = getattr(error, "mlops_problem", None)
        if problem is None:
            request_id = headers.get(REQUEST_ID_HEADER, "")
            _log.exception("predict failed", extra={"event": "inference.failed", "request_id": request_id})
            raise _model_failed() from None
        raise RequestRefused(
            422, f"{problem['field']}: {problem['problem']}", problem["remedy"], {"field": problem["field"]}
        ) from None


Protocolled = Callable[[_Inference, bytes, Mapping[str, str]], Response]


def _answer(
    protocol: Protocolled, inference: _Inference, body: bytes, headers: Mapping[str, str]
) -> Response:
    inference.waited = time.perf_counter() - inference.since
    response = protocol(inference, body, headers)
    response.headers[WORK_HEADER] = f"{inference.waited:.6f} {inference.together}"
    if LOG_HEADER in headers and inference.inputs is not None and inference.outputs is not None:
        told = features.told(inference.inputs, inference.outputs, inference.seconds, inference.make)
        response.headers[FEATURES_HEADER] = told
    return response


def _predict(inference: _Inference, body: bytes, _: Mapping[str, str]) -> Response:
    return _as_json({"outputs": as_lists(inference.ask(_inputs(body)))})


def _predict_file(inference: _Inference, body: bytes, _: Mapping[str, str]) -> Response:
    with _problems_told(inference.headers):
        return _as_json({"outputs": inference.model.answer_file(body, inference.ask)})


def _describe(inference: _Inference, _: bytes, __: Mapping[str, str]) -> Response:
    signature = inference.model.signature()
    return _as_json({side: v2.tensors(signature[side]) for side in ("inputs", "outputs")})


def _signature(inference: _Inference, _: bytes, __: Mapping[str, str]) -> Response:
    return _as_json({**inference.model.signature(), "takes_files": inference.model.takes_files})


def _infer(inference: _Inference, body: bytes, headers: Mapping[str, str]) -> Response:
    stated = headers.get(HEADER_LENGTH)
    try:
        if stated is not None and not stated.isdecimal():
            raise v2.Malformed(HEADER_LENGTH, f"{stated[:20]!r} is no number of bytes")
        request = v2.read_request(body, None if stated is None else int(stated))
        answer, header = v2.write_answer(
            inference.ask(request.inputs), request,
            model=headers.get(MODEL_HEADER, ""), version=headers.get(VERSION_HEADER, ""),
        )  # fmt: skip
    except v2.Malformed as problem:
        raise RequestRefused(
            400, str(problem), "See the Open Inference Protocol, version 2.", {"field": problem.field}
        ) from None
    if header is None:
        return Response(answer, media_type=_JSON)
    return Response(answer, headers={HEADER_LENGTH: str(header)}, media_type=_BINARY)


def _invoke(inference: _Inference, body: bytes, headers: Mapping[str, str]) -> Response:
    try:
        signature = inference.model.signature()["inputs"]
        inputs = scoring.read_invocation(body, _content_type(headers), signature)
    except scoring.Unreadable as problem:
        raise RequestRefused(400, str(problem), "Send what `mlflow models serve` takes.") from None
    return _as_json(scoring.write_predictions(as_lists(inference.ask(inputs))))


def _as_json(content: dict[str, Any]) -> Response:
    return Response(jsons.write(content), media_type=_JSON)


def _inputs(body: bytes) -> dict[str, Any]:
    try:
        content = jsons.read(body)
    except ValueError as error:
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


def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)  # noqa: S101
    return JSONResponse(error.body, error.status)


def _refuse_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = "NotFound" if error.status_code == 404 else "InvalidInput"
    remedy = "Use POST /predict, /v2/infer, /v2/metadata, /invocations, /signature, or GET /healthz."
    shape = RequestRefused(
        error.status_code,
        error.detail,
        remedy,
        kind=kind,
    )
    return JSONResponse(shape.body, error.status_code, dict(error.headers or {}))


def _hang_up(_: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


def _fail(_: Request, error: Exception) -> Response:
    shape = _model_failed()
    return JSONResponse(shape.body, shape.status)


def _model_failed() -> RequestRefused:
    return RequestRefused(
        500, "the model failed on this input", "Its log has the traceback.", kind="ModelFailed"
    )
