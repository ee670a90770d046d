"""Registered models on the real stack: the index of what MLflow has, a version's files, and the alias that
follows a promotion by the API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops.client import MLOpsClient
from mlops.installation import Installation
from tests.mlops.test_model_files import REPORT


@pytest.fixture(scope="module")
def read(stack: Installation) -> Callable[[str], Any]:
    """Reads a path of the gateway as a member of digits."""
    headers = {"Authorization": f"Bearer {stack.secret('project.digits.token')}"}

    def get(path: str) -> Any:
        answer = httpx.get(stack.gateway_url + path, headers=headers, trust_env=False)
        return answer.json() if answer.is_success else {}

    return get


def until(look: Callable[[], Any], wanted: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_a_served_version_is_told_with_its_run_and_files(
    digits: MLOpsClient, served_digits: Any, read, tmp_path: Path
) -> None:
    number = served_digits.version.version
    path = f"/api/projects/digits/models/digits/versions/{number}"
    until(lambda: read(path).get("aliases"), ["champion"])
    found = read(path)
    assert found["metrics"]
    assert (found["flavor"], found["problem"]) == ("onnx", "")
    assert [(each["name"], each["shape"]) for each in found["inputs"]] == [("X", [-1, 64])]
    assert found["reference_bytes"] > 0
    assert found["ane"] is None
    report = tmp_path / "report.json"
    report.write_text(json.dumps(asdict(REPORT)))
    digits._workspace.registry.attach("digits", number, report, f"ane-report/digits-v{number}")
    assert read(path)["ane"]["placeable_share"] == REPORT.placeable_share
    (model,) = (each for each in read("/api/models") if each["model"] == "digits")
    assert model["champion"]["version"] == number


def test_a_promotion_by_the_api_has_the_alias_follow(
    stack: Installation, digits: MLOpsClient, served_digits: Any, read
) -> None:
    number = served_digits.version.version
    path = f"/api/projects/digits/models/digits/versions/{number}"
    gone = httpx.request(
        "DELETE",
        f"{stack.mlflow_url}/api/2.0/mlflow/registered-models/alias",
        json={"name": "digits", "alias": "champion"},
        headers={"X-MLFLOW-WORKSPACE": digits.project.namespace},
        auth=stack.mlflow_admin(),
        trust_env=False,
    )
    assert gone.is_success
    until(lambda: read(path)["aliases"], [])
    digits._gateway.change("digits", "digits", "promote", version=number)
    until(lambda: read(path)["aliases"], ["champion"])
