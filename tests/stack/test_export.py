"""What really serves, written for Kubernetes: by the installed command, and served again from the folder."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from mlops.installation import Installation
from tests.mlops.serving.fixtures import free_port
from tests.stack.test_end_to_end import toolkit


@pytest.mark.parametrize("target", ["kuberay", "kserve"])
def test_the_champion_is_written_with_its_run(
    stack: Installation, served_digits: Any, tmp_path: Path, target: str
) -> None:
    told = export(stack, target, tmp_path / "out")
    manifest = yaml.safe_load((tmp_path / "out" / told["manifest"]).read_text())
    labels = manifest["metadata"]["labels"]
    assert labels["efficientai-toolkit/version"] == str(told["version"])
    assert labels["efficientai-toolkit/run"]
    assert manifest["metadata"]["annotations"]["efficientai-toolkit/bento"].startswith("digits.digits:")
    secrets = [path.read_text() for path in stack.secret_file("x").parent.iterdir() if path.is_file()]
    written = "".join(
        path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
    assert secrets
    assert [secret for secret in secrets if len(secret.strip()) > 16 and secret.strip() in written] == []


def test_the_folder_answers_as_the_endpoint_does(
    stack: Installation, served_digits: Any, tmp_path: Path
) -> None:
    import tritonclient.http as triton

    export(stack, "kserve", tmp_path / "out")
    port = free_port()
    command = [
        sys.executable, "-m", "mlops.serving.standalone", "--bento", str(tmp_path / "out" / "bento"),
        "--port", str(port),
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, tmp_path / "log")
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            outputs = client.get_model_metadata("digits")["outputs"]
            label = next(each["name"] for each in outputs if each["datatype"] == "INT64")
            given = triton.InferInput("X", [1, 64], "FP32")
            given.set_data_from_numpy(served_digits.sample)
            assert client.infer("digits", [given]).as_numpy(label).tolist() == [served_digits.expected]
    finally:
        process.terminate()
        process.wait(20)


def export(stack: Installation, target: str, folder: Path) -> dict[str, Any]:
    done = toolkit(
        stack, "mlops:export", target, "digits", "--project", "digits", "--output", str(folder), "--json"
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            assert httpx.get(f"{url}/v2/health/ready").status_code == 200
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
