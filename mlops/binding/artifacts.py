"""MLflow's artifacts as one project: downloads stay bound, and uploads to any store MLflow knows.

MLflow fetches artifacts in a thread pool; its threads would be outside any project.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from mlops.binding.fluent import ContextExecutor
from mlops.errors import ServiceUnavailable


class BoundArtifacts(MlflowArtifactsRepository):
    """MLflow's proxied artifacts, fetched in the context of the caller."""

    def _create_thread_pool(self) -> ThreadPoolExecutor:
        return ContextExecutor(self.max_workers, thread_name_prefix="mlflow-artifacts")


def upload(artifact_uri: str, folder: Path, below: str) -> None:
    """Upload what is in `folder` below `below` of a place that MLflow reaches directly, such as `s3:`.

    Raises `ServiceUnavailable` for whatever the store says: each kind of store has errors of its own.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        get_artifact_repository(artifact_uri).log_artifacts(str(folder), below or None)
    except Exception as error:
        raise ServiceUnavailable("the artifact store", f"{type(error).__name__}: {error}") from error
