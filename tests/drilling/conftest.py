"""A small set of synthetic holes, and a client that records instead of calling services."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
import torch
from threadpoolctl import threadpool_limits

from drilling.synthetic import write_folder
from mlops import DataVersion, Deployment, ModelVersion, Run
from mlops.entities import DeploymentState, RunStatus
from mlops.hardware.base import ThermalState
from mlops.hardware.thermal import ScriptedThermal, ThermalGate
from mlops.installation import Installation
from mlops.store.project_database import project_database

SET_SIZE, SEED = 40, 7
# Test processes share the cores: more threads than one each wait for one another.
torch.set_num_threads(1)
threadpool_limits(1)


@dataclass
class RecordingClient:
    """The client's verbs as the drilling project uses them; every call is kept in `calls`."""

    root: Path
    calls: list[tuple[str, Any]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    models: list[tuple[str, str, bool, Any]] = field(default_factory=list)
    references: list[tuple[str, Any]] = field(default_factory=list)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    versions: list[ModelVersion] = field(default_factory=list)
    run_status: str = ""
    experiment: str | None = None
    thermal_states: Callable[[], ThermalState | None] = field(
        default_factory=lambda: ScriptedThermal([ThermalState.NOMINAL])
    )
    installation: Installation | None = None
    _runs: int = 0
    _open: int = 0
    dashboard_url: str = "http://127.0.0.1:1/dashboard"

    @property
    def project(self) -> SimpleNamespace:
        return SimpleNamespace(root=self.root, name="drilling")

    @property
    def workspace(self) -> SimpleNamespace:
        return SimpleNamespace(namespace="drilling")

    @property
    def mlflow_password_file(self) -> Path:
        return self.root / "a folder" / "mlflow"

    @property
    def token_file(self) -> Path:
        return self.root / "a folder" / "token"

    @property
    def thermal(self) -> ThermalGate:
        return ThermalGate(self.thermal_states)

    @contextmanager
    def start_run(
        self,
        run_name: str,
        tags: dict[str, str] | None = None,
        experiment_name: str | None = None,
        run_id: str | None = None,
        log_system_metrics: bool | None = None,
    ) -> Iterator[Run]:
        self.calls.append(("start_run", run_name))
        self.experiment = experiment_name or self.experiment
        self.tags.update(tags or {})
        self._open += 1
        if run_id is None:
            self._runs += 1
        key = run_id or f"r{self._runs}"
        try:
            yield Run(
                key,
                "drilling",
                run_name,
                RunStatus.RUNNING,
                datetime.now(UTC),
                url=f"http://127.0.0.1:1/{key}",
            )
        except BaseException:
            self.run_status = "FAILED"
            raise
        finally:
            self._open -= 1
        self.run_status = "FINISHED"

    def database_url(self, name: str) -> str:
        assert self.installation is not None
        return project_database(self.installation, "drilling", "drilling", name)

    def log_dict(self, mapping: dict[str, Any], name: str) -> None:
        self.artifacts[name] = json.dumps(mapping).encode()

    def set_tags(self, tags: dict[str, str]) -> None:
        self.tags.update(tags)

    def log_text(self, text: str, name: str) -> None:
        self.artifacts[name] = text.encode()

    def set_alias(self, name: str, alias: str, version: int | ModelVersion) -> None:
        number = version.version if isinstance(version, ModelVersion) else version
        self.aliases[(name, alias)] = int(number or 0)

    def list_models(self, name: str | None = None) -> list[ModelVersion]:
        return [
            replace(
                version,
                aliases=tuple(
                    alias
                    for (of, alias), number in self.aliases.items()
                    if of == version.name and number == version.version
                ),
            )
            for version in reversed(self.versions)
            if name in (None, version.name)
        ]

    def download_model(self, name: str, version: int | ModelVersion, folder: Path) -> Path:
        number = version.version if isinstance(version, ModelVersion) else version
        place = next(
            at for at, each in enumerate(self.versions) if each.name == name and each.version == number
        )
        model = [logged for _, _, registered, logged in self.models if registered][place]
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        if self.versions[place].flavor == "onnx":
            onnx.save(model, target / "model.onnx")
        else:
            torch.save(model, target / "model.pth")
        return target

    def log_params(self, params: dict[str, object]) -> None:
        self.calls.append(("log_params", params))

    def log_metrics(self, metrics: dict[str, float], step: int = 0) -> None:
        self.calls.append(("log_metrics", step))
        self.metrics.update(metrics)

    def log_artifact(self, path: Path, artifact_path: str | None = None) -> None:
        self.artifacts[f"{artifact_path}/{path.name}"] = path.read_bytes()

    def log_figure(self, figure: Any, name: str) -> None:
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=40)
        self.artifacts[name] = content.getvalue()

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
        reference: Any = None,
        register: bool = True,
    ) -> ModelVersion | None:
        self.references.append((name, reference))
        self.models.append((name, flavor, register, model))
        if not register:
            return None
        number = sum(logged == name and registered for logged, _, registered, _ in self.models)
        version = ModelVersion("drilling", name, number, f"r{self._runs}", flavor, datetime.now(UTC))
        self.versions.append(version)
        return version

    def dvc_add(self, path: str) -> DataVersion:
        self.calls.append(("dvc_add", path))
        files = [file for file in sorted((self.root / path).rglob("*")) if file.is_file()]
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        return DataVersion("drilling", path, digest, 1, len(files), None, False, "remote")

    def data_version(self, path: str) -> DataVersion:
        version = self.dvc_add(path)
        self.calls[-1] = ("data_version", path)
        return version

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

    def predict_file(self, name: str, file: Path) -> dict[str, Any]:
        from drilling.export import open_session
        from drilling.export.onnx_model import OUTPUTS
        from drilling.serving import answer_log

        exported = next(model for logged, _, _, model in reversed(self.models) if logged == name)
        session = open_session(exported)
        return answer_log(
            file.read_bytes(),
            lambda inputs: dict(zip(OUTPUTS, session.run(list(OUTPUTS), dict(inputs)), strict=True)),
        )


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
