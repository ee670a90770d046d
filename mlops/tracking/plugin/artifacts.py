"""MLflow plug-in `mlflow.artifact_repository`: files of an open run, or of its models, go to the journal."""

from __future__ import annotations

import posixpath
import re
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.artifact.artifact_repo import ArtifactRepository, verify_artifact_path
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow.utils.async_logging.run_operations import RunOperations

from mlops.binding.fluent import ContextExecutor
from mlops.tracking.open_runs import OpenRun
from mlops.tracking.plugin import files as plugin_files
from mlops.tracking.plugin import models as plugin_models
from mlops.tracking.plugin.runs import known_run, mlflows_errors, present_url, settle

_OWNER = re.compile(r"/(?P<owner>[^/]+)/artifacts(?:/(?P<below>.*))?$")
"""The id of a run or logged model, in the URI of its artifacts."""


@dataclass(frozen=True)
class _Place:
    """Where below an open run's artifacts a repository stands."""

    run: OpenRun
    model: str | None
    below: str

    def path(self, artifact_path: str | None) -> str | None:
        return posixpath.join(self.below, artifact_path or "").rstrip("/") or None


def _place_of(uri: str) -> _Place | None:
    found = _OWNER.search(uri)
    if found is None:
        return None
    owner, below = found["owner"], found["below"] or ""
    model = plugin_models.run_of(owner)
    if model is not None:
        return _Place(model, owner, below)
    run = known_run(owner)
    return None if run is None else _Place(run, None, below)


class _Journaling(ArtifactRepository):
    """Writes into the journal of the run the URI belongs to, as long as that is open."""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        """As MLflow makes a repository."""
        self._uri = artifact_uri  # MLflow's own classes change theirs
        super().__init__(artifact_uri, tracking_uri, registry_uri)

    def _create_thread_pool(self) -> ThreadPoolExecutor:
        return ContextExecutor(self.max_workers, thread_name_prefix="mlflow-artifacts")

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Record a file."""
        self._log(Path(local_file), artifact_path, contents=False)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Record what is in a folder."""
        self._log(Path(local_dir), artifact_path, contents=True)

    def _log_artifact_async(
        self, filename: str, artifact_path: str | None = None, artifact: Any = None
    ) -> RunOperations:
        """Record an image; a journal needs no queue before it."""
        if artifact is None or not self._is_open():
            return super()._log_artifact_async(filename, artifact_path, artifact)
        with tempfile.TemporaryDirectory() as folder:
            artifact.save(Path(folder, filename))
            self.log_artifact(str(Path(folder, filename)), artifact_path)
        done: Future[None] = Future()
        done.set_result(None)
        return RunOperations([done])

    def _is_open(self) -> bool:
        place = _place_of(self._uri)
        return place is not None and not place.run.journal.closed

    def _log(self, path: Path, artifact_path: str | None, *, contents: bool) -> None:
        place = _place_of(self._uri)
        if place is None or place.run.journal.closed:
            write = self._at_server().log_artifacts if contents else self._at_server().log_artifact
            write(str(path), artifact_path)
            return
        verify_artifact_path(artifact_path)
        if not path.exists():
            raise FileNotFoundError(path)
        with mlflows_errors():
            below = place.path(artifact_path)
            place.run.journal.file(path, below, model=place.model, contents=contents)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """What the server has, after what this process recorded; what the journal holds, when it does not
        answer."""
        place = _place_of(self._uri)
        if place is None or settle(place.run):
            return list(self._at_server().list_artifacts(path))
        return plugin_files.listed(plugin_files.journaled(place.run, place.model), place.path(path))

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        place = _place_of(self._uri)
        if place is not None and not settle(place.run):
            files = plugin_files.journaled(place.run, place.model)
            if kept := files.get(place.path(remote_file_path) or ""):
                shutil.copyfile(kept, local_path)
                return
        self._at_server()._download_file(remote_file_path, local_path)

    def _at_server(self) -> Any:
        raise NotImplementedError


class _BoundArtifacts(MlflowArtifactsRepository):
    """MLflow's proxied artifacts. It fetches them in a thread pool, which would be outside any project."""

    def _create_thread_pool(self) -> ThreadPoolExecutor:
        return ContextExecutor(self.max_workers, thread_name_prefix="mlflow-artifacts")


class JournaledArtifacts(_Journaling, _BoundArtifacts):
    """Scheme `mlflow-artifacts`: the server's artifacts."""

    def _at_server(self) -> Any:
        url = present_url(self.tracking_uri)
        return super(_Journaling, self) if url == self.tracking_uri else _BoundArtifacts(self._uri, url)


class LocalArtifacts(_Journaling):
    """Scheme `mlops-journal`: artifacts of a run or a model whose place at the server was not known."""

    def _at_server(self) -> Any:
        # MLflow's registry of artifact stores loads this module.
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        place = _place_of(self._uri)
        if place is None or not settle(place.run):
            raise MlflowException(
                f"{self._uri} is not at the server yet, which does not answer", TEMPORARILY_UNAVAILABLE
            )
        with mlflows_errors():
            if place.model is None:
                root = place.run.server.run(place.run.id)["info"]["artifact_uri"]
            else:
                root = place.run.server.model_location(plugin_models.real_id(place.model))
        at_server = posixpath.join(root, place.below).rstrip("/")
        return get_artifact_repository(at_server, tracking_uri=place.run.server.rest.url)
