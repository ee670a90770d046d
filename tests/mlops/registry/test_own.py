"""MLX and Core ML models: what is logged, and what is refused with a reason."""

from __future__ import annotations

import gc
import json
import uuid
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mlops.errors import ConfigError, InvalidInput
from mlops.registry import coreml, mlx
from mlops.registry.flavors import Flavor
from mlops.registry.mlflow import MLflowRegistry, _log
from mlops.registry.signature import signature_of
from mlops.tracking.mlflow import MLflowTracker
from tests.mlops.serving.models import coreml_line, coreml_package

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def logged(mlflow_accounts: Any, tmp_path: Path) -> Any:
    """Logs a model with a run of its own on a real server; gives the version and its `MLmodel`."""
    settings = mlflow_accounts[0].settings()
    registry = MLflowRegistry(**settings)
    tracker = MLflowTracker(**settings, journal=tmp_path / "journal")

    def log(model: Any, flavor: str, **examples: Any) -> tuple[Any, dict[str, Any], Path]:
        name = f"line-{uuid.uuid4().hex[:8]}"
        run = tracker.start_run(None, {}, None)
        made = registry.log_model(run.id, model, name, flavor=flavor, **examples)
        assert made is not None
        assert (made.run_id, made.flavor, made.version) == (run.id, flavor, 1)
        folder = registry.download(name, 1, tmp_path / name)
        described = yaml.safe_load((folder / "MLmodel").read_text())
        assert described["run_id"] == run.id
        return made, described, folder

    return log


def test_an_mlx_module_is_logged_as_a_graph_with_its_signature(logged: Any) -> None:
    import mlx.core as mx
    import mlx.nn as nn

    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))  # weights not computed yet
    _, described, folder = logged(module, "mlx", input_example=X)
    assert described["flavors"]["mlx"] == {
        "data": "model.mlxfn",
        "inputs": ["inputs"],
        "outputs": ["outputs"],
        "rows": list(mlx.ROWS),
        "mlx_version": mx.__version__,
    }
    assert list(described["flavors"]) == ["mlx"]
    assert [each["tensor-spec"]["shape"] for each in json.loads(described["signature"]["outputs"])] == [
        [-1, 2]
    ]
    assert (folder / "requirements.txt").read_text() == f"mlx=={mx.__version__}\n"
    assert module.training  # as it was
    module.eval()
    four = mx.array(np.tile(X, (2, 1)))
    (found,) = mx.import_function(str(folder / "model.mlxfn"))(four)
    np.testing.assert_allclose(found, module(four), rtol=1e-5)


