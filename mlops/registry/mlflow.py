"""Model versions in MLflow's registry, in the project's own workspace and as its own account."""

from __future__ import annotations

import importlib
import importlib.metadata
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mlops.binding.context import Binding, current_binding
from mlops.binding.fluent import current_run
from mlops.binding.session import MLflowSession
from mlops.entities import PENDING_VERSION, VERSION_KEY, ModelVersion
from mlops.errors import ConfigError, InvalidInput, ModelFileNotFound, ModelNotFound, RunNotFound
from mlops.project import check_model_name
from mlops.registry.aliases import check_alias
from mlops.registry.flavors import Flavor, flavor_of
from mlops.registry.signature import signature_of
from mlops.registry.versions import check_attachment, check_file_path, check_version

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MLflowVersion

    from mlops.registry.base import ModelRegistry

_PAGE = 1000
_LOGGED_MODEL = "models:/"


class MLflowRegistry:
    """The models of one project; thread-safe."""

    def __init__(
        self, *, project: str, namespace: str, url: str, username: str, password: str, experiment_id: str
    ) -> None:
        """`url` is the server's, without credentials; the account sees `namespace` alone."""
        self.project = project
        self._binding = Binding(url.rstrip("/"), namespace, username, password, experiment_id)
        self._session = MLflowSession(self._binding)

    def log_model(
        self,
        run_id: str,
        model: Any,
        name: str,
        *,
        flavor: str,
        input_example: Any = None,
        output_example: Any = None,
        register: bool = True,
        files: Path | None = None,
    ) -> ModelVersion | None:
        """See `ModelRegistry.log_model`; examples are arrays, frames, or dicts of arrays by name."""
        chosen = flavor_of(flavor)
        check_model_name(name)
        with self._session.calls(RunNotFound(self.project, run_id), "model", name) as client:
            run = client.get_run(run_id)
            with current_run(lambda: run, current_binding() or self._binding):
                logged = _log(chosen, model, name, input_example, output_example)
                if files is not None:
                    client.log_model_artifacts(logged.model_id, str(files))
            if not register:
                return None
            tags = {"flavor": flavor, "project": self.project, "run_id": run_id}
            return self._version(_registered(client, name, logged, run_id, tags))

    def get_version(self, name: str, version: int | None) -> ModelVersion:
        """See `ModelRegistry.get_version`."""
        number = check_version(self.project, name, version)
        with self._calls(name, number) as client:
            return self._version(client.get_model_version(name, str(number)))

    def list_versions(self, name: str | None = None) -> list[ModelVersion]:
        """See `ModelRegistry.list_versions`."""
        with self._calls(name or "", None) as client:
            aliases = {model.name: model.aliases for model in _models(client, name)}
            found = [v for v in _versions(client, name) if v.name in aliases]
        versions = [self._version(v, aliases[v.name]) for v in found]
        return sorted(versions, key=lambda v: (v.created_at, v.version or 0), reverse=True)

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        """See `ModelRegistry.set_alias`."""
        check_alias(alias)
        number = check_version(self.project, name, version)
        with self._calls(name, number) as client:
            client.set_registered_model_alias(name, alias, str(number))

    def download(self, name: str, version: int | None, folder: Path, path: str = "") -> Path:
        """See `ModelRegistry.download`."""
        from mlflow.artifacts import download_artifacts

        number = check_version(self.project, name, version)
        if path:
            check_file_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        with self._calls(name, number) as client:
            # A models:/ URI would be looked up at the process's own tracking URI, which need not be ours.
            uri = client.get_model_version_download_uri(name, str(number))
            if uri.startswith(f"{_LOGGED_MODEL}m-"):
                uri = client.get_logged_model(uri.removeprefix(_LOGGED_MODEL)).artifact_location
            if path:
                self._check_has(name, number, uri, path)
                uri = f"{uri.rstrip('/')}/{path}"
            found = download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self._binding.url)
            return Path(found)

    def _check_has(self, name: str, version: int, uri: str, path: str) -> None:
        from mlflow.artifacts import list_artifacts

        parent = PurePosixPath(path).parent
        below = uri if str(parent) == "." else f"{uri.rstrip('/')}/{parent}"
        there = list_artifacts(artifact_uri=below, tracking_uri=self._binding.url)
        if not any(PurePosixPath(each.path).name == PurePosixPath(path).name for each in there):
            raise ModelFileNotFound(self.project, name, version, path)

    def attach(self, name: str, version: int | None, file: Path, folder: str) -> str:
        """See `ModelRegistry.attach`."""
        check_attachment(file, folder)
        number = check_version(self.project, name, version)
        with self._calls(name, number) as client:
            run_id = client.get_model_version(name, str(number)).run_id
            if not run_id:  # registered by other hands, from files alone
                raise InvalidInput("version", number, "has no run to keep a file with")
        missing = RunNotFound(self.project, run_id)
        with self._session.calls(missing, "file", str(file)) as client:
            run = client.get_run(run_id)
            if run.info.lifecycle_stage != "active":  # MLflow would keep what its garbage collector drops
                raise missing
            client.log_artifact(run_id, str(file), folder)
            return f"{run.info.artifact_uri}/{folder}/{file.name}"

    def _calls(self, name: str, version: int | None) -> Any:
        return self._session.calls(ModelNotFound(self.project, name, version), "name", name)

    def _version(self, found: MLflowVersion, aliases: dict[str, Any] | None = None) -> ModelVersion:
        version = int(found.version) if found.version != PENDING_VERSION else None
        held = found.aliases if aliases is None else [a for a, v in aliases.items() if int(v) == version]
        return ModelVersion(
            project=self.project,
            name=found.name,
            version=version,
            run_id=found.run_id or "",
            flavor=found.tags.get("flavor", ""),
            created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
            aliases=tuple(sorted(held)),
            tags={key: value for key, value in found.tags.items() if key != VERSION_KEY},
            source=found.source,
        )


def _log(flavor: Flavor, model: Any, name: str, input_example: Any, output_example: Any) -> Any:
    module = importlib.import_module(flavor.module)
    options = dict(flavor.options)
    if flavor.takes_examples:
        options |= {"input_example": input_example, "output_example": output_example}
    signature = signature_of(model, input_example, output_example)
    pins = [f"{name}=={_installed(name)}" for name in flavor.requirements]
    return module.log_model(model, name=name, signature=signature, pip_requirements=pins, **options)


def _installed(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(f"{distribution} is not installed", remedy=f"pip install {distribution}") from None


def _registered(
    client: MlflowClient, name: str, logged: Any, run_id: str, tags: dict[str, str]
) -> MLflowVersion:
    def create() -> MLflowVersion:
        return client.create_model_version(
            name,
            source=logged.model_uri,
            run_id=run_id,
            tags=tags,
            model_id=logged.model_id,
            await_creation_for=0,  # a SQL store makes it ready at once
        )

    from mlflow.exceptions import MlflowException

    try:
        return create()  # that of an open run makes the registered model, too
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    _make_model(client, name)
    return create()


def _make_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _models(client: MlflowClient, name: str | None) -> list[Any]:
    if name is not None:
        return [client.get_registered_model(name)]
    found, token = [], None
    while True:
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found


def _versions(client: MlflowClient, name: str | None) -> list[Any]:
    filter = None if name is None else f"name = '{check_model_name(name)}'"
    found, token = [], None
    while True:
        page = client.search_model_versions(filter, max_results=_PAGE, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found


if TYPE_CHECKING:
    _conforms: type[ModelRegistry] = MLflowRegistry
