"""Tiny real models, as MLflow saves them, and their Bentos."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mlops.entities import Deployment, DeploymentState
from mlops.serving.bento import environment

SECRET = "a-secret-of-the-tests"
HEADERS = {"X-MLOps-Replica-Secret": SECRET}
WEIGHTS = np.array([[1.0], [10.0], [100.0]], dtype=np.float32)

_BUILD = """
import json, sys
from pathlib import Path
from mlops.serving.bento import BentoOrder, build
order = json.load(sys.stdin)
paths = {key: Path(order[key]) for key in ("model", "home", "code") if key in order}
print("\\n" + build(BentoOrder(**order | paths)))
"""


def save_onnx(folder: Path, *, bias: float = 0.0) -> Path:
    """y = x · (1, 10, 100) + bias, with a signature."""
    import mlflow.onnx
    from mlflow.models import infer_signature
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "line",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [
            numpy_helper.from_array(WEIGHTS, "w"),
            numpy_helper.from_array(np.array([bias], dtype=np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    example = {"x": np.ones((2, 3), dtype=np.float32)}
    signature = infer_signature(example, {"y": example["x"] @ WEIGHTS})
    mlflow.onnx.save_model(model, str(folder), signature=signature, pip_requirements=["onnxruntime"])
    return folder


def save_sklearn(folder: Path) -> Path:
    """The same line, as a pickled regression over a table."""
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    table = pd.DataFrame(np.eye(3), columns=["a", "b", "c"])
    model = LinearRegression(fit_intercept=False).fit(table, WEIGHTS[:, 0])
    mlflow.sklearn.save_model(
        model,
        str(folder),
        signature=infer_signature(table, model.predict(table)),
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
    )
    return folder


def package(model: Path, home: Path, **order: object) -> subprocess.CompletedProcess[str]:
    """Build a Bento in a process of its own; its tag is the last line printed."""
    text = json.dumps(
        {
            "model": str(model),
            "home": str(home),
            "project": "drilling",
            "name": "depth",
            "version": 3,
            **order,
        }
    )
    return subprocess.run(
        [sys.executable, "-c", _BUILD],
        input=text,
        env={**os.environ, **environment(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def tag_of(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout.strip().splitlines()[-1]


def a_deployment(number: int, *, replicas: int = 1) -> Deployment:
    now = datetime.now(UTC)
    return Deployment(number, "drilling", "depth", 3, DeploymentState.STARTING, replicas, "", now, now)
