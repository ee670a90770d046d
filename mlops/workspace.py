"""The composition root of one project: its backends, chosen by settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlops.backends import load
from mlops.config import MLOpsConfig
from mlops.data.base import DataStore
from mlops.entities import ProjectWorkspace
from mlops.errors import ConfigError, ModelFileNotFound, ProjectNotFound, ReferenceNotFound, RunNotFound
from mlops.installation import Installation, write_private
from mlops.project import check_project_name
from mlops.registry.base import ModelRegistry
from mlops.tracking.base import RunTracker

if TYPE_CHECKING:
    from mlops.features import Arrays, Make, Sides
    from mlops.remote import Gateway


@dataclass(frozen=True)
class Workspace:
    """What a registered project works with. Nothing is contacted before a backend is used."""

    info: ProjectWorkspace
    installation: Installation

    @classmethod
    def open(cls, name: str, installation: Installation) -> Workspace:
        """The workspace that registration recorded here; raises `ProjectNotFound`, `InvalidName`, and
        `ConfigError` for a damaged record."""
        path = _record(installation, check_project_name(name))
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return cls(ProjectWorkspace(**{**record, "root": Path(record["root"])}), installation)
        except FileNotFoundError:
            raise ProjectNotFound(name) from None
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                f"{path} is damaged: {error}",
                remedy="Run `efficientai-toolkit mlops:register` for the project's folder again.",
                project=name,
            ) from error

    def save(self) -> None:
        """Record the workspace, so that clients of this machine find it without any service."""
        path = _record(self.installation, self.info.project_name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(path, json.dumps({**asdict(self.info), "root": str(self.info.root)}, indent=1))

    def forget(self) -> None:
        """Drop the record."""
        _record(self.installation, self.info.project_name).unlink(missing_ok=True)

    @cached_property
    def tracking(self) -> RunTracker:
        """The project's runs."""
        config = self.installation.config
        backend = load("tracking", config.tracking_backend)
        if config.tracking_backend != "mlflow":
            return cast(RunTracker, backend(project=self.info.project_name))
        tracker = backend(
            **self._account(),
            # Asked at each call: offline there may be none, and a server may come back on another port.
            url=lambda: self.installation.mlflow_url,
            journal=self.journal_dir,
            flush_timeout_s=config.flush_timeout_s,
            gateway=None if config.mlflow_uri else lambda: self.gateway,
        )
        return cast(RunTracker, tracker)

    @cached_property
    def registry(self) -> ModelRegistry:
        """The project's models."""
        config = self.installation.config
        backend = load("registry", config.registry_backend)
        if config.registry_backend != "mlflow":
            return cast(ModelRegistry, backend(project=self.info.project_name))
        return cast(ModelRegistry, backend(**self._account(), url=self.installation.mlflow_url))

    @cached_property
    def data(self) -> DataStore:
        """The project's data."""
        config = self.installation.config
        store = load("data", config.data_backend)(
            project=self.info.project_name,
            root=self.info.root,
            remote=self.info.dvc_remote_path,
            remote_options={
                key: value.get_secret_value() for key, value in config.data_remote_options.items()
            },
            lock_wait_s=config.data_lock_wait_s,
        )
        return cast(DataStore, store)

    @cached_property
    def gateway(self) -> Gateway:
        """The gateway, with the project's token; raises `ConfigError` before the first start."""
        from mlops.remote import Gateway  # its HTTP client costs more than a command that does not call

        return Gateway(self.installation.gateway_url, self.token())

    @contextmanager
    def reference_folder(
        self, reference: Any, model: Any, input_example: Any, output_example: Any, function: str
    ) -> Iterator[Path | None]:
        """What of a model's `reference` is kept in its files, as a folder while the block lasts; None of
        None. `function` is the project's own that makes its features, empty for the usual. Raises
        `InvalidInput` (reference), `ConfigError` for a function that cannot be imported, or fails."""
        if reference is None:
            yield None
            return
        from mlops.features import usual
        from mlops.monitoring.reference import reference_folder
        from mlops.registry.signature import array_names

        make = self._maker(function) if function else usual
        names = array_names(model, input_example, output_example)
        with reference_folder(reference, names, make) as folder:
            yield folder

    def _maker(self, call: str) -> Make:
        from mlops.features import by

        own, root = by(self._function(call)), str(self.info.root)

        def make(inputs: Arrays, outputs: Arrays) -> Sides:
            sys.path.insert(0, root)  # it may import more of its own as it runs
            try:
                return own(inputs, outputs)
            except Exception as error:
                raise self._unusable(call, f"failed: {type(error).__name__}: {error}") from error
            finally:
                sys.path.remove(root)

        return make

    def _function(self, call: str) -> Any:
        root = str(self.info.root)
        sys.path.insert(0, root)
        try:
            return EntryPoint(name=call, value=call, group="mlops.features").load()
        except Exception as error:
            problem = f"cannot be imported: {type(error).__name__}: {error}"
            raise self._unusable(call, problem) from error
        finally:
            sys.path.remove(root)

    def _unusable(self, call: str, problem: str) -> ConfigError:
        return ConfigError(
            f"{call!r}, which makes features of project {self.info.project_name!r}, {problem}",
            remedy="Mend `[monitoring.features]` in project.toml, or what it names.",
            project=self.info.project_name,
            function=call,
        )

    def download_reference(self, model: str, version: int, folder: Path) -> Path:
        """See `download_reference` of this module."""
        from mlops.monitoring.reference import PLACE

        try:
            return self.registry.download(model, version, folder, PLACE)
        except ModelFileNotFound:
            raise ReferenceNotFound(self.info.project_name, model, version) from None

    def database_url(self, name: str) -> str:
        """The URL of a database of the project's own; see `project_database`."""
        from mlops.store.project_database import (
            project_database,
        )  # the driver is needed for nothing else here

        return project_database(self.installation, self.info.project_name, self.info.namespace, name)

    @property
    def journal_dir(self) -> Path:
        """Where the project's runs are kept until they are at the server."""
        return self.installation.journal_dir / self.info.project_name

    def token(self) -> str:
        """The project's token for the gateway."""
        return self.installation.secret(
            self.installation.project_secret_name(self.info.project_name, "token")
        )

    @property
    def token_file(self) -> Path:
        """The 0600 file that holds the token."""
        name = self.installation.project_secret_name(self.info.project_name, "token")
        return self.installation.secret_file(name)

    @property
    def mlflow_password_file(self) -> Path:
        """The 0600 file that holds the password of the project's MLflow account."""
        name = self.installation.project_secret_name(self.info.project_name, "mlflow")
        return self.installation.secret_file(name)

    def _account(self) -> dict[str, str]:
        """The project's account at MLflow."""
        project = self.info.project_name
        return {
            "project": project,
            "namespace": self.info.namespace,
            "username": self.info.namespace,
            "password": self.installation.secret(self.installation.project_secret_name(project, "mlflow")),
            "experiment_id": self.info.mlflow_experiment_id,
        }


