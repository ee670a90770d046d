"""Uploads to any store of artifacts that MLflow knows."""

from __future__ import annotations

from pathlib import Path

from mlops.errors import ServiceUnavailable


def upload(artifact_uri: str, folder: Path, below: str) -> None:
    """Upload what is in `folder` below `below` of a place that MLflow reaches directly, such as `s3:`.

    Raises `ServiceUnavailable` for whatever the store says: each kind of store has errors of its own.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        get_artifact_repository(artifact_uri).log_artifacts(str(folder), below or None)
    except Exception as error:
        raise ServiceUnavailable("the artifact store", f"{type(error).__name__}: {error}") from error
