"""What a version's files tell, where clients choose what they hold and where they are said to lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.hardware.ane.report import AneReport, Assumption, Break, TypeRow
from mlops.hardware.ane.sizes import Sizes
from mlops.model_files import ModelFiles
from mlops.store.model_versions import IndexedVersion

INPUTS = json.dumps([{"name": "x", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}])
REPORT = AneReport(
    "depth:2", "onnx", "heuristic", 120, 0, 0.75,
    (TypeRow("Conv", 2, 120, 0, 1.0, 1, 90, None, None, ("too large",), "heuristic"),),
    (Break("c1", "Conv", 30, "too large", "split it", "heuristic"),), 64, Sizes(128, 64, 32),
    (Assumption("batch 1", "heuristic"),),
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return ModelFiles(tmp_path / "artifacts")


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], None]:
    def write(path: str, text: str) -> None:
        place = tmp_path / "artifacts" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    return write


def version(location: str = "mlflow-artifacts:/workspaces/alpha/7/models/m-1/artifacts") -> IndexedVersion:
    run = "mlflow-artifacts:/workspaces/alpha/7/r-1/artifacts"
    return IndexedVersion("alpha", "depth", 2, datetime.now(UTC), location=location, run_location=run)


MODEL = "workspaces/alpha/7/models/m-1/artifacts"


def test_signature_reference_example_and_report(files: ModelFiles, put) -> None:
    put(
        f"{MODEL}/MLmodel",
        f"flavors:\n  onnx: {{}}\n  python_function: {{}}\nsignature:\n  inputs: '{INPUTS}'\n",
    )
    put(f"{MODEL}/monitoring/reference.parquet", "x" * 10)
    put(f"{MODEL}/serving_input_example.json", '{"inputs": {"x": [[1, 2, 3]]}}')
    put("workspaces/alpha/7/r-1/artifacts/ane-report/depth-v2/report.json", json.dumps(asdict(REPORT)))
    found = files.read(version(), "alpha")
    assert (found.flavors, found.reference_bytes, found.problem) == (("onnx", "python_function"), 10, "")
    assert [(each.name, each.dtype, each.shape) for each in found.inputs or ()] == [("x", "float32", (-1, 3))]
    assert found.outputs is None
    assert found.size_bytes > 100
    assert found.ane == REPORT
    assert files.example(version(), "alpha") == {"x": [[1, 2, 3]]}


@pytest.mark.parametrize(
    "location",
    ["", "file:///etc", "mlflow-artifacts:/workspaces/beta/7/models/m-1/artifacts",
     "mlflow-artifacts:/workspaces/alpha/../beta/7/models/m-1/artifacts", "s3://bucket/m",
     "mlflow-artifacts:/../../etc", "mlflow-artifacts:/a\x00b", "mlflow-artifacts:///nowhere"],
)  # fmt: skip
def test_only_the_own_workspace_is_looked_at(files: ModelFiles, put, location: str) -> None:
    put("workspaces/beta/7/models/m-1/artifacts/MLmodel", "flavors: {secret: {}}")
    put("workspaces/beta/7/models/m-1/artifacts/serving_input_example.json", '{"inputs": {"x": 1}}')
    found = files.read(version(location), "alpha")
    assert (found.flavors, found.size_bytes, bool(found.problem)) == ((), 0, True)
    assert files.example(version(location), "alpha") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [("[1", "YAML"), ("flavors: 3", "flavors"), ("x" * 1_000_001, "too large"),
     ("flavors: {}\nsignature: {inputs: '[3]'}", "signature")],
)  # fmt: skip
def test_an_mlmodel_that_is_none_is_told(files: ModelFiles, put, text: str, words: str) -> None:
    put(f"{MODEL}/MLmodel", text)
    assert words in files.read(version(), "alpha").problem


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"model": 3}', "x" * 1_000_001, json.dumps(asdict(REPORT) | {"placeable_share": 1e400})],
)
def test_a_report_or_example_that_is_none_is_none(files: ModelFiles, put, text: str) -> None:
    put(f"{MODEL}/serving_input_example.json", text)
    put("workspaces/alpha/7/r-1/artifacts/ane-report/depth-v2/report.json", text)
    assert files.read(version(), "alpha").ane is None
    assert files.example(version(), "alpha") == {}
