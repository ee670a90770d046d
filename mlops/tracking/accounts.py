"""MLflow as the account of a project."""

from __future__ import annotations

from mlops.entities import ProjectWorkspace
from mlops.installation import Installation
from mlops.tracking.rest import Rest


def rest_of(installation: Installation, workspace: ProjectWorkspace) -> Rest:
    """Calls MLflow as the workspace's account, which sees that one alone. Raises `ConfigError` where its
    password is not kept here."""
    password = installation.secret(installation.project_secret_name(workspace.project_name, "mlflow"))
    return Rest(lambda: installation.mlflow_url, workspace.namespace, workspace.namespace, password)
