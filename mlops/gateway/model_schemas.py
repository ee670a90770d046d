"""OpenAPI of a project's served models: what each takes and gives, as its signature says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops.entities import Deployment

Schema = dict[str, Any]
Tensor = Mapping[str, Any]
"""`name`, `dtype` (NumPy's name, `str` for texts), `shape` (-1 where any length will do) and `required`."""

_ERRORS = {
    "400": "The body is not JSON.",
    "401": "The token is missing or unknown.",
    "404": "The model is not deployed.",
    "413": "The body is too large.",
    "422": "An input is not what the model takes; the message names it.",
    "503": "No replica answers in time, or all have as much as they hold.",
}
_JSON, _FILE = "application/json", "application/octet-stream"


def openapi_of(project: str, served: Sequence[tuple[Deployment, Mapping[str, Any]]]) -> Schema:
    """The document, of deployments with what their replicas say of themselves: `inputs`, `outputs` (None
    where the model does not say) and `takes_files`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Models of {project}", "version": "1"},
        "security": [{"token": []}],
        "paths": {
            f"/projects/{project}/models/{each.model}/predict": {"post": _operation(each, told)}
            for each, told in served
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
        },
    }


def schema_of(tensor: Tensor, *, given: bool) -> Schema:
    """JSON Schema of a tensor as nested lists. What a model gave (not what it is `given`) holds null where a
    number is not finite."""
    schema = _leaf(str(tensor["dtype"]), given)
    for length in reversed(tensor["shape"]):
        bounds = {"minItems": 1} if length < 0 else {"minItems": length, "maxItems": length}
        schema = {"type": "array", "items": schema, **(bounds if given else {})}
    return schema


def _operation(deployment: Deployment, told: Mapping[str, Any]) -> Schema:
    content: Schema = {_JSON: {"schema": _whole("inputs", told["inputs"], given=True)}}
    if told["takes_files"]:
        content[_FILE] = {"schema": {"type": "string", "format": "binary"}}
    outputs = {"type": "object"} if told["takes_files"] else None
    answer = outputs or _whole("outputs", told["outputs"], given=False)
    refusals: Schema = {
        status: {
            "description": why,
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, why in _ERRORS.items()
    }
    return {
        "operationId": f"predict_{re.sub('[^A-Za-z0-9]', '_', deployment.model)}",
        "summary": f"Version {deployment.version} of {deployment.model}",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "The outputs.", "content": {_JSON: {"schema": answer}}},
            **refusals,
        },
    }


def _whole(side: str, tensors: Sequence[Tensor] | None, *, given: bool) -> Schema:
    known: Schema = {"type": "object"}
    if tensors is not None:
        known["properties"] = {each["name"]: schema_of(each, given=given) for each in tensors}
        if given:
            known["additionalProperties"] = False
            known["required"] = [each["name"] for each in tensors if each["required"]]
    return {"type": "object", "required": [side], "properties": {side: known}}


def _leaf(dtype: str, given: bool) -> Schema:
    if dtype == "bool":
        return {"type": "boolean"}
    if dtype == "str":
        return {"type": "string"}
    whole = re.fullmatch(r"(u?)int(\d+)", dtype)
    if whole is None:
        return {"type": "number"} if given else {"type": ["number", "null"]}
    bits = int(whole[2]) - (not whole[1])
    return {"type": "integer", "minimum": 0 if whole[1] else -(2**bits), "maximum": 2**bits - 1}


_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "remedy": {"type": "string"},
                "fields": {"type": "object"},
            },
        }
    },
}
