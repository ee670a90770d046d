"""The client of one project: thin verbs over its workspace and the gateway."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops.config import MLOpsConfig
from mlops.entities import (
    DataVersion,
    Deployment,
    DeploymentState,
    ModelVersion,
    ProjectWorkspace,
    Run,
    RunStatus,
)
from mlops.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    InvalidInput,
    MLOpsError,
    NoActiveRun,
    ServiceUnavailable,
)
from mlops.installation import Installation
from mlops.project import Project, check_model_name, find_project, read_project
from mlops.remote import Gateway
from mlops.workspace import Workspace

_DEPLOY_TIMEOUT_S = 180.0


class MLOpsClient:
    """Everything a project does with the platform.

    Each verb acts in this project's workspace alone, whichever other clients live in the process or
    in its threads. A run belongs to the context it was started in: a thread started outside it has
    none, and its verbs raise `NoActiveRun`.
    """

    def __init__(self, project: Project, workspace: Workspace) -> None:
        self.project = project
        self._workspace = workspace
        self._run: ContextVar[Run | None] = ContextVar(f"mlops_run_{project.name}", default=None)

    @classmethod
    def from_project(cls, name: str | None = None, *, config: MLOpsConfig | None = None) -> MLOpsClient:
        """The client of the registered project `name`, or of the project whose folder we are in.

        Raises `ProjectNotFound` (not registered; no project.toml here or above), `ProjectFileError`.
        """
        installation = Installation(config or MLOpsConfig.load())
        wanted = find_project(Path.cwd()).name if name is None else name
        workspace = Workspace.open(wanted, installation)
        return cls(read_project(workspace.info.root), workspace)

    @property
    def workspace(self) -> ProjectWorkspace:
        """What the project owns on the platform."""
        return self._workspace.info

    # -- runs -----------------------------------------------------------------------------------

    @contextmanager
    def start_run(
        self,
        run_name: str | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        experiment_name: str | None = None,
    ) -> Iterator[Run]:
        """A run that ends FINISHED, or FAILED with the exception's text as tag `mlops.error`.

        Inside, plain `mlflow.log_*` and autolog write to the same run.
        """
        tracking = self._workspace.tracking
        run = tracking.start_run(run_name, dict(tags or {}), experiment_name)
        token = self._run.set(run)
        status = RunStatus.FAILED
        # The body's own: `sys.exception()` would also name what the caller is handling around the run.
        raised: BaseException | None = None
        try:
            with tracking.activate(run.id):
                yield run
            status = RunStatus.FINISHED
        except BaseException as error:
            raised = error
            if isinstance(error, KeyboardInterrupt):
                status = RunStatus.KILLED
            elif isinstance(error, Exception):
                with _noted_on(error):
                    tracking.log(run.id, tags={"mlops.error": f"{type(error).__name__}: {error}"[:5000]})
            raise
        finally:
            self._run.reset(token)
            with _noted_on(raised):
                tracking.end_run(run.id, status)
            raised = None  # its traceback holds this frame

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters; each is written once. Raises `NoActiveRun`, `InvalidInput`."""
        self._workspace.tracking.log(self._active("log_params").id, params=params)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step. Raises `NoActiveRun`, `InvalidInput` for what is no number."""
        self._workspace.tracking.log(self._active("log_metrics").id, metrics=metrics, step=step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags. Raises `NoActiveRun`, `InvalidInput`."""
        self._workspace.tracking.log(self._active("set_tags").id, tags=tags)

    def log_data(self, version: DataVersion) -> None:
        """Record the data the run uses. Raises `NoActiveRun`."""
        self._workspace.tracking.log(self._active("log_data").id, data=version)

    def log_artifact(self, path: str | Path, artifact_path: str | None = None) -> None:
        """Upload a file or a folder. Raises `NoActiveRun`, `InvalidInput`."""
        run = self._active("log_artifact")
        self._workspace.tracking.log_artifact(run.id, Path(path), artifact_path)

    def log_apple_silicon_metrics(self) -> None:
        """Record which machine this is, as tags; what cannot be read is left out. Raises `NoActiveRun`."""
        run = self._active("log_apple_silicon_metrics")
        machine = {
            "hardware.system": platform.system(),
            "hardware.machine": platform.machine(),
            "hardware.processor": platform.processor(),
            "hardware.python": platform.python_version(),
        }
        tags = {key: value for key, value in machine.items() if value}
        self._workspace.tracking.log(run.id, tags=tags)

    def log_model(
        self,
        model: Any,
        name: str,
        *,
        flavor: str,
        input_example: Any = None,
        output_example: Any = None,
        register: bool = True,
    ) -> ModelVersion | None:
        """Store a model with the run, and register it as the next version of `name` unless told not
        to. `flavor` is onnx, torch or sklearn. Raises `NoActiveRun`, `InvalidInput`, `InvalidName`."""
        return self._workspace.registry.log_model(
            self._active("log_model").id,
            model,
            check_model_name(name),
            flavor=flavor,
            input_example=input_example,
            output_example=output_example,
            register=register,
        )

    def get_run(self, run_id: str) -> Run:
        """Read a run back. Raises `RunNotFound`."""
        return self._workspace.tracking.get_run(run_id)

    def search_runs(self, filter: str = "", order_by: str = "", max_results: int = 100) -> list[Run]:
        """The project's runs, newest first; `filter` and `order_by` in MLflow's search syntax."""
        return self._workspace.tracking.search_runs(filter, order_by, max_results)

    def _active(self, verb: str) -> Run:
        run = self._run.get()
        if run is None:
            raise NoActiveRun(self.project.name, verb)
        return run

    # -- data -----------------------------------------------------------------------------------

    def dvc_add(self, path: str) -> DataVersion:
        """Version a file or folder of the project. Raises `DataNotFound`, `InvalidInput`, `DataError`."""
        return self._workspace.data.add(path)

    def dvc_push(self, path: str | None = None) -> int:
        """Upload what the project's remote lacks; returns the objects sent. Raises `DataError`."""
        return self._workspace.data.push(path)

    def dvc_pull(self, path: str | None = None) -> int:
        """Bring back what is missing; returns the objects fetched. Raises `DataNotFound`, `DataError`."""
        return self._workspace.data.pull(path)

    # -- models ---------------------------------------------------------------------------------

    def list_models(self, name: str | None = None) -> list[ModelVersion]:
        """Registered versions, newest first. Raises `ModelNotFound` for an unknown name."""
        return self._workspace.registry.list_versions(name)

    def deploy_model(
        self,
        name: str,
        version: int | str,
        *,
        replicas: int = 1,
        on_state: Callable[[DeploymentState], None] | None = None,
    ) -> Deployment:
        """Serve a registered version and wait until it answers; what served before serves until then.
        `on_state` is called with the first state, and at each change of it.

        Raises `InvalidInput` (a version that is no number), `ModelNotFound`, `DeploymentFailed` with the
        traceback, `ServiceUnavailable`.
        """
        project = self.project.name
        number = _version_number(version)
        found = self._workspace.registry.get_version(check_model_name(name), number)
        wanted = self._gateway.deploy(project, name, found.version, replicas)
        told: DeploymentState | None = None
        deadline = time.monotonic() + _DEPLOY_TIMEOUT_S
        while time.monotonic() < deadline:
            now = next((row for row in self._gateway.deployments(project) if row.id == wanted.id), None)
            if now is None:
                raise DeploymentNotFound(project, name)
            if on_state is not None and now.state is not told:
                told = now.state
                on_state(told)
            if now.state is DeploymentState.RUNNING:
                return now
            if now.state is DeploymentState.FAILED:
                raise DeploymentFailed(project, name, number, now.error)
            time.sleep(0.2)
        raise ServiceUnavailable(
            "worker", f"version {version} of {name!r} is still {now.state if now else ''}"
        )

    def undeploy_model(self, name: str) -> None:
        """Serve the model no more. Raises `DeploymentNotFound`."""
        self._gateway.undeploy(self.project.name, check_model_name(name))

    def deployments(self) -> list[Deployment]:
        """The project's deployments."""
        return self._gateway.deployments(self.project.name)

    def predict(self, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the served model: input name -> nested lists in, output name -> nested lists out.

        Raises `DeploymentNotFound`, `InvalidInput` naming the input, `ServiceUnavailable`.
        """
        return self._gateway.predict(self.project.name, check_model_name(name), inputs)

    @property
    def dashboard_url(self) -> str:
        """The dashboard over all projects."""
        return self._workspace.installation.gateway_url + "/"

    @property
    def token_file(self) -> Path:
        """The 0600 file that holds the project's bearer token for the gateway."""
        return self._workspace.token_file

    @property
    def mlflow_password_file(self) -> Path:
        """The 0600 file that holds the password for MLflow's own pages; the user is the namespace."""
        return self._workspace.mlflow_password_file

    @cached_property
    def _gateway(self) -> Gateway:
        return Gateway(self._workspace.installation.gateway_url, self._workspace.token())


@contextmanager
def _noted_on(leading: BaseException | None) -> Iterator[None]:
    """What goes wrong while `leading` passes becomes a note on it, and does not take its place."""
    try:
        yield
    except MLOpsError as error:
        if leading is None:
            raise
        leading.add_note(f"the run's record is incomplete: {error.message}")


def _version_number(version: int | str) -> int:
    try:
        return int(version)
    except (TypeError, ValueError):
        raise InvalidInput(
            "version", version, "is no version", remedy="Give the number that registration gave, such as 3."
        ) from None
