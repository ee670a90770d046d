"""One Bento behind the Open Inference Protocol v2, without a platform around it.

`python -m mlops.serving.standalone --bento FOLDER [--host 127.0.0.1] [--port 8080]`: what a KServe predictor
runs. Who may ask is not checked here: that is the cluster's part.
"""

from __future__ import annotations

import argparse
import json
import secrets
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops.errors import InvalidInput, MLOpsError
from mlops.serving import v2
from mlops.serving.base import MAX_ONGOING
from mlops.serving.bento import labels_of
from mlops.serving.headers import HEADER_LENGTH, MODEL_HEADER, SECRET_HEADER, VERSION_HEADER
from mlops.serving.replica import Predictor, ReplicaOptions, create_app
from mlops.serving.v2_errors import error_body

_DISTRIBUTION = "efficientai-toolkit"
_DRAIN_S = 10
_LENGTH = HEADER_LENGTH.lower().encode()
_PASSED_ON = frozenset({b"content-type", b"content-length", _LENGTH})


def open_inference_app(
    model: Predictor, options: ReplicaOptions, *, name: str, number: str, max_ongoing: int = MAX_ONGOING
) -> ASGIApp:
    """The protocol's paths below `/v2` for the one model, called `name` in its version `number`.

    `GET /v2`, `/v2/health/live`, `/v2/health/ready`, `/v2/models/{name}`, `…/ready`, `POST …/infer`, the last
    three also below `…/versions/{number}`. Errors are `{"error": text}`: 404 on another model, version or
    path, 503 with `max_ongoing` inferences under way, and what `create_app` answers, which infers here.
    """
    door = _Infer(create_app(model, options), options.secret, name, number, max_ongoing)

    async def server(_: Request) -> Response:
        return JSONResponse(
            {"name": _DISTRIBUTION, "version": _release(), "extensions": ["binary_tensor_data"]}
        )

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        return JSONResponse({"ready": True})

    async def model_ready(request: Request) -> Response:
        _check_named(request.path_params, name, number)
        return JSONResponse({"name": name, "ready": True})

    async def metadata(request: Request) -> Response:
        _check_named(request.path_params, name, number)
        arrays = model.signature()
        named = {"name": name, "versions": [number], "platform": ""}
        return JSONResponse(named | {side: v2.tensors(arrays[side]) for side in ("inputs", "outputs")})

    routes = [Route("/v2", server), Route("/v2/health/live", live), Route("/v2/health/ready", ready)]
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(path, metadata),
            Route(f"{path}/ready", model_ready),
            Route(f"{path}/infer", door, methods=["POST"]),
        ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refuse})


class _Infer:
    """Hands an inference on to the replica's application, as the gateway would."""

    def __init__(self, replica: ASGIApp, secret: str, name: str, number: str, max_ongoing: int) -> None:
        self._replica = replica
        self._named = name, number
        self._ours = [
            (SECRET_HEADER.lower().encode(), secret.encode()),
            (MODEL_HEADER.lower().encode(), name.encode()),
            (VERSION_HEADER.lower().encode(), number.encode()),
        ]
        self._room = max_ongoing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _check_named(scope["path_params"], *self._named)
        if self._room < 1:
            raise HTTPException(503, "too many inferences are under way", {"Retry-After": "1"})
        self._room -= 1
        try:
            inner = {**scope, "path": "/v2/infer", "root_path": "", "headers": self._headers(scope)}
            await self._replica(inner, receive, _Told(send))
        finally:
            self._room += 1

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        given = {name: value for name, value in scope["headers"] if name in _PASSED_ON}
        if _LENGTH in given:  # clients call such a body what they like
            given[b"content-type"] = b"application/octet-stream"
        return [*given.items(), *self._ours]


class _Told:
    """Sends an answer on; an error of the replica in the protocol's shape."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._tell(self._start)

    async def _tell(self, start: Message) -> None:
        if self._body:  # without one, nobody reads it any more
            self._body = json.dumps(error_body(json.loads(self._body)["error"])).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode()),
        ]
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": self._body})


def _check_named(given: dict[str, Any], name: str, number: str) -> None:
    if given["model"] != name:
        raise HTTPException(404, f"there is no model {given['model'][:80]!r}; there is {name!r}")
    if given.get("version", number) != number:
        raise HTTPException(404, f"{name!r} is here in version {number}, not {given['version'][:80]!r}")


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return JSONResponse(error_body({"message": error.detail}), error.status_code, error.headers)


def _release() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:  # run from its sources
        return ""


# -- the process --------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then answer what was accepted. Exit code 3 on what cannot be served."""
    given = _parser().parse_args(arguments)
    try:
        _serve(given)
    except MLOpsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    return 0


def _serve(given: argparse.Namespace) -> None:
    import uvicorn

    from mlops.hardware.compute import which_compute
    from mlops.serving.bento import open_service

    bento: Path = given.bento.absolute()
    labels = labels_of(bento)
    name, number = labels["model"], labels["version"]
    # Nobody outside this process needs it: the replica's application is asked by ours alone.
    options = ReplicaOptions(secrets.token_hex(32), given.threads, max_batch=given.max_batch)
    with _listener(given.host, given.port) as listener:
        model = open_service(bento, given.threads, which_compute().onnx_providers())
        app = open_inference_app(model, options, name=name, number=number, max_ongoing=given.max_ongoing)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_DRAIN_S,
        )
        sys.stderr.write(f"{name} {number} answers on port {listener.getsockname()[1]} of {given.host}\n")
        uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))  # it listens once the model is open, so that a probe is refused until then
    except (OSError, OverflowError) as error:
        made.close()
        problem = f"cannot be listened on: {error}"
        raise InvalidInput(
            "port", f"{host}:{port}", problem, remedy="Name another --port or --host."
        ) from None
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m mlops.serving.standalone", description=__doc__)
    parser.add_argument("--bento", type=Path, required=True, help="folder of a Bento that mlops:deploy made")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 takes a free one")
    parser.add_argument("--threads", type=_count, default=1, help="threads of one answer")
    parser.add_argument("--max-batch", type=_count, default=1, help="rows of one call of the model")
    parser.add_argument("--max-ongoing", type=_count, default=MAX_ONGOING, help="inferences at a time")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
