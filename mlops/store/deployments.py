"""What shall serve, what does, and where it listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Row,
    Update,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    update,
)

from mlops.entities import Deployment, DeploymentState, Replica
from mlops.errors import DeploymentNotFound, InvalidInput
from mlops.store.notify import DEPLOYMENTS, ROUTES
from mlops.store.tables import deployments, replicas

_GOING = (DeploymentState.STOPPING.value, DeploymentState.FAILED.value)


class Deployments:
    """The tables `deployments` and `replicas`. A row's `url` is the path below the gateway."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def want(
        self, project: str, model: str, version: int, replica_count: int, *, quota: int | None = None
    ) -> Deployment:
        """Ask for a version to serve; the worker is told. A version that serves already, or is on
        its way, is not started twice: its replica count is set, and newer versions stop, so that the
        last wish holds. Earlier failures are stopped, too: the worker discards what they left.

        Raises `InvalidInput` when the project's models would have more than `quota` replicas."""
        with self._engine.begin() as connection:
            _lock(connection, project)
            if quota is not None:
                _check_quota(connection, project, model, replica_count, quota)
            same_model = (deployments.c.project == project) & (deployments.c.model == model)
            _stop(connection, same_model & (deployments.c.state == DeploymentState.FAILED.value))
            row = connection.execute(
                select(deployments).where(
                    same_model & (deployments.c.version == version) & deployments.c.state.not_in(_GOING)
                )
            ).one_or_none()
            statement: Insert | Update
            if row is None:
                statement = insert(deployments).values(
                    project=project,
                    model=model,
                    version=version,
                    state=DeploymentState.PENDING.value,
                    replicas=replica_count,
                )
            else:
                # Otherwise the newer one would take over as soon as it is up.
                _stop(
                    connection, same_model & (deployments.c.id > row.id) & deployments.c.state.not_in(_GOING)
                )
                statement = (
                    update(deployments)
                    .where(deployments.c.id == row.id)
                    .values(replicas=replica_count, updated_at=func.now())
                )
            row = connection.execute(statement.returning(deployments)).one()
            _notify(connection, DEPLOYMENTS)
            return _deployment(row)

    def want_removal(self, project: str, model: str) -> list[Deployment]:
        """Ask for every version of the model to stop; raises `DeploymentNotFound`."""
        with self._engine.begin() as connection:
            rows = connection.execute(
                update(deployments)
                .where(deployments.c.project == project, deployments.c.model == model)
                .values(state=DeploymentState.STOPPING.value, updated_at=func.now())
                .returning(deployments)
            ).all()
            if not rows:
                raise DeploymentNotFound(project, model)
            _notify(connection, DEPLOYMENTS)
            _notify(connection, ROUTES)
            return [_deployment(row) for row in rows]

    def all(self, project: str | None = None) -> list[Deployment]:
        """Every deployment, or a project's; by project and model, newest first."""
        statement = select(deployments).order_by(
            deployments.c.project, deployments.c.model, deployments.c.id.desc()
        )
        if project is not None:
            statement = statement.where(deployments.c.project == project)
        with self._engine.connect() as connection:
            return [_deployment(row) for row in connection.execute(statement)]

    def get(self, deployment_id: int) -> Deployment | None:
        """Read one, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(
                select(deployments).where(deployments.c.id == deployment_id)
            ).one_or_none()
        return None if row is None else _deployment(row)

    def advance(
        self, deployment_id: int, state: DeploymentState, *, bento: str | None = None, error: str = ""
    ) -> None:
        """Move a deployment to `state`, unless its removal has been asked for meanwhile."""
        values: dict[str, Any] = {"state": state.value, "error": error, "updated_at": func.now()}
        if bento is not None:
            values["bento"] = bento
        with self._engine.begin() as connection:
            connection.execute(
                update(deployments)
                .where(
                    deployments.c.id == deployment_id,
                    deployments.c.state != DeploymentState.STOPPING.value,
                )
                .values(**values)
            )
            _notify(connection, ROUTES)

    def retire_older(self, deployment_id: int) -> int:
        """Mark the model's older versions for stopping, once this one runs and is still wanted; returns
        how many there were."""
        with self._engine.begin() as connection:
            row = connection.execute(
                select(deployments).where(deployments.c.id == deployment_id)
            ).one_or_none()
            if row is None:
                return 0
            _lock(connection, row.project)  # against a wish for one of the older ones
            wanted = select(deployments.c.id).where(
                deployments.c.id == deployment_id, deployments.c.state == DeploymentState.RUNNING.value
            )
            return _stop(
                connection,
                (deployments.c.project == row.project)
                & (deployments.c.model == row.model)
                & (deployments.c.id < deployment_id)
                & (deployments.c.state != DeploymentState.STOPPING.value)
                & exists(wanted.correlate(None)),
            )

    def forget(self, deployment_id: int) -> None:
        """Drop a stopped deployment and its replicas."""
        with self._engine.begin() as connection:
            connection.execute(delete(deployments).where(deployments.c.id == deployment_id))
            _notify(connection, ROUTES)

    def set_replicas(self, deployment_id: int, urls: Sequence[str]) -> bool:
        """Record where the replicas listen; returns whether that changed, and tells the gateways."""
        with self._engine.begin() as connection:
            known = set(
                connection.scalars(select(replicas.c.url).where(replicas.c.deployment_id == deployment_id))
            )
            if known == set(urls):
                return False
            connection.execute(delete(replicas).where(replicas.c.deployment_id == deployment_id))
            if urls:
                connection.execute(
                    insert(replicas), [{"deployment_id": deployment_id, "url": url} for url in sorted(urls)]
                )
            _notify(connection, ROUTES)
            return True

    def routes(self) -> dict[tuple[str, str], tuple[Deployment, list[Replica]]]:
        """(project, model) -> the newest running deployment and its replicas."""
        statement = (
            select(deployments, replicas.c.url)
            .join(replicas, replicas.c.deployment_id == deployments.c.id)
            .where(deployments.c.state == DeploymentState.RUNNING.value)
            .order_by(deployments.c.id, replicas.c.url)
        )
        found: dict[tuple[str, str], tuple[Deployment, list[Replica]]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(statement):
                key = (row.project, row.model)
                if key not in found or found[key][0].id != row.id:
                    found[key] = (_deployment(row), [])
                found[key][1].append(Replica(row.id, row.url))
        return found


def _lock(connection: Connection, project: str) -> None:
    # One wish at a time in a project, until the transaction ends.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:key))"), {"key": project})


def _check_quota(connection: Connection, project: str, model: str, replica_count: int, quota: int) -> None:
    # A model's versions replace each other, so each other model counts once, by its newest.
    others = (
        select(deployments.c.model, deployments.c.replicas)
        .where(
            deployments.c.project == project,
            deployments.c.model != model,
            deployments.c.state.not_in(_GOING),
        )
        .order_by(deployments.c.id)
    )
    newest = {row.model: row.replicas for row in connection.execute(others)}
    left = quota - sum(newest.values())
    if replica_count > left:
        raise InvalidInput(
            "replicas",
            replica_count,
            f"project {project!r} has {max(left, 0)} of its {quota} left",
            remedy="Undeploy another model, or raise `quotas.max_replicas` in project.toml and register.",
        )


def _stop(connection: Connection, which: ColumnElement[bool]) -> int:
    stopped = connection.execute(
        update(deployments)
        .where(which)
        .values(state=DeploymentState.STOPPING.value, updated_at=func.now())
        .returning(deployments.c.id)
    ).all()
    if stopped:
        _notify(connection, ROUTES)
    return len(stopped)


def _notify(connection: Connection, channel: str) -> None:
    connection.execute(select(func.pg_notify(channel, "")))


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(
        id=row.id,
        project=row.project,
        model=row.model,
        version=row.version,
        state=DeploymentState(row.state),
        replicas=row.replicas,
        url=f"/projects/{row.project}/models/{row.model}/predict",
        created_at=row.created_at,
        updated_at=row.updated_at,
        bento=row.bento,
        error=row.error,
    )
