"""Registered projects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, Row, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from mlops.entities import ProjectWorkspace
from mlops.errors import ProjectExists, ProjectNotFound
from mlops.project import Alerting, Monitoring, Quotas, Serving
from mlops.store.tables import projects

_Table = TypeVar("_Table", Quotas, Serving, Alerting, Monitoring)


class Projects:
    """The table `projects`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, workspace: ProjectWorkspace, settings: Mapping[str, Any]) -> None:
        """Insert or update; raises `ProjectExists` when the namespace is another project's."""
        values = {
            "namespace": workspace.namespace,
            "root": str(workspace.root),
            "mlflow_experiment_id": workspace.mlflow_experiment_id,
            "dvc_remote_path": workspace.dvc_remote_path,
            "settings": dict(settings),
        }
        statement = insert(projects).values(name=workspace.project_name, **values)
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    statement.on_conflict_do_update(index_elements=[projects.c.name], set_=values)
                )
        except IntegrityError as error:
            owner = self._owner(workspace.namespace)
            raise ProjectExists(owner.project_name, str(owner.root)) from error

    def get(self, name: str) -> ProjectWorkspace:
        """Read one; raises `ProjectNotFound`."""
        with self._engine.connect() as connection:
            row = connection.execute(select(projects).where(projects.c.name == name)).one_or_none()
        if row is None:
            raise ProjectNotFound(name)
        return _workspace(row)

    def settings(self, name: str) -> dict[str, Any]:
        """What its project.toml said at registration; raises `ProjectNotFound`."""
        with self._engine.connect() as connection:
            found = connection.scalar(select(projects.c.settings).where(projects.c.name == name))
        if found is None:
            raise ProjectNotFound(name)
        return dict(found)

    def quotas(self, name: str) -> Quotas:
        """What the project may take; the usual for one that is not registered any more."""
        return self._table(name, "quotas", Quotas)

    def serving(self, name: str) -> Serving:
        """How its models are served; the usual for one that is not registered any more."""
        return self._table(name, "serving", Serving)

    def monitoring(self) -> dict[str, Monitoring]:
        """How the models of each project are monitored, by name."""
        known = {field.name for field in fields(Monitoring)}
        with self._engine.connect() as connection:
            stored = connection.execute(
                select(projects.c.name, projects.c.settings["monitoring"].label("stated"))
            )
            # What an earlier release did not know, and so did not store, is as usual.
            return {
                row.name: Monitoring(**{k: v for k, v in (row.stated or {}).items() if k in known})
                for row in stored
            }

    def alerting(self) -> dict[str, Alerting]:
        """What each project is told, by name."""
        with self._engine.connect() as connection:
            stored = connection.execute(
                select(projects.c.name, projects.c.settings["alerts"].label("alerts"))
            )
            return {row.name: Alerting(**(row.alerts or {})) for row in stored}

    def _table(self, name: str, table: str, kind: type[_Table]) -> _Table:
        # What an earlier release did not know, and so did not store, is as usual.
        try:
            stored = self.settings(name).get(table, {})
        except ProjectNotFound:
            return kind()
        known = {field.name for field in fields(kind)}
        return kind(**{key: _frozen(value) for key, value in stored.items() if key in known})

    def all(self) -> list[ProjectWorkspace]:
        """Every project, by name."""
        with self._engine.connect() as connection:
            return [_workspace(row) for row in connection.execute(select(projects).order_by(projects.c.name))]

    def described(self) -> dict[str, dict[str, str]]:
        """What each project's project.toml says of it itself: description, primary_metric."""
        stated = (projects.c.settings[name].astext.label(name) for name in ("description", "primary_metric"))
        with self._engine.connect() as connection:
            found = connection.execute(select(projects.c.name, *stated))
            return {
                row.name: {"description": row.description or "", "primary_metric": row.primary_metric or ""}
                for row in found
            }

    def put_disk(self, name: str, taken: int) -> None:
        """What the project takes of the disk, in bytes; nothing happens where it is not registered any
        more."""
        with self._engine.begin() as connection:
            connection.execute(update(projects).where(projects.c.name == name).values(disk_bytes=taken))

    def disk(self) -> dict[str, int]:
        """What each project takes of the disk, in bytes, as far as that was measured."""
        statement = select(projects.c.name, projects.c.disk_bytes).where(projects.c.disk_bytes.is_not(None))
        with self._engine.connect() as connection:
            return {row.name: row.disk_bytes for row in connection.execute(statement)}

    def remove(self, name: str) -> None:
        """Forget the project with its tokens, deployments and indexed runs; raises `ProjectNotFound`."""
        with self._engine.begin() as connection:
            if connection.execute(delete(projects).where(projects.c.name == name)).rowcount == 0:
                raise ProjectNotFound(name)

    def _owner(self, namespace: str) -> ProjectWorkspace:
        with self._engine.connect() as connection:
            return _workspace(
                connection.execute(select(projects).where(projects.c.namespace == namespace)).one()
            )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _workspace(row: Row[Any]) -> ProjectWorkspace:
    return ProjectWorkspace.of(
        project_name=row.name,
        namespace=row.namespace,
        mlflow_experiment_id=row.mlflow_experiment_id,
        dvc_remote_path=row.dvc_remote_path,
        root=Path(row.root),
    )
