"""The signature of a logged model: from examples, and from an ONNX graph's own axes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from onnx import ModelProto, TensorProto, helper

from mlops.errors import InvalidInput
from mlops.registry.signature import array_names, signature_of

EXAMPLE = {"x": np.ones((1, 3, 4), np.float32), "length": np.ones((1, 3), np.float32)}
RESULT = {"y": np.ones((1, 3), np.float32)}


def graph(**inputs: list[str | int]) -> ModelProto:
    def value(name: str, axes: list[str | int]) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)

    made = helper.make_graph([], "axes", [value(*item) for item in inputs.items()], [value("y", ["n", 3])])
    return helper.make_model(made)


def shapes(model: object, example: object = EXAMPLE, result: object = RESULT) -> dict[str, tuple[int, ...]]:
    signature = signature_of(model, example, result)
    assert signature is not None
    return {spec.name: spec.shape for spec in (*signature.inputs, *signature.outputs)}


def test_axes_that_the_graph_leaves_open_are_open() -> None:
    found = shapes(graph(x=["n", "k", 4], length=["n", "k"]))
    assert found == {"x": (-1, -1, 4), "length": (-1, -1), "y": (-1, 3)}


def test_axes_that_the_graph_fixes_are_fixed() -> None:
    assert shapes(graph(x=[1, 3, 4], length=["n", 3]))["x"] == (1, 3, 4)


def test_what_the_graph_does_not_know_stays_as_the_example_has_it() -> None:
    assert shapes(graph(other=["n", "k"]))["x"] == (-1, 3, 4)
    assert shapes(graph(x=["n", "k"]))["x"] == (-1, 3, 4), "another number of axes"


def test_other_models_and_tables_are_as_mlflow_infers_them() -> None:
    assert shapes(object())["x"] == (-1, 3, 4)
    table = signature_of(graph(x=["n"]), {"a": 1.0}, None)
    assert table is not None
    assert not table.inputs.is_tensor_spec()
    assert table.outputs is None
    assert signature_of(object(), None, RESULT) is None


def test_an_example_of_no_use_is_named() -> None:
    with pytest.raises(InvalidInput, match="input_example"):
        signature_of(object(), [1, "a"], None)


def test_an_onnx_graph_names_its_arrays_and_not_its_constants() -> None:
    made = graph(x=["n", 4], weight=[4])
    made.graph.initializer.append(helper.make_tensor("weight", TensorProto.FLOAT, [4], [1.0] * 4))
    assert array_names(made, EXAMPLE["x"], None) == {"inputs": ["x"], "outputs": ["y"]}


def test_examples_name_the_arrays_of_other_models() -> None:
    frame = pd.DataFrame({"width": [1.0], 2: [3.0]})
    assert array_names(object(), EXAMPLE, RESULT) == {"inputs": ["x", "length"], "outputs": ["y"]}
    assert array_names(object(), frame, np.ones(1)) == {"inputs": ["width", "2"], "outputs": ["outputs"]}
    assert array_names(object(), None, pd.Series([1.0], name="y")) == {"inputs": None, "outputs": None}
