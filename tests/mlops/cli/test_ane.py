"""mlops:ane-report over files, and over models of a real MLflow server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from sklearn.linear_model import LogisticRegression

from mlops.entities import ModelVersion, RunStatus
from mlops.installation import Installation
from mlops.workspace import Workspace
from tests.mlops.cli.conftest import Invoke
from tests.mlops.cli.test_sync import record
from tests.mlops.hardware.ane import nets
from tests.servers import Account

X = np.linspace(0, 1, 80, dtype=np.float32).reshape(20, 4)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """The three layers, with an operation that leaves the engine."""
    path = tmp_path / "net.onnx"
    onnx.save(nets.three_layers(), path)
    return path


@pytest.fixture
def leaving(tmp_path: Path) -> Path:
    path = tmp_path / "leaving.onnx"
    onnx.save(nets.single("Add", [2, 3], [2, 3], dtype=TensorProto.INT64), path)
    return path


# -- files --------------------------------------------------------------------------------------


def test_a_file_is_reported_and_each_line_says_heuristic(invoke: Invoke, net: Path) -> None:
    result = invoke("mlops:ane-report", str(net))
    assert result.code == 0
    assert "100.0% of 75,776 multiply-adds" in result.out
    assert "conv     1      1          55,296         73.0%  heuristic" in result.out
    assert "41,428" in result.out
    lines = [line for line in result.out.splitlines() if line and not line.isupper() and "BASIS" not in line]
    assert [line for line in lines if "heuristic" not in line] == []


def test_what_leaves_is_told_with_what_to_do(invoke: Invoke, leaving: Path) -> None:
    out = invoke("mlops:ane-report", str(leaving)).out
    assert "computes in int64" in out
    assert "the-node" in out
    assert "→ compute in float32" in out


def test_json_is_the_whole_report(invoke: Invoke, leaving: Path) -> None:
    report = invoke("mlops:ane-report", str(leaving), "--json").json
    assert (report["model"], report["format"], report["basis"]) == ("leaving.onnx", "onnx", "heuristic")
    assert report["saved"] == []
    assert [row["type"] for row in report["rows"]] == ["add"]
    assert report["breaks"][0]["operation"] == "the-node"
    bases = {each["basis"] for each in (*report["rows"], *report["breaks"], report["sizes"])}
    assert bases == {"heuristic"}


def test_a_chart_is_drawn_on_demand_alone(invoke: Invoke, net: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    assert invoke("mlops:ane-report", str(net)).code == 0
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "home"}
    assert invoke("mlops:ane-report", str(net), "--chart", str(tmp_path / "chart.png")).code == 0
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("gone.onnx", 3, "no such file"),
        ("./gone", 3, "no such file"),
        ("net.pt", 3, "torch.export.save"),
        ("a:b:c", 3, "name@alias"),
        ("no such name", 3, "safe name"),
    ],
)
def test_what_cannot_be_reported_is_an_error_with_a_remedy(
    name: str, code: int, problem: str, invoke: Invoke, register: Callable[[str], Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(register("alpha"))
    Path("net.pt").write_bytes(b"pickle")
    result = invoke("mlops:ane-report", name)
    assert (result.code, result.out) == (code, "")
    assert problem in result.err


def test_a_charts_name_is_checked_before_anything(invoke: Invoke) -> None:
    result = invoke("mlops:ane-report", "gone.onnx", "--chart", "chart.doc")
    assert (result.code, "chart.doc" in result.err) == (3, True)


def test_an_unknown_model_is_not_found(invoke: Invoke, register: Callable[[str], Path]) -> None:
    register("alpha")
    result = invoke("mlops:ane-report", "unknown", "--project", "alpha", "--json")
    assert (result.code, result.json["error"]["type"]) == (4, "ModelNotFound")


# -- registered models --------------------------------------------------------------------------


@pytest.fixture
def project(
    installation: Installation,
    mlflow_accounts: tuple[Account, Account],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Workspace:
    """A registered project with an account on the server, in whose folder commands are run."""
    monkeypatch.setenv("MLOPS_MLFLOW_URI", mlflow_accounts[0].url)
    workspace = record(mlflow_accounts[0], tmp_path)
    monkeypatch.chdir(workspace.info.root)
    return workspace


Registered = Callable[..., ModelVersion]


@pytest.fixture
def registered(project: Workspace) -> Registered:
    """Registers a model of an ended run."""

    def register(model: Any, name: str, flavor: str = "onnx", example: Any = None) -> ModelVersion:
        run = project.tracking.start_run(None, {}, None)
        version = project.registry.log_model(run.id, model, name, flavor=flavor, input_example=example)
        project.tracking.end_run(run.id, RunStatus.FINISHED)
        assert version is not None
        return version

    return register


@pytest.fixture
def name() -> str:
    return f"net-{uuid.uuid4().hex[:8]}"


def kept(project: Workspace, version: ModelVersion, file: str) -> bytes:
    """What lies beside the version."""
    from mlflow.artifacts import download_artifacts

    from mlops.binding.context import Binding
    from mlops.binding.session import MLflowSession

    info, secrets = project.info, project.installation
    password = secrets.secret(secrets.project_secret_name(info.project_name, "mlflow"))
    url = secrets.mlflow_url
    session = MLflowSession(Binding(url, info.namespace, info.namespace, password, info.mlflow_experiment_id))
    below = f"ane-report/{version.name}-v{version.version}/{file}"
    with session.bound() as client:
        uri = f"{client.get_run(version.run_id).info.artifact_uri}/{below}"
        return Path(download_artifacts(artifact_uri=uri, tracking_uri=url)).read_bytes()


def test_a_registered_model_keeps_report_and_chart(
    invoke: Invoke, project: Workspace, registered: Registered, name: str
) -> None:
    version = registered(nets.three_layers(), name)
    result = invoke("mlops:ane-report", name)
    assert result.code == 0, result.err
    assert f"{name}:1 (onnx)" in result.out
    assert result.out.count(f"ane-report/{name}-v1/") == 2
    assert kept(project, version, "chart.png").startswith(b"\x89PNG")
    report = json.loads(kept(project, version, "report.json"))
    assert (report["model"], report["multiply_adds"]) == (f"{name}:1", nets.MULTIPLY_ADDS)


def test_a_version_an_alias_or_the_newest_is_meant(
    invoke: Invoke, project: Workspace, registered: Registered, name: str
) -> None:
    registered(nets.three_layers(), name)
    registered(nets.single("Relu", [2, 3]), name)
    project.registry.set_alias(name, "champion", 1)

    def model(reference: str) -> str:
        result = invoke("mlops:ane-report", reference, "--no-save", "--json")
        assert result.code == 0, result.err
        assert result.json["saved"] == []
        return str(result.json["model"])

    assert model(name) == model(f"{name}:2") == f"{name}:2"
    assert model(f"{name}:1") == model(f"{name}@champion") == f"{name}:1"
    unknown = invoke("mlops:ane-report", f"{name}@challenger")
    assert unknown.code == 4
    assert "champion" in unknown.err
    assert invoke("mlops:ane-report", f"{name}:3").code == 4


def test_a_model_without_operations_is_refused(invoke: Invoke, registered: Registered, name: str) -> None:
    registered(LogisticRegression().fit(X, np.arange(20) % 2), name, "sklearn", X)
    result = invoke("mlops:ane-report", name)
    assert (result.code, "sklearn" in result.err, "ONNX" in result.err) == (3, True, True)


def test_a_torch_pickle_is_read_only_where_the_project_allows_it(
    invoke: Invoke, project: Workspace, registered: Registered, name: str
) -> None:
    from torch import nn

    registered(nn.Linear(4, 5), name, "torch", X)
    registered(nn.Linear(4, 5), name, "torch")
    refused = invoke("mlops:ane-report", f"{name}:1")
    assert refused.code == 3
    assert "allow_pickle = true" in refused.err
    toml = project.info.root / "project.toml"
    toml.write_text(toml.read_text() + "[serving]\nallow_pickle = true\n")
    result = invoke("mlops:ane-report", f"{name}:1", "--json", "--no-save")
    assert result.code == 0, result.err
    assert (result.json["format"], result.json["multiply_adds"]) == ("torch", 20)
    unsigned = invoke("mlops:ane-report", f"{name}:2")
    assert (unsigned.code, "input_example" in unsigned.err) == (3, True)
