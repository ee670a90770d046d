"""The replica's application: what it answers, and every way it refuses."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from mlops.errors import InvalidInput
from mlops.serving.ingress import ReplicaOrder
from mlops.serving.replica import ReplicaOptions, create_app
from mlops.serving.runtimes.runtime import Runtime
from mlops.serving.runtimes.signature import InputProblem, Signature, Tensor
from tests.mlops.serving.models import HEADERS, SECRET


class Sum(Runtime):
    """Sums the rows of `x`; `shift` is optional. A model that fails on 13."""

    def __init__(self) -> None:
        super().__init__(
            Signature((Tensor("x", "float32", (-1, 2)), Tensor("shift", "int64", (1,), required=False)))
        )

    def run(self, arrays: Any) -> dict[str, Any]:
        if arrays["x"][0, 0] == 13:
            raise RuntimeError("a secret of the model")
        with np.errstate(divide="ignore"):
            return {"sum": arrays["x"].sum(axis=1) + arrays.get("shift", 0), "inverse": 1 / arrays["x"]}

    takes_files = False
    feature_maker = None

    def signature(self) -> dict[str, Any]:
        return {"inputs": [asdict(tensor) for tensor in self.inputs.tensors], "outputs": None}


class SumOfFile(Sum):
    """Answers files of two numbers, too."""

    takes_files = True

    def answer_file(self, body: bytes, infer: Any) -> dict[str, Any]:
        if body == b"unreadable":
            raise InputProblem("file", "holds no numbers", "Send two.")
        if body == b"not ours":
            raise InvalidInput("tool", 7, "is unknown", remedy="Register it.")
        if body == b"broken":
            raise KeyError("a secret of the project")
        return {"total": infer({"x": [[float(part) for part in body.split()]]})["sum"].tolist()}


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain; charset=latin-1", "text/x-log"])
def test_a_file_is_answered_whole(kind: str) -> None:
    app = create_app(SumOfFile(), ReplicaOptions(secret=SECRET, max_body=1000))
    with TestClient(app, headers=HEADERS | {"Content-Type": kind, "X-MLOps-Log": "1"}) as client:
        answer = client.post("/predict", content=b"1 2")
        assert answer.json() == {"outputs": {"total": [3.0]}}
        assert json.loads(answer.headers["X-MLOps-Features"])["outputs"]["sum"] == [3.0]
        assert client.post("/predict", content=b" " * 1001).status_code == 413
        as_usual = client.post(
            "/predict", json={"inputs": {"x": [[1, 2]]}}, headers={"Content-Type": "application/json"}
        )
        assert as_usual.json()["outputs"]["sum"] == [3.0]


class Slow(Sum):
    """Holds its first call back until it is let go; notes the rows of each."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.checked = 0
        self.begun, self.let_go = threading.Event(), threading.Event()

    def check(self, values: Any) -> Any:
        arrays = super().check(values)
        self.checked += 1
        return arrays

    def run(self, arrays: Any) -> dict[str, Any]:
        self.calls.append(len(arrays["x"]))
        self.begun.set()
        assert self.let_go.wait(30)
        return super().run(arrays)


@pytest.mark.parametrize("max_batch", [1, 64])
def test_requests_that_wait_are_answered_by_one_call_where_the_model_takes_batches(max_batch: int) -> None:
    model = Slow()
    app = create_app(model, ReplicaOptions(secret=SECRET, concurrency=1, max_batch=max_batch))
    with TestClient(app, headers=HEADERS) as client, ThreadPoolExecutor(6) as pool:

        def ask(value: int) -> httpx.Response:
            return client.post("/predict", json={"inputs": {"x": [[value, 1]]}})

        first = pool.submit(ask, 0)
        assert model.begun.wait(30)
        others = [pool.submit(ask, value) for value in range(1, 6)]
        deadline = time.monotonic() + 30
        while model.checked < (6 if max_batch > 1 else 1):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(1)  # what is read waits for the model
        model.let_go.set()
        answers = [each.result() for each in (first, *others)]
    assert [answer.json()["outputs"]["sum"] for answer in answers] == [[value + 1.0] for value in range(6)]
    assert model.calls == ([1, 5] if max_batch > 1 else [1] * 6)
    waited, together = zip(*(answer.headers["X-MLOps-Work"].split() for answer in answers), strict=True)
    assert list(together) == ["1", *["5" if max_batch > 1 else "1"] * 5]
    assert float(waited[0]) < 0.5 < float(waited[1])


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        (b"unreadable", 422, "InvalidInput", "file: holds no numbers"),
        (b"not ours", 422, "InvalidInput", "tool"),
        (b"1 2 3", 422, "InvalidInput", "shape"),
        (b"13 1", 500, "ModelFailed", "failed"),
        (b"broken", 500, "ModelFailed", "failed"),
    ],
)
def test_a_file_that_is_not_answered_says_why(body: bytes, status: int, kind: str, message: str) -> None:
    app = create_app(SumOfFile(), ReplicaOptions(secret=SECRET))
    with TestClient(app, headers=HEADERS | {"Content-Type": "application/octet-stream"}) as client:
        answer = client.post("/predict", content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, kind)
    assert message in error["message"]
    assert "secret" not in answer.text
    assert error["remedy"]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(Sum(), ReplicaOptions(secret=SECRET, max_body=1000))
    with TestClient(app, headers=HEADERS, raise_server_exceptions=False) as client:
        yield client


