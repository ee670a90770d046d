"""MLflow plug-in `mlflow.artifact_repository`, scheme `mlflow-artifacts`: downloads stay bound.

MLflow fetches artifacts in a thread pool; its threads would be outside any project.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from mlops.binding.fluent import ContextExecutor


class BoundArtifacts(MlflowArtifactsRepository):
    """MLflow's proxied artifacts, fetched in the context of the caller."""

    def _create_thread_pool(self) -> ThreadPoolExecutor:
        return ContextExecutor(self.max_workers, thread_name_prefix="mlflow-artifacts")
