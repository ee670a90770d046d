"""The data plane: inputs in, outputs out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from mlops.entities import Inference
from mlops.gateway.asking import ROUTING_KEY, TIMEOUT, ask
from mlops.gateway.model_schemas import openapi_of
from mlops.platform import Platform
from mlops.serving.routing import LONGEST_S

_SCHEMA: dict[str, Any] = {
    "parameters": [
        {
            "name": ROUTING_KEY,
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "Names the caller: the same name gets the same side of a canary.",
        },
        {
            "name": TIMEOUT,
            "in": "header",
            "required": False,
            "schema": {"type": "number", "maximum": LONGEST_S},
            "description": "After how many seconds the caller has no use for an answer.",
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"inputs": {"type": "object"}},
                }
            },
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary"},
                "x-note": "A whole file, where the model takes some.",
            },
        },
    },
    "responses": {
        "200": {
            "description": "The model's outputs; X-Model-Version says which version answered.",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"outputs": {"type": "object"}}}
                }
            },
        }
    },
}


def inference_routes(platform: Platform) -> APIRouter:
    """POST /projects/{project}/models/{model}/predict, and GET …/inferences."""
    routes = APIRouter(prefix="/projects/{project}/models/{model}", tags=["inference"])

    @routes.post("/predict", openapi_extra=_SCHEMA)
    async def predict(project: str, model: str, request: Request) -> Response:
        """Have the deployed model answer; its own 4xx errors come through as they are."""
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        answer = await ask(platform, request, project, model, headers=headers)
        return Response(
            answer.body,
            answer.status,
            headers={"X-Model-Version": str(answer.version)},
            media_type=answer.content_type,
        )

    @routes.get("/inferences")
    def inferences(
        project: str, model: str, count: int = 100, since: datetime | None = None
    ) -> list[Inference]:
        """The newest inferences in the log, newest first, with their features."""
        return platform.inferences(project, model, count, since)

    return routes


def schema_routes(platform: Platform) -> APIRouter:
    """GET /projects/{project}/openapi.json."""
    routes = APIRouter(tags=["inference"])

    @routes.get("/projects/{project}/openapi.json")
    async def openapi(project: str) -> dict[str, Any]:
        """What each served model of the project takes and gives, as OpenAPI."""
        return openapi_of(project, await platform.signatures(project))

    return routes
