"""Bodies of the Open Inference Protocol and of MLflow's scoring: read, answered, and refused by name."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from mlops.serving import scoring, v2

ROW = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[1, 2.5]]}


def body(*inputs: dict[str, Any], **rest: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **rest}).encode()


def read(*inputs: dict[str, Any], **rest: Any) -> v2.Inference:
    return v2.read_request(body(*inputs, **rest), None)


@pytest.mark.parametrize("data", [[[1, 2.5]], [1, 2.5]])
def test_json_tensors_may_be_nested_or_flat(data: object) -> None:
    found = read({**ROW, "data": data}, id="seven")
    np.testing.assert_array_equal(found.inputs["x"], np.array([[1, 2.5]], np.float32))
    assert found.inputs["x"].dtype == np.float32
    assert (found.id, found.outputs, found.all_binary) == ("seven", (), False)


@pytest.mark.parametrize("name", [name for name in v2.DATATYPES if name != "str"])
def test_binary_tensors_of_every_type_there_and_back(name: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(name)
    given = {
        "name": "x", "datatype": v2.DATATYPES[name], "shape": [2, 2],
        "parameters": {"binary_data_size": array.nbytes},
    }  # fmt: skip
    header = body(given, parameters={"binary_data_output": True})
    asked = v2.read_request(header + array.tobytes(), len(header))
    np.testing.assert_array_equal(asked.inputs["x"], array)
    assert asked.inputs["x"].dtype == array.dtype
    answer, length = v2.write_answer({"y": array}, asked, model="net", version="3")
    assert length is not None
    told = json.loads(answer[:length])
    assert (told["model_name"], told["model_version"]) == ("net", "3")
    assert told["outputs"][0]["parameters"] == {"binary_data_size": array.nbytes}
    assert answer[length:] == array.tobytes()


def test_texts_there_and_back() -> None:
    texts = np.array(["drill", "", "Bohrer Ø 5"])
    assert (
        read({"name": "t", "datatype": "BYTES", "shape": [3], "data": texts.tolist()}).inputs["t"].tolist()
        == texts.tolist()
    )
    asked = v2.Inference("", {}, (), frozenset({"t"}), all_binary=False)
    packed, length = v2.write_answer({"t": texts}, asked, model="", version="")
    assert length is not None
    blob = packed[length:]
    given = {
        "name": "t", "datatype": "BYTES", "shape": [3], "parameters": {"binary_data_size": len(blob)},
    }  # fmt: skip
    header = body(given)
    assert v2.read_request(header + blob, len(header)).inputs["t"].tolist() == texts.tolist()


def test_only_the_outputs_that_are_wanted_come_and_what_is_not_finite_is_null() -> None:
    found = {"y": np.array([[1.0, np.inf]]), "z": np.array([1])}
    asked = read(ROW, outputs=[{"name": "y"}])
    answer, length = v2.write_answer(found, asked, model="net", version="1")
    assert length is None
    (only,) = json.loads(answer)["outputs"]
    assert only == {"name": "y", "datatype": "FP64", "shape": [1, 2], "data": [1.0, None]}
    with pytest.raises(v2.Malformed, match="there is no 'w'; there are y, z"):
        v2.write_answer(found, read(ROW, outputs=[{"name": "w"}]), model="", version="")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (b"nothing", "body: is not JSON"),
        (b'{"inputs": NaN}', "NaN is not a JSON number"),
        (b"[]", "inputs: is not a list of tensors"),
        (b'{"inputs": {"x": 1}}', "inputs: is not a list of tensors"),
        (body({"datatype": "FP32"}), "inputs: holds a tensor without a name"),
        (body({**ROW, "datatype": "FLOAT"}), "x: is of datatype 'FLOAT'; known are BOOL"),
        (body({**ROW, "shape": [1, -1]}), r"x: has the shape \[1, -1\]"),
        (body({**ROW, "shape": [2, 2]}), r"x: holds 2 values, and its shape \[2, 2\] takes 4"),
        (body({**ROW, "data": [[1], [2, 3]]}), "x: has rows of different lengths"),
        (body({**ROW, "data": ["a", "b"]}), "x: holds values that are not FP32"),
        (body({**ROW, "datatype": "INT32"}), "x: holds values that are not INT32"),
        (body(ROW, ROW), "x: is given twice"),
        (body(ROW, outputs=["y"]), "outputs: is not a list of objects with a name"),
        (body({**ROW, "parameters": {"binary_data_size": 8}}), "x: says 8 bytes of binary data, and 0 are"),
        (body({**ROW, "parameters": {"binary_data_size": "8"}}), "which is no number of bytes"),
    ],
)
def test_what_is_not_of_the_protocol_names_its_place(given: bytes, problem: str) -> None:
    with pytest.raises(v2.Malformed, match=problem):
        v2.read_request(given, None)


def test_binary_data_of_a_wrong_length_is_named() -> None:
    def binary(size: int, blob: bytes, datatype: str = "FP32", **header: int) -> None:
        given = {**ROW, "datatype": datatype, "parameters": {"binary_data_size": size}}
        given.pop("data")
        head = body(given)
        v2.read_request(head + blob, header.get("length", len(head)))

    with pytest.raises(v2.Malformed, match="x: has 4 bytes, and its shape takes 8"):
        binary(4, bytes(4))
    with pytest.raises(v2.Malformed, match="2 bytes more than its tensors"):
        binary(8, bytes(10))
    with pytest.raises(v2.Malformed, match="99999 is not within the body"):
        binary(8, bytes(8), length=99999)
    with pytest.raises(v2.Malformed, match="ends within a text"):
        binary(6, struct.pack("<I", 9) + b"ab", "BYTES")
    with pytest.raises(v2.Malformed, match="holds 1 texts, and its shape takes 2"):
        binary(5, struct.pack("<I", 1) + b"a", "BYTES")


TABLE = ({"name": "a", "shape": [-1]}, {"name": "b", "shape": [-1]})
MATRIX = ({"name": "x", "shape": [-1, 2]},)
SPLIT = {"columns": ["a", "b"], "data": [[1, "u"], [2, "v"]]}
READ = {"a": [1, 2], "b": ["u", "v"]}


@pytest.mark.parametrize(
    ("given", "inputs", "expected"),
    [
        ({"dataframe_split": SPLIT}, TABLE, READ),
        ({"dataframe_records": [{"a": 1, "b": "u"}, {"a": 2, "b": "v"}]}, TABLE, READ),
        ({"instances": [{"a": 1, "b": "u"}, {"a": 2, "b": "v"}]}, TABLE, READ),
        ({"inputs": READ}, TABLE, READ),
        ({"inputs": [[1, 2]]}, MATRIX, {"x": [[1, 2]]}),
        ({"instances": [[1, 2]]}, MATRIX, {"x": [[1, 2]]}),
        ({"dataframe_split": {"columns": [0, 1], "data": [[1, 2]]}}, MATRIX, {"x": [[1, 2]]}),
    ],
)
def test_mlflows_formats(given: object, inputs: Any, expected: object) -> None:
    assert scoring.read_invocation(json.dumps(given).encode(), "application/json", inputs) == expected


def test_csv_is_a_table() -> None:
    assert scoring.read_invocation(b"a,b\n1,u\n2,v\n", "text/csv", TABLE) == READ


@pytest.mark.parametrize(
    ("given", "kind", "problem"),
    [
        (b"nothing", "application/json", "the body is not JSON"),
        (b"{}", "application/json", "none of dataframe_split"),
        (b'{"inputs": 1, "instances": 2}', "application/json", "2 of dataframe_split"),
        (b'{"dataframe_split": []}', "application/json", "no `columns` and `data`"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', "application/json", "row 0 of the"),
        (b'{"dataframe_split": {"columns": 1, "data": []}}', "application/json", "are not lists"),
        (b'{"inputs": [1, 2]}', "application/json", "the model takes a, b: name them"),
        (b"", "text/csv", "the table is empty"),
        (b"\xff\xfe", "text/csv", "is not CSV"),
    ],
)
def test_what_mlflow_would_not_take_is_named(given: bytes, kind: str, problem: str) -> None:
    with pytest.raises(scoring.Unreadable, match=problem):
        scoring.read_invocation(given, kind, TABLE)


def test_predictions_are_the_only_output_or_all_by_name() -> None:
    assert scoring.write_predictions({"y": [1]}) == {"predictions": [1]}
    assert scoring.write_predictions({"y": [1], "z": [2]}) == {"predictions": {"y": [1], "z": [2]}}
