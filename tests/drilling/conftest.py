"""A small set of synthetic holes, and a client that records instead of calling services."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drilling.synthetic import write_folder
from mlops import DataVersion, Deployment, ModelVersion, Run
from mlops.entities import DeploymentState, RunStatus

SET_SIZE, SEED = 40, 7


@dataclass
class RecordingClient:
    """The client's verbs as the drilling project uses them; every call is kept in `calls`."""

    root: Path
    calls: list[tuple[str, Any]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    models: list[tuple[str, str, bool, Any]] = field(default_factory=list)
    run_status: str = ""
    dashboard_url: str = "http://127.0.0.1:1/dashboard"

    @property
    def project(self) -> SimpleNamespace:
        return SimpleNamespace(root=self.root)

    @property
    def workspace(self) -> SimpleNamespace:
        return SimpleNamespace(namespace="drilling")

    @property
    def mlflow_password_file(self) -> Path:
        return self.root / "a folder" / "mlflow"

    @property
    def token_file(self) -> Path:
        return self.root / "a folder" / "token"

    @contextmanager
    def start_run(
        self, run_name: str, tags: dict[str, str], experiment_name: str | None = None
    ) -> Iterator[Run]:
        self.calls.append(("start_run", experiment_name))
        self.tags.update(tags)
        try:
            yield Run(
                "r1", "drilling", run_name, RunStatus.RUNNING, datetime.now(UTC), url="http://127.0.0.1:1/r1"
            )
        except BaseException:
            self.run_status = "FAILED"
            raise
        self.run_status = "FINISHED"

    def log_params(self, params: dict[str, object]) -> None:
        self.calls.append(("log_params", params))

    def log_metrics(self, metrics: dict[str, float], step: int = 0) -> None:
        self.calls.append(("log_metrics", step))
        self.metrics.update(metrics)

    def log_artifact(self, path: Path, artifact_path: str | None = None) -> None:
        self.artifacts[f"{artifact_path}/{path.name}"] = path.read_bytes()

    def log_figure(self, figure: Any, name: str) -> None:
        self.artifacts[name] = figure

    def log_apple_silicon_metrics(self) -> None:
        self.calls.append(("log_apple_silicon_metrics", None))

    def log_data(self, version: DataVersion) -> None:
        self.calls.append(("log_data", version))

    def log_model(
        self,
        model: Any,
        name: str,
        flavor: str,
        input_example: Any = None,
        output_example: Any = None,
        register: bool = True,
    ) -> ModelVersion | None:
        self.models.append((name, flavor, register, model))
        version = sum(registered for _, _, registered, _ in self.models)
        return ModelVersion("drilling", name, version, "r1", flavor, datetime.now(UTC)) if register else None

    def dvc_add(self, path: str) -> DataVersion:
        self.calls.append(("dvc_add", path))
        files = [file for file in sorted((self.root / path).rglob("*")) if file.is_file()]
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        return DataVersion("drilling", path, digest, 1, len(files), None, False, "remote")

    def dvc_push(self) -> int:
        self.calls.append(("dvc_push", None))
        return 1

    def deploy_model(
        self, name: str, version: int, on_state: Callable[[DeploymentState], None] | None = None
    ) -> Deployment:
        self.calls.append(("deploy_model", version))
        for state in ("packaging", "starting", "running") if on_state else ():
            on_state(DeploymentState(state))
        now, url = datetime.now(UTC), f"http://127.0.0.1:1/projects/drilling/models/{name}/predict"
        return Deployment(1, "drilling", name, version, DeploymentState.RUNNING, 1, url, now, now)

    def predict(self, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        from drilling.export import open_session, run_onnx

        exported = next(model for _, flavor, _, model in reversed(self.models) if flavor == "onnx")
        arrays = (np.array(inputs[key], dtype=np.float32) for key in ("signals", "position_mm"))
        return {"keypoints_mm": run_onnx(open_session(exported), *arrays).tolist()}


@pytest.fixture(scope="session")
def synthetic_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty synthetic holes, for reading only."""
    folder = tmp_path_factory.mktemp("holes")
    write_folder(folder, holes=SET_SIZE, seed=SEED, progress=False)
    return folder


@pytest.fixture
def client(tmp_path: Path, synthetic_folder: Path) -> RecordingClient:
    """A recording client whose project folder holds the forty holes as data/raw."""
    shutil.copytree(synthetic_folder, tmp_path / "data" / "raw")
    return RecordingClient(tmp_path)
