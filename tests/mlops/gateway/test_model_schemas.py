"""OpenAPI of served models: valid, and true to what replicas check."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from mlops.entities import Deployment, DeploymentState, Side
from mlops.gateway.model_schemas import openapi_of, schema_of
from mlops.serving.runtimes.signature import InputProblem, Signature, Tensor, check

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DEPTH = Deployment(1, "alpha", "depth-net", 3, DeploymentState.RUNNING, 1, "", NOW, NOW)
X = Tensor("x", "float32", (-1, 2))
SHIFT = Tensor("shift", "int8", (1,), required=False)
TOLD = {"inputs": [asdict(X), asdict(SHIFT)], "outputs": [asdict(X)], "takes_files": False}
PATH = "/projects/alpha/models/depth-net/predict"


def body_schema(**changes: Any) -> dict[str, Any]:
    content = openapi_of("alpha", [(DEPTH, TOLD | changes)])["paths"][PATH]["post"]["requestBody"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


@pytest.mark.parametrize("changes", [{}, {"outputs": None}, {"takes_files": True}])
def test_the_document_is_openapi(changes: dict[str, Any]) -> None:
    document = openapi_of("alpha", [(DEPTH, TOLD | changes)])
    validate(document)
    content = document["paths"][PATH]["post"]["requestBody"]["content"]
    assert ("application/octet-stream" in content) == bool(changes.get("takes_files"))


def test_without_a_served_model_it_is_empty_and_valid() -> None:
    document = openapi_of("alpha", [])
    validate(document)
    assert document["paths"] == {}


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": [[1, 2.5]]},
        {"x": [[1, 2], [3, 4]], "shift": [-128]},
        {"x": []},
        {"x": [[1]]},
        {"x": [[1, 2, 3]]},
        {"x": [1, 2]},
        {"x": [[1, "a"]]},
        {"x": [[1, None]]},
        {"x": [[True, False]]},
        {"x": [[1, 2], [3]]},
        {"x": [[1, 2]], "shift": [128]},
        {"x": [[1, 2]], "shift": [1.5]},
        {"x": [[1, 2]], "shift": []},
        {"x": [[1, 2]], "other": [1]},
        {"shift": [1]},
        {},
    ],
    ids=str,
)
def test_the_schema_takes_what_a_replica_takes(inputs: dict[str, Any]) -> None:
    try:
        check(Signature((X, SHIFT)), inputs)
        taken = True
    except InputProblem:
        taken = False
    assert jsonschema.Draft202012Validator(body_schema()).is_valid({"inputs": inputs}) == taken


@pytest.mark.parametrize(
    ("dtype", "taken", "refused"),
    [
        ("uint8", [0, 255], [-1, 256, 0.5]),
        ("int64", [-(2**63), 2**63 - 1], [2**63]),
        ("bool", [True], [1]),
        ("str", ["a"], [1]),
        ("float64", [1, -2.5], ["1"]),
    ],
)
def test_every_type_has_its_own_bounds(dtype: str, taken: list[Any], refused: list[Any]) -> None:
    schema = jsonschema.Draft202012Validator(schema_of(asdict(Tensor("x", dtype, ())), given=True))
    assert all(schema.is_valid(value) for value in taken)
    assert not any(schema.is_valid(value) for value in refused)


def test_answers_hold_null_for_what_is_not_finite() -> None:
    schema = schema_of(asdict(X), given=False)
    jsonschema.validate([[1.0, None]], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([["a"]], schema)


def test_a_projects_document_tells_its_champions_alone(alpha: TestClient, serve, replica_server) -> None:
    serve("alpha", "depth", replica_server().url, version=3)
    serve("alpha", "depth", replica_server().url, version=4, side=Side.CANARY, weight=10)
    serve("alpha", "dead", "http://127.0.0.1:9")
    serve("beta", "other", replica_server().url)
    answer = alpha.get("/projects/alpha/openapi.json")
    assert answer.status_code == 200
    document = answer.json()
    validate(document)
    assert list(document["paths"]) == ["/projects/alpha/models/depth/predict"]
    assert (
        document["paths"]["/projects/alpha/models/depth/predict"]["post"]["summary"] == "Version 3 of depth"
    )
    assert alpha.get("/projects/beta/openapi.json").status_code == 403
    assert "mlops_inferences_total{" not in alpha.get("/metrics").text, "a question is no inference"
