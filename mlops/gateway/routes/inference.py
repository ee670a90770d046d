"""The data plane: inputs in, outputs out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from mlops.platform import Platform

ROUTING_KEY = "X-MLOps-Routing-Key"
"""Names the caller: the same name gets the same side of a canary."""

_SCHEMA: dict[str, Any] = {
    "parameters": [
        {
            "name": ROUTING_KEY,
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "Names the caller: the same name gets the same side of a canary.",
        }
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
            }
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
    """POST /projects/{project}/models/{model}/predict."""
    routes = APIRouter(prefix="/projects/{project}/models/{model}", tags=["inference"])

    @routes.post("/predict", openapi_extra=_SCHEMA)
    async def predict(project: str, model: str, request: Request) -> Response:
        """Have the deployed model answer; its own 4xx errors come through as they are."""
        answer = await platform.infer(
            project,
            model,
            await request.body(),
            request_id=request.state.request_id,
            caller=request.headers.get(ROUTING_KEY, ""),
        )
        return Response(
            answer.body,
            answer.status,
            headers={"X-Model-Version": str(answer.version)},
            media_type=answer.content_type,
        )

    return routes
