"""The standalone server of a Bento: a process, asked by a stock client of the Open Inference Protocol."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from starlette.testclient import TestClient

from mlops.serving.replica import ReplicaOptions
from mlops.serving.standalone import main, open_inference_app
from tests.mlops.serving.fixtures import (
    bento,  # noqa: F401
    bentos_home,  # noqa: F401
    free_port,
    onnx_model,  # noqa: F401
)
from tests.mlops.serving.models import HEADERS

# bentoml's, which it shows when a Bento is opened.
pytestmark = pytest.mark.filterwarnings(r"ignore:::(_bentoml_.*|pathspec)(\..*)?")


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    address: str


@pytest.fixture(scope="module")
def server(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:  # noqa: F811
    log = tmp_path_factory.mktemp("standalone") / "log"
    port = free_port()
    command = [sys.executable, "-m", "mlops.serving.standalone", "--bento", str(bento), "--port", str(port)]
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told)
    try:
        wait_until_ready(process, f"127.0.0.1:{port}", log)
        yield Server(process, f"127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert "Traceback" not in log.read_text()


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            assert httpx.get(f"http://{address}/v2/health/ready").json() == {"ready": True}
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


def an_input(rows: list[list[float]], *, binary: bool = True) -> Any:
    import tritonclient.http as triton

    array = np.array(rows, np.float32)
    given = triton.InferInput("x", list(array.shape), "FP32")
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def test_a_stock_client_learns_what_is_there(server: Server) -> None:
    import tritonclient.http as triton

    with triton.InferenceServerClient(server.address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("depth")
        assert client.is_model_ready("depth", "3")
        assert not client.is_model_ready("depth", "4")
        assert not client.is_model_ready("width")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        expected = {
            "name": "depth", "versions": ["3"], "platform": "",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
        }  # fmt: skip
        assert client.get_model_metadata("depth") == client.get_model_metadata("depth", "3") == expected


@pytest.mark.parametrize("version", ["", "3"])
@pytest.mark.parametrize("binary", [False, True])
def test_a_stock_client_infers(server: Server, version: str, binary: bool) -> None:
    import tritonclient.http as triton

    with triton.InferenceServerClient(server.address) as client:
        wanted = [triton.InferRequestedOutput("y", binary_data=binary)]
        rows = [[1.0, 2.0, 3.0], [0.0, 0.0, 0.5]]
        given = [an_input(rows, binary=binary)]
        found = client.infer("depth", given, version, outputs=wanted, request_id="one")
        assert found.as_numpy("y").tolist() == [[321.0], [50.0]]
        told = found.get_response()
        assert (told["model_name"], told["model_version"], told["id"]) == ("depth", "3", "one")


def test_a_stock_client_is_told_what_is_wrong(server: Server) -> None:
    import tritonclient.http as triton

    with triton.InferenceServerClient(server.address) as client:
        for model, version, given, message in [
            ("depth", "", an_input([[1.0, 2.0]]), r"x: is of shape \(1, 2\)"),
            ("depth", "4", an_input([[1.0, 2.0, 3.0]]), "in version 3, not '4'"),
            (
                "width",
                "",
                an_input([[1.0, 2.0, 3.0]]),
                "no model 'width'; there is 'depth'",
            ),
        ]:
            with pytest.raises(triton.InferenceServerException, match=message):
                client.infer(model, [given], version)


@pytest.mark.parametrize(
    ("verb", "path", "sent", "status", "message"),
    [
        ("GET", "/v2/models/width", {}, 404, "there is no model 'width'; there is 'depth'"),
        ("GET", "/v2/models/depth/versions/4/ready", {}, 404, "'depth' is here in version 3, not '4'"),
        ("GET", "/predict", {}, 404, "Not Found"),
        ("GET", "/v2/models/depth/infer", {}, 405, "Method Not Allowed"),
        ("POST", "/v2/models/depth/infer", {"content": b"{"}, 400, "body: is not JSON"),
        ("POST", "/v2/models/depth/infer", {"json": {}}, 400, "inputs: is not a list of tensors"),
        ("POST", "/v2/models/depth/infer", {"data": {"x": 1}}, 415, "x-www-form-urlencoded"),
    ],
)
def test_errors_have_the_shape_of_the_protocol(
    server: Server, verb: str, path: str, sent: dict[str, Any], status: int, message: str
) -> None:
    answer = httpx.request(verb, f"http://{server.address}{path}", **sent)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


def test_a_body_over_the_cap_is_refused(server: Server) -> None:
    answer = httpx.post(f"http://{server.address}/v2/models/depth/infer", content=b" " * (33 << 20))
    assert (answer.status_code, "33554432 bytes" in answer.json()["error"]) == (413, True)


def test_it_listens_on_loopback_alone(server: Server) -> None:
    found = psutil.Process(server.process.pid).net_connections("inet")
    assert {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


class Slow:
    """A model that answers when it is let."""

    takes_files = False
    feature_maker = None

    def check(self, inputs: Any) -> Any:
        return inputs

    def run(self, arrays: Any) -> Any:
        return arrays

    def signature(self) -> dict[str, Any]:
        return {"inputs": [], "outputs": None}


def test_what_is_over_the_bound_gets_503_and_when_to_come_again() -> None:
    app = open_inference_app(Slow(), ReplicaOptions("s"), name="m", number="1", max_ongoing=0)
    with TestClient(app) as client:
        answer = client.post("/v2/models/m/infer", json={"inputs": []})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "too many inferences" in answer.json()["error"]
        assert client.get("/v2/health/ready").status_code == 200
        assert client.get("/v2/models/m").json()["outputs"] == []


def test_room_is_given_back_and_headers_of_callers_are_not_believed() -> None:
    app = open_inference_app(Slow(), ReplicaOptions("s"), name="m", number="1", max_ongoing=1)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [2]}
    with TestClient(app, headers={**HEADERS, "X-MLOps-Model": "other", "X-MLOps-Log": "1"}) as client:
        for _ in range(3):
            answer = client.post("/v2/models/m/infer", json={"inputs": [tensor]})
            assert answer.json()["model_name"] == "m"
            assert "X-MLOps-Features" not in answer.headers


def test_it_says_why_it_does_not_start(
    tmp_path: Path,
    bento: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--bento", str(tmp_path)]) == 3
    assert "holds no Bento that this release opens" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--bento", str(bento), "--port", str(taken.getsockname()[1])]) == 3
    assert "cannot be listened on" in capsys.readouterr().err
    for wrong in (["--threads", "0"], ["--threads", "one"], ["--max-ongoing", "-1"]):
        with pytest.raises(SystemExit):
            main(["--bento", str(bento), *wrong])
        assert "is no number above 0" in capsys.readouterr().err


def test_it_ends_on_sigterm(bento: Path, tmp_path: Path) -> None:  # noqa: F811
    port = free_port()
    command = [sys.executable, "-m", "mlops.serving.standalone", "--bento", str(bento), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ})
    try:
        wait_until_ready(process, f"127.0.0.1:{port}", tmp_path / "log")
        process.terminate()
        process.wait(20)
    finally:
        process.kill()
        process.wait()
    assert "depth 3 answers on port" in (tmp_path / "log").read_text()
