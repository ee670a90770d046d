"""Tiny real models, as MLflow saves them, and their Bentos."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

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


def save_mlx(folder: Path) -> Path:
    """The same line as a module of MLX, exported."""
    import mlx.core as mx
    import mlx.nn as nn

    line = nn.Linear(3, 1)
    line.weight, line.bias = mx.array(WEIGHTS.T), mx.zeros((1,))
    return save_mlx_callable(line, {"x": np.eye(3, dtype=np.float32)}, folder, outputs={"y": None})


def save_mlx_callable(
    model: object, example: object, folder: Path, *, outputs: dict[str, None] | None = None
) -> Path:
    """A callable's graph as `client.log_model` writes it; `outputs` are named as there."""
    from mlflow.models import Model

    from mlops.registry.mlx import own_folder
    from mlops.registry.signature import signature_of

    with tempfile.TemporaryDirectory() as scratch:
        own_folder(
            model,
            Path(scratch),
            signature=signature_of(model, example, None),
            input_example=example,
            output_example=outputs,
        ).save_model(str(folder), Model(), ["mlx"])
    return folder


def save_coreml(folder: Path) -> Path:
    """The same line as a Core ML package for 1 to 16 rows."""
    from mlflow.models import Model

    from mlops.registry.coreml import own_folder

    with coreml_package() as path:
        own_folder(path, path.parent).save_model(str(folder), Model(), ["coremltools"])
    return folder


def coreml_line() -> Any:
    """A coremltools MLModel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _coreml_line()
        gc.collect()  # the converter leaves folders to the collector
    return model


def _coreml_line() -> Any:
    from mlops.registry.coreml import tools

    ct = tools()
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import get_new_symbol

    rows = Builder.TensorSpec(shape=(get_new_symbol(), 3))

    @Builder.program(input_specs=[rows], opset_version=ct.target.macOS14)
    def line(x):  # type: ignore[no-untyped-def]
        return Builder.matmul(x=x, y=WEIGHTS, name="y")

    return ct.convert(
        line,
        convert_to="mlprogram",
        inputs=[ct.TensorType(name="x", shape=ct.Shape((ct.RangeDim(1, 16, default=1), 3)))],
        minimum_deployment_target=ct.target.macOS14,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )


@contextmanager
def coreml_package() -> Iterator[Path]:
    """That model's package, on disk as long as the context."""
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(scratch) / "line.mlpackage"
        coreml_line().save(str(path))
        gc.collect()
        yield path


def save_registered(flavor: str, folder: Path) -> Path:
    """The same line as `client.log_model` writes it in the flavor (torch, sklearn)."""
    from mlflow.models import infer_signature

    from mlops.registry.flavors import flavor_of

    chosen = flavor_of(flavor)
    example = np.eye(3, dtype=np.float32)
    import_module(chosen.module).save_model(
        _line_of(flavor, example),
        str(folder),
        signature=infer_signature(example, example @ WEIGHTS),
        pip_requirements=[f"{name}=={version(name)}" for name in chosen.requirements],
        **chosen.options,
    )
    return folder


def _line_of(flavor: str, example: np.ndarray) -> object:
    if flavor == "torch":
        import torch

        line = torch.nn.Linear(3, 1, bias=False)
        line.weight.data = torch.tensor(WEIGHTS.T)
        return line
    from sklearn.linear_model import LinearRegression

    return LinearRegression(fit_intercept=False).fit(example, example @ WEIGHTS)


def save_pyfunc(folder: Path) -> Path:
    """The same line as any Python model that MLflow takes."""
    import mlflow.pyfunc
    from mlflow.models import infer_signature

    class Line(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            return {"y": model_input["x"] @ [[1.0], [10.0], [100.0]]}

    example = {"x": np.eye(3, dtype=np.float32)}
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=Line(),
        signature=infer_signature(example, {"y": example["x"] @ WEIGHTS}),
        pip_requirements=["cloudpickle"],
    )
    return folder


def opened(bento: Path, home: Path, program: str) -> str:
    """What a program prints last in a process of its own, with the Bento's service in `model`."""
    opening = (
        "import sys; from pathlib import Path; from mlops.serving.bento import open_service\n"
        "model = open_service(Path(sys.argv[1]), 1)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", opening + program, str(bento)],
        env={**os.environ, **environment(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip().splitlines()[-1]


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
