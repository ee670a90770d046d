"""How a project joins the platform, and leaves it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from mlops.entities import ProjectWorkspace
from mlops.errors import (
    ConfigError,
    Conflict,
    InvalidInput,
    ProjectExists,
    ProjectFileError,
    ProjectNotFound,
)
from mlops.installation import Installation
from mlops.project import FILE_NAME, Project, read_project
from mlops.store.store import Store
from mlops.store.tokens import Role
from mlops.workspace import Workspace


def register(folder: Path, installation: Installation, store: Store) -> Workspace:
    """Give the project of `folder` its workspace: MLflow workspace, service account and experiment,
    DVC root and remote, endpoint prefix, token, and a row in the database. Safe to repeat: it then
    brings the record up to project.toml.

    Raises `ProjectFileError`, `InvalidName`, `ProjectExists` (name or namespace of another folder),
    `Conflict` (the namespace changed), `DataError` (the data remote's extra is missing),
    `ServiceUnavailable`.
    """
    project = read_project(folder)
    _check_alerts(project)
    _check_free(project, store)
    info = ProjectWorkspace.of(
        project_name=project.name,
        namespace=project.namespace,
        mlflow_experiment_id=_prepare_mlflow(project, installation),
        dvc_remote_path=installation.data_remote(project.namespace),
        root=project.root,
    )
    workspace = Workspace(info, installation)
    workspace.data.prepare()
    token = installation.make_secret(installation.project_secret_name(project.name, "token"))
    store.projects.put(info, _settings(project))
    store.tokens.put(token, Role.MEMBER, project.name)
    store.audit.record("admin", "register", project.name, root=str(project.root))
    workspace.save()
    return workspace


def _check_alerts(project: Project) -> None:
    from mlops.monitoring.channels.settings import check_channel
    from mlops.monitoring.rules import read_rule

    try:
        for name, stated in project.alerts.rules.items():
            read_rule(name, stated, project.name)
        for name, stated in project.alerts.channels.items():
            check_channel(name, stated)
    except (InvalidInput, ConfigError) as error:
        raise ProjectFileError(project.root / FILE_NAME, error.message, remedy=error.remedy) from error


def _check_free(project: Project, store: Store) -> None:
    # Before MLflow is touched: nothing is made for a project that is then refused.
    for other in store.projects.all():
        if other.namespace == project.namespace and other.project_name != project.name:
            raise ProjectExists(other.project_name, str(other.root))
    try:
        known = store.projects.get(project.name)
    except ProjectNotFound:
        return
    # A folder that is gone has moved: its project may be registered from where it is now.
    if known.root != project.root and known.root.exists():
        raise ProjectExists(project.name, str(known.root))
    if known.namespace != project.namespace:
        raise Conflict(
            f"project {project.name!r} is registered with namespace {known.namespace!r},"
            f" and its project.toml says {project.namespace!r}",
            remedy="Put the namespace back: its runs, models and data live there.",
            project=project.name,
        )


def _prepare_mlflow(project: Project, installation: Installation) -> str:
    from mlops.tracking.admin import MLflowAdmin

    user, password = installation.mlflow_admin()
    admin = MLflowAdmin(url=installation.mlflow_url, username=user, password=password)
    account = installation.make_secret(installation.project_secret_name(project.name, "mlflow"))
    return admin.prepare_project(project.namespace, account)


def _settings(project: Project) -> dict[str, object]:
    settings = asdict(project)
    for known in ("name", "namespace", "root"):
        del settings[known]
    return settings