def test_the_secret_is_not_in_what_is_printed_of_an_order() -> None:
    order = ReplicaOrder("/bento", ReplicaOptions(secret=SECRET), memory_mb=500, loopback=True)
    assert SECRET not in repr(order)


def test_answers_lists(client: TestClient) -> None:
    answer = client.post("/predict", json={"inputs": {"x": [[1, 2], [4, 0.5]], "shift": [10]}})
    assert answer.status_code == 200
    assert answer.json() == {"outputs": {"sum": [13.0, 14.5], "inverse": [[1.0, 0.5], [0.25, 2.0]]}}


def test_features_come_with_the_answer_to_who_asks_for_them(client: TestClient) -> None:
    asked = {"inputs": {"x": [[1, 2], [4, 0.5]], "shift": [10]}}
    answer = client.post("/predict", json=asked, headers={"X-MLOps-Log": "1"})
    told = json.loads(answer.headers["X-MLOps-Features"])
    assert told["rows"] == 2
    assert 0 < told["model_s"] < 60
    assert told["inputs"] == {"x[0]": [1.0, 4.0], "x[1]": [2.0, 0.5]}, "the shift is not one a row"
    assert told["outputs"]["sum"] == [13.0, 14.5]
    for request in (asked, {"inputs": {"x": 1}}):
        assert "X-MLOps-Features" not in client.post("/predict", json=request).headers
    refused = client.post("/predict", json={"inputs": {"x": 1}}, headers={"X-MLOps-Log": "1"})
    assert (refused.status_code, "X-MLOps-Features" in refused.headers) == (422, False)


def test_it_tells_what_the_model_takes(client: TestClient) -> None:
    told = client.post("/signature", json={}).json()
    assert [each["name"] for each in told["inputs"]] == ["x", "shift"]
    assert (told["outputs"], told["takes_files"]) == (None, False)


def test_what_is_not_finite_in_an_answer_is_null(client: TestClient) -> None:
    answer = client.post("/predict", json={"inputs": {"x": [[0, 1]]}})
    assert answer.json()["outputs"]["inverse"] == [[None, 1.0]]


def test_a_model_that_fails_says_so_and_keeps_its_reason_to_itself(client: TestClient) -> None:
    answer = client.post("/predict", json={"inputs": {"x": [[13, 1]]}})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "ModelFailed"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("inputs", "field", "message"),
    [
        ({}, "x", "is missing"),
        ({"x": [[1, 2]], "y": 1}, "y", "no such input"),
        ({"x": [1, 2]}, "x", "shape"),
        ({"x": [[1, 2, 3]]}, "x", "shape"),
        ({"x": []}, "x", "empty"),
        ({"x": [[1, 2], [3]]}, "x", "different lengths"),
        ({"x": [["a", "b"]]}, "x", "texts"),
        ({"x": [[True, False]]}, "x", "booleans"),
        ({"x": [[1, None]]}, "x", "nulls"),
        ({"x": {"a": 1}}, "x", "objects"),
        ({"x": [[1e39, 0]]}, "x", "not finite"),
        ({"x": [[10**400, 0]]}, "x", "nulls"),
        ({"x": [[1, 2]], "shift": [1.5]}, "shift", "decimal"),
        ({"x": [[1, 2]], "shift": [2**63]}, "shift", "outside int64"),
    ],
)
def test_a_wrong_input_is_named(client: TestClient, inputs: Any, field: str, message: str) -> None:
    answer = client.post("/predict", json={"inputs": inputs})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["fields"]) == (422, "InvalidInput", {"field": field})
    assert message in error["message"]
    assert error["remedy"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"inputs": {"x": [[NaN, 1]]}}', 400),
        (b'{"inputs": {"x": [[Infinity, 1]]}}', 400),
        (b"[" * 900, 400),
        (b"[]", 422),
        (b'{"x": 1}', 422),
        (b'{"inputs": []}', 422),
        (b'{"inputs": {"x": [[1, 2]]}, "other": 1}', 422),
        (b'{"inputs": {"x": [[' + b"1," * 600 + b"1]]}}", 413),
    ],
)
def test_a_body_that_is_not_a_request(client: TestClient, body: bytes, status: int) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"type", "message", "remedy", "fields"}