def recorded_projects(installation: Installation) -> list[str]:
    """Names of the projects that were registered here."""
    return sorted(path.stem for path in (installation.root / "projects").glob("*.json"))


def download_model(config: MLOpsConfig, project: str, model: str, version: int, folder: Path) -> Path:
    """Bring a registered version's files into `folder`; returns the model's folder (its MLmodel inside)."""
    return Workspace.open(project, Installation(config)).registry.download(model, version, folder)


def download_reference(config: MLOpsConfig, project: str, model: str, version: int, folder: Path) -> Path:
    """Bring the reference of a registered version into `folder`, and nothing else of it; returns the file,
    for `Sample.read`. Raises `ProjectNotFound`, `ModelNotFound`, `ReferenceNotFound` where it was logged
    without one, `ServiceUnavailable`."""
    return Workspace.open(project, Installation(config)).download_reference(model, version, folder)


def data_of_run(config: MLOpsConfig, project: str, run_id: str) -> dict[str, str]:
    """The data versions that a run used or its project declares, hash by path; none of a run that is gone."""
    try:
        run = Workspace.open(project, Installation(config)).tracking.get_run(run_id)
    except RunNotFound:
        return {}
    return {version.path: version.hash for version in run.data}


def _record(installation: Installation, name: str) -> Path:
    return installation.root / "projects" / f"{name}.json"
