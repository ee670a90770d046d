"""Inference by the protocols that other tools speak: Open Inference Protocol v2, and MLflow's scoring."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version as installed
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from mlops.errors import Forbidden, InvalidInput, MLOpsError, Unauthorized
from mlops.gateway.asking import ask
from mlops.gateway.errors import error_response, status_of
from mlops.platform import Platform
from mlops.serving.connections import Answer
from mlops.serving.headers import HEADER_LENGTH
from mlops.serving.v2_errors import error_body

_DISTRIBUTION = "efficientai-toolkit"


def v2_routes(platform: Platform) -> APIRouter:
    """/projects/{project}/v2: server and model metadata, health, infer."""
    routes = APIRouter(prefix="/projects/{project}/v2", tags=["open inference protocol"])

    @routes.get("")
    def server(project: str) -> dict[str, Any]:
        """What this server is."""
        return {
            "name": _DISTRIBUTION, "version": installed(_DISTRIBUTION), "extensions": ["binary_tensor_data"],
        }  # fmt: skip

    @routes.get("/health/live")
    def live(project: str) -> dict[str, bool]:
        """Whether the gateway runs."""
        return {"live": True}

    @routes.get("/health/ready")
    async def ready(project: str) -> dict[str, bool]:
        """Whether the project's models may be asked."""
        await asyncio.to_thread(platform.project, project)
        return {"ready": True}

    for path in ("/models/{model}", "/models/{model}/versions/{version}"):
        _model_routes(routes, path, platform)
    return routes


def _model_routes(routes: APIRouter, path: str, platform: Platform) -> None:
    async def described(project: str, model: str, version: str | None, request: Request) -> Answer:
        number = _number(version)
        if number is None:
            number = (await asyncio.to_thread(platform.deployment, project, model)).version
        return await platform.infer(
            project, model, b"{}", path="/v2/metadata", version=number, request_id=request.state.request_id
        )

    @routes.get(path)
    async def metadata(project: str, model: str, request: Request, version: str | None = None) -> Response:
        """The arrays that the model takes and gives."""
        try:
            answer = await described(project, model, version, request)
        except MLOpsError as error:
            return _refused(error)
        if answer.status != 200:
            return _told(answer.status, json.loads(answer.body)["error"])
        named = {"name": model, "versions": [str(answer.version)], "platform": ""}
        return JSONResponse(named | json.loads(answer.body))

    @routes.get(f"{path}/ready")
    async def ready(project: str, model: str, request: Request, version: str | None = None) -> Response:
        """Whether a replica of the model answers."""
        try:
            answer = await described(project, model, version, request)
        except MLOpsError as error:
            return _refused(error)
        return JSONResponse({"name": model, "ready": answer.status == 200})

    @routes.post(f"{path}/infer")
    async def infer(project: str, model: str, request: Request, version: str | None = None) -> Response:
        """Have the model answer tensors, as JSON or binary."""
        given = (HEADER_LENGTH, "Content-Type")
        headers = {name: request.headers[name] for name in given if name in request.headers}
        if HEADER_LENGTH in headers:
            headers["Content-Type"] = "application/octet-stream"
        try:
            answer = await ask(
                platform, request, project, model, path="/v2/infer", headers=headers, version=_number(version)
            )
        except MLOpsError as error:
            return _refused(error)
        if answer.status != 200:
            return _told(answer.status, json.loads(answer.body)["error"])
        return Response(answer.body, headers=dict(answer.headers), media_type=answer.content_type)


def scoring_routes(platform: Platform) -> APIRouter:
    """POST /projects/{project}/models/{model}/invocations, and /invocations by HTTP Basic."""
    routes = APIRouter(tags=["mlflow scoring"])

    async def invoke(project: str, model: str, request: Request) -> Response:
        kind = request.headers.get("Content-Type", "application/json")
        headers = {"Content-Type": kind}
        answer = await ask(platform, request, project, model, path="/invocations", headers=headers)
        version = {"X-Model-Version": str(answer.version)}
        return Response(answer.body, answer.status, headers=version, media_type=answer.content_type)

    @routes.post("/projects/{project}/models/{model}/invocations")
    async def invocations(project: str, model: str, request: Request) -> Response:
        """Have the model answer as `mlflow models serve` does."""
        return await invoke(project, model, request)

    @routes.post("/invocations")
    async def bare(request: Request) -> Response:
        """The same for MLflow's own client, which takes no path: HTTP Basic, the user `project/model`, the
        password a token."""
        project, _, model = request.state.user.partition("/")
        if not model:
            raise Unauthorized
        if not request.state.principal.may_use(project):
            raise Forbidden(f"use project {project!r}")
        return await invoke(project, model, request)

    return routes


def _number(version: str | None) -> int | None:
    if version is None:
        return None
    if not version.isdecimal() or not 0 < int(version) < 2**31:
        raise InvalidInput("version", version, "is no version", remedy="Use a registered version's number.")
    return int(version)


def _refused(error: MLOpsError) -> JSONResponse:
    usual = error_response(error)
    headers = {name: value for name, value in usual.headers.items() if name.startswith(("retry", "www"))}
    return _told(status_of(error), {"message": error.message, "remedy": error.remedy}, headers)


def _told(status: int, error: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(error_body(error), status, headers=headers)