def test_a_body_without_a_stated_length_is_cut_off_too(client: TestClient) -> None:
    answer = client.post("/predict", content=(b" " * 300 for _ in range(10)))
    assert answer.status_code == 413


@pytest.mark.parametrize("kind", ["application/vnd.bentoml+pickle", "application/octet-stream", "text/plain"])
def test_other_content_types_are_not_read(client: TestClient, kind: str) -> None:
    answer = client.post("/predict", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-MLOps-Replica-Secret": ""}, {"X-MLOps-Replica-Secret": SECRET[:-1]}, {"Authorization": SECRET}],
)
@pytest.mark.parametrize("path", ["/predict", "/healthz", "/docs.json", "/nowhere", "/"])
def test_nothing_without_the_secret(client: TestClient, path: str, headers: dict[str, str]) -> None:
    with TestClient(client.app, headers=headers) as stranger:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            assert stranger.request(method, path).status_code == 401


def test_the_secret_given_twice_is_refused(client: TestClient) -> None:
    headers = [("X-MLOps-Replica-Secret", SECRET), ("X-MLOps-Replica-Secret", SECRET)]
    with TestClient(client.app) as stranger:
        assert stranger.get("/healthz", headers=headers).status_code == 401


def test_unknown_routes_and_methods(client: TestClient) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/predict", 405),
        ("POST", "/healthz", 405),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert "error" in answer.json()


def test_columns_are_of_one_length_and_strings_pass() -> None:
    from mlops.serving.runtimes.signature import check, parse

    signature = parse(
        json.dumps(
            [
                {"type": "double", "name": "a", "required": True},
                {"type": "string", "name": "b", "required": True},
            ]
        ),
        "inputs",
    )
    assert signature is not None
    assert check(signature, {"a": [1, 2], "b": ["x", "y"]})["a"].dtype == np.float64
    with pytest.raises(InputProblem, match="rows"):
        check(signature, {"a": [1, 2], "b": ["x"]})
    with pytest.raises(InputProblem, match="not finite"):
        check(signature, {"a": [1, math.inf], "b": ["x", "y"]})


def test_a_type_that_json_cannot_carry_is_refused() -> None:
    from mlops.serving.runtimes.signature import parse

    with pytest.raises(ValueError, match="binary"):
        parse(json.dumps([{"type": "binary", "name": "a"}]), "inputs")


def test_the_open_inference_protocol_there_and_back(client: TestClient) -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 4, 0.5]}
    named = {"X-MLOps-Model": "sum", "X-MLOps-Model-Version": "3"}
    answer = client.post("/v2/infer", json={"inputs": [x], "outputs": [{"name": "sum"}]}, headers=named)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "model_name": "sum",
        "model_version": "3",
        "outputs": [{"name": "sum", "datatype": "FP32", "shape": [2], "data": [3.0, 4.5]}],
    }


def test_the_open_inference_protocol_in_binary(client: TestClient) -> None:
    x = np.array([[1, 2]], np.float32)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": x.nbytes}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Inference-Header-Content-Length": str(len(header)),
        "Content-Type": "application/octet-stream",
    }
    answer = client.post("/v2/infer", content=header + x.tobytes(), headers=headers)
    assert answer.status_code == 200, answer.text
    end = int(answer.headers["Inference-Header-Content-Length"])
    told = json.loads(answer.content[:end])
    assert [each["name"] for each in told["outputs"]] == ["sum", "inverse"]
    assert np.frombuffer(answer.content[end:], np.float32).tolist() == [3.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("path", "content", "status", "message"),
    [
        ("/v2/infer", b"nothing", 400, "body: is not JSON"),
        ("/v2/infer", b'{"inputs": []}', 422, "x: is missing"),
        ("/invocations", b"{}", 400, "none of dataframe_split"),
        ("/invocations", b'{"inputs": {"x": [[1]]}}', 422, "x: is of shape (1, 1)"),
        ("/invocations", b'{"inputs": {"x": [[13, 1]]}}', 500, "the model failed on this input"),
    ],
)
def test_other_protocols_refuse_as_clearly(
    client: TestClient, path: str, content: bytes, status: int, message: str
) -> None:
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_a_header_length_that_is_no_number_is_named(client: TestClient) -> None:
    headers = {"Inference-Header-Content-Length": "much", "Content-Type": "application/octet-stream"}
    answer = client.post("/v2/infer", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["fields"]["field"]) == (
        400,
        "Inference-Header-Content-Length",
    )


def test_mlflows_scoring_and_the_signature(client: TestClient) -> None:
    answer = client.post("/invocations", json={"inputs": {"x": [[1, 2]]}})
    assert answer.json() == {"predictions": {"sum": [3.0], "inverse": [[1.0, 0.5]]}}
    told = client.post("/v2/metadata", json={}).json()
    assert told["inputs"][0] == {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    assert told["outputs"] == []