def test_a_core_ml_model_is_logged_as_its_package_with_its_own_signature(logged: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, described, folder = logged(coreml_line(), "coreml")
        gc.collect()
    entry = described["flavors"]["coreml"]
    assert (entry["data"], entry["inputs"], entry["outputs"]) == ("model.mlpackage", ["x"], ["y"])
    assert (folder / "model.mlpackage" / "Manifest.json").is_file()
    (tensor,) = json.loads(described["signature"]["inputs"])
    assert tensor["tensor-spec"] == {"dtype": "float32", "shape": [-1, 3]}
    assert described["signature"]["outputs"] is None  # the package does not state an open output's shape


def exported(model: Any, example: Any, folder: Path, outputs: Any = None) -> Any:
    return mlx.own_folder(
        model,
        folder,
        signature=signature_of(model, example, None),
        input_example=example,
        output_example=outputs,
    )


def test_outputs_are_named_by_the_dict_or_the_example_or_by_number(tmp_path: Path) -> None:
    two = {"a": X, "b": X}
    by_dict = exported(lambda a, b: {"sum": a + b, "less": a - b}, two, tmp_path)
    by_example = exported(lambda a, b: (a + b, a - b), two, tmp_path, {"p": None, "q": None})
    by_number = exported(lambda a, b: [a + b, a - b], two, tmp_path)
    assert [each.facts["outputs"] for each in (by_dict, by_example, by_number)] == [
        ["sum", "less"],
        ["p", "q"],
        ["output_0", "output_1"],
    ]
    assert by_dict.facts["inputs"] == ["a", "b"]


def test_rows_by_some_numbers_and_else_open_shapes(tmp_path: Path) -> None:
    assert exported(lambda x: x[:, 1:], {"x": X}, tmp_path).facts["rows"] == list(mlx.ROWS)
    whole = exported(lambda x: x - x.mean(), {"x": X}, tmp_path)
    assert whole.facts["rows"] == []
    with pytest.raises(InvalidInput, match="not one number of rows"):  # the first axis is open, of each
        exported(lambda x, scale: x * scale, {"x": X, "scale": X[0]}, tmp_path)


def noisy(x: Any) -> Any:
    import mlx.core as mx

    return x + mx.random.normal(x.shape)


@cache
def linear() -> Any:
    import mlx.core as mx
    import mlx.nn as nn

    made = nn.Linear(3, 3)
    mx.eval(made.parameters())
    return made


def by_numpy(x: Any) -> Any:
    import mlx.core as mx

    return mx.array(np.asarray(x))


NOT_EXPORTED = {
    "a number of rows": lambda x: x * x.shape[0],
    "a slice over all rows": lambda x: x[:, 1:] - x.mean(),
    "fewer rows": lambda x: x[:1, 1:],
    "a condition": lambda x: x if x.sum() > 0 else -x,
    "an item": lambda x: x * x.sum().item(),
    "addmm over all rows": lambda x: linear()(x) - x.mean(),
    "chance": noisy,
    "NumPy": by_numpy,
}


@pytest.mark.parametrize("model", NOT_EXPORTED.values(), ids=NOT_EXPORTED)
def test_what_mlx_cannot_export_is_refused_with_its_reason(model: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be exported by MLX row by row") as caught:
        exported(model, {"x": X}, tmp_path)
    assert caught.value.field == "model"
    assert "ONNX" in caught.value.remedy


@pytest.mark.parametrize(
    ("model", "example", "outputs", "field", "problem"),
    [
        (3, X, None, "model", "cannot be called"),
        (lambda x: x, None, None, "input_example", "gives no numbers"),
        (lambda x: x, {"x": np.array(["a"])}, None, "input_example", "gives no numbers for 'x'"),
        (lambda x: x, X[:0], None, "input_example", "gives no numbers"),
        (lambda x: x, {"y": X}, None, "model", "does not take the input example"),
        (lambda x: 3, X, None, "model", "something else than arrays"),
        (lambda x: {"y": x}, X, {"z": None}, "output_example", "other outputs"),
        (lambda x: x, X, {"y": None, "z": None}, "output_example", "names 2 outputs"),
        (lambda x: x.astype(_bfloat16()), X, None, "model", "bfloat16"),
    ],
)
def test_what_is_no_model_or_example_of_mlx_is_named(
    model: Any, example: Any, outputs: Any, field: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=problem) as caught:
        exported(model, example, tmp_path, outputs)
    assert caught.value.field == field
    assert caught.value.remedy


def _bfloat16() -> Any:
    import mlx.core as mx

    return mx.bfloat16


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        (X, "names other arrays"),
        ({"z": X}, "names other arrays"),
        ({"x": X[:, :2]}, "has another shape for 'x'"),
        ({"x": X[0]}, "has another shape for 'x'"),
    ],
)
def test_an_example_has_to_agree_with_a_core_ml_model(example: Any, problem: str, tmp_path: Path) -> None:
    with coreml_package() as package:
        assert coreml.own_folder(package, tmp_path, input_example={"x": X}).data == package
        with pytest.raises(InvalidInput, match=problem) as caught:
            coreml.own_folder(package, tmp_path, input_example=example)
    assert caught.value.field == "input_example"


def test_a_package_that_is_missing_is_named() -> None:
    flavor = Flavor("mlops.registry.mlx", ("no-such-package",), takes_examples=True)
    with pytest.raises(ConfigError, match="no-such-package is not installed"):
        _log(flavor, lambda x: x, "m", X, None)


def test_what_is_no_core_ml_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.mlmodel").write_bytes(b"\xff\xff no protobuf")
    for wrong in (tmp_path / "gone.mlpackage", tmp_path, object(), tmp_path / "broken.mlmodel"):
        with pytest.raises(InvalidInput, match="is no Core ML model") as caught:
            coreml.own_folder(wrong, tmp_path)
        assert caught.value.field == "model"


def test_images_and_dictionaries_of_core_ml_are_not_served(tmp_path: Path) -> None:
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model(specificationVersion=4)
    spec.description.input.add(name="picture").type.imageType.width = 8
    path = tmp_path / "image.mlmodel"
    path.write_bytes(spec.SerializeToString())
    with pytest.raises(InvalidInput, match="among its inputs as image"):
        coreml.own_folder(path, tmp_path)
