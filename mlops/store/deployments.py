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
    func,
    insert,
    select,
    text,
    update,
)

from mlops.entities import Deployment, DeploymentState, Endpoint, Replica, Side, Target
from mlops.errors import DeploymentNotFound, InvalidInput
from mlops.store.notify import DEPLOYMENTS, ROUTES
from mlops.store.tables import deployments, projects, replicas

_GOING = (DeploymentState.STOPPING.value, DeploymentState.FAILED.value)


class Deployments:
    """The tables `deployments` and `replicas`. A row's `url` is the path below the gateway."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def want(
        self,
        project: str,
        model: str,
        version: int,
        replica_count: int,
        *,
        most: int | None = None,
        side: Side = Side.CHAMPION,
        weight: int = 0,
        quota: int | None = None,
    ) -> Deployment:
        """Ask for a version to serve; the worker is told. A version that serves already, or is on its way, is
        not started twice: its replica count (growing to `most` with its load), side and weight are set, and
        what it replaces on that side goes, so that the last wish holds. Earlier failures are stopped: the
        worker discards what they left. The previous champion goes as a new version comes: the machine holds
        two, not three.

        Raises `InvalidInput` when the project's models would have more than `quota` replicas, for a canary
        or shadow of a model that has no champion, and for one that is the champion."""
        with self._engine.begin() as connection:
            _lock(connection, project)
            if quota is not None:
                _check_quota(connection, project, model, side, most or replica_count, quota)
            of_model = (deployments.c.project == project) & (deployments.c.model == model)
            _stop(connection, of_model & (deployments.c.state == DeploymentState.FAILED.value))
            rows = _of(connection, project, model)
            row = next((row for row in rows if row.version == version), None)
            if side is not Side.CHAMPION:
                _check_beside(version, side, [each for each in rows if each.side == Side.CHAMPION])
                _stop_rows(connection, [each for each in rows if each.side == side and each is not row])
            elif row is None:
                _stop_rows(connection, [each for each in rows if each.side == Side.PREVIOUS])
            statement: Insert | Update
            if row is None:
                statement = insert(deployments).values(
                    project=project, model=model, version=version, state=DeploymentState.PENDING.value,
                    replicas=replica_count, most_replicas=most, side=side.value, weight=weight,
                )  # fmt: skip
            else:
                if side is Side.CHAMPION:
                    _crown(connection, row, rows)
                statement = (
                    update(deployments)
                    .where(deployments.c.id == row.id)
                    .values(
                        replicas=replica_count,
                        most_replicas=most,
                        side=side.value,
                        weight=weight,
                        updated_at=func.now(),
                    )
                )
            row = connection.execute(statement.returning(deployments)).one()
            _notify(connection, DEPLOYMENTS)
            _notify(connection, ROUTES)
            return _deployment(row)

    def promote(self, project: str, model: str, version: int | None = None) -> Deployment:
        """Make a running version the champion at once, the canary where none is named; the champion becomes
        the previous one. Raises `DeploymentNotFound`, `InvalidInput` for a version that does not run."""
        with self._engine.begin() as connection:
            _lock(connection, project)
            rows = _of(connection, project, model)
            if not rows:
                raise DeploymentNotFound(project, model)
            if version is None:
                wanted, missing = [row for row in rows if row.side == Side.CANARY], "has no canary"
            else:
                wanted, missing = [row for row in rows if row.version == version], "is not deployed"
            if not wanted:
                raise InvalidInput(
                    "version", version, f"of {model!r} {missing}", remedy=f"Deployed: {_told(rows)}."
                )
            _check_running(wanted[0])
            return self._made_champion(connection, wanted[0], rows)

    def rollback(self, project: str, model: str) -> Deployment:
        """Make the previous champion the champion again, at once, and the champion the previous one.

        Raises `DeploymentNotFound`, and `InvalidInput` where no previous one is kept."""
        with self._engine.begin() as connection:
            _lock(connection, project)
            rows = _of(connection, project, model)
            if not rows:
                raise DeploymentNotFound(project, model)
            previous = next((row for row in rows if row.side == Side.PREVIOUS), None)
            if previous is None:
                raise InvalidInput(
                    "model",
                    model,
                    "has no previous version to go back to",
                    remedy=f"Deploy one: `mlops:deploy {model} <version>`. Deployed: {_told(rows)}.",
                )
            _check_running(previous)
            return self._made_champion(connection, previous, rows)

    def set_weight(self, project: str, model: str, weight: int) -> Deployment:
        """Let the canary answer another share of the callers, from now on. Raises `DeploymentNotFound` where
        there is no canary."""
        with self._engine.begin() as connection:
            row = connection.execute(
                update(deployments)
                .where(_beside(project, model, Side.CANARY))
                .values(weight=weight, updated_at=func.now())
                .returning(deployments)
            ).one_or_none()
            if row is None:
                raise DeploymentNotFound(project, model)
            _notify(connection, ROUTES)
            return _deployment(row)

    def end(self, project: str, model: str, side: Side) -> Deployment:
        """Stop the canary, the shadow, or the previous champion; raises `DeploymentNotFound`."""
        with self._engine.begin() as connection:
            row = connection.execute(
                update(deployments)
                .where(_beside(project, model, side))
                .values(state=DeploymentState.STOPPING.value, updated_at=func.now())
                .returning(deployments)
            ).one_or_none()
            if row is None:
                raise DeploymentNotFound(project, model)
            _notify(connection, DEPLOYMENTS)
            _notify(connection, ROUTES)
            return _deployment(row)

    def withdraw(self, deployment_id: int, why: str) -> bool:
        """Take a canary out at once, with the evidence; returns whether it still was one."""
        with self._engine.begin() as connection:
            row = connection.execute(
                update(deployments)
                .where(
                    deployments.c.id == deployment_id,
                    deployments.c.side == Side.CANARY.value,
                    deployments.c.state == DeploymentState.RUNNING.value,
                )
                .values(state=DeploymentState.FAILED.value, weight=0, error=why, updated_at=func.now())
                .returning(deployments.c.id)
            ).one_or_none()
            _notify(connection, ROUTES)
            return row is not None

    def make_room(self) -> bool:
        """Stop the previous champion that was replaced first, of any project, as another deployment needs
        its place; returns whether there was one."""
        with self._engine.begin() as connection:
            oldest = (
                select(deployments.c.id)
                .where(deployments.c.side == Side.PREVIOUS.value, deployments.c.state.not_in(_GOING))
                .order_by(deployments.c.updated_at)
                .limit(1)
            )
            return _stop(connection, deployments.c.id.in_(oldest)) > 0

    def _made_champion(self, connection: Connection, row: Row[Any], rows: Sequence[Row[Any]]) -> Deployment:
        _crown(connection, row, rows)
        made = connection.execute(
            update(deployments)
            .where(deployments.c.id == row.id)
            .values(side=Side.CHAMPION.value, weight=0, updated_at=func.now())
            .returning(deployments)
        ).one()
        _notify(connection, DEPLOYMENTS)
        _notify(connection, ROUTES)
        return _deployment(made)

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

    def succeed(self, deployment_id: int) -> bool:
        """Once a champion runs and is still wanted: the one that answered so far is kept as the previous
        one, and older ones stop; returns whether anything changed."""
        with self._engine.begin() as connection:
            row = connection.execute(
                select(deployments).where(deployments.c.id == deployment_id)
            ).one_or_none()
            if row is None:
                return False
            _lock(connection, row.project)  # against a wish for one of the older ones
            rows = _of(connection, row.project, row.model)
            own = next((each for each in rows if each.id == deployment_id), None)
            older = [each for each in rows if each.side == Side.CHAMPION and each.id < deployment_id]
            if own is None or own.side != Side.CHAMPION or own.state != DeploymentState.RUNNING or not older:
                return False
            _crown(connection, own, [each for each in rows if each.id <= deployment_id])
            _notify(connection, ROUTES)
            return True

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

    def routes(self) -> dict[tuple[str, str], Endpoint]:
        """(project, model) -> what answers there: of each side the newest deployment that runs and has
        replicas. A model without such a champion is absent."""
        share = projects.c.settings["serving"]["log_share"].as_float()
        statement = (
            select(
                deployments,
                func.array_agg(replicas.c.url).label("urls"),
                func.min(share).label("log_share"),
            )
            .join(replicas, replicas.c.deployment_id == deployments.c.id)
            .join(projects, projects.c.name == deployments.c.project)
            .where(deployments.c.state == DeploymentState.RUNNING.value)
            .group_by(deployments.c.id)
            .order_by(deployments.c.id)
        )
        found: dict[tuple[str, str], dict[str, Target]] = {}
        shares: dict[tuple[str, str], float] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(statement):
                listening = tuple(Replica(row.id, url) for url in sorted(row.urls))
                key = (row.project, row.model)
                found.setdefault(key, {})[row.side] = Target(_deployment(row), listening)
                shares[key] = 1.0 if row.log_share is None else row.log_share
        return {
            key: Endpoint(sides[Side.CHAMPION], sides.get(Side.CANARY), sides.get(Side.SHADOW), shares[key])
            for key, sides in found.items()
            if Side.CHAMPION in sides
        }


def _lock(connection: Connection, project: str) -> None:
    # One wish at a time in a project, until the transaction ends.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:key))"), {"key": project})


def _check_quota(
    connection: Connection, project: str, model: str, side: Side, replica_count: int, quota: int
) -> None:
    # Champions replace each other, so the newest counts; what is kept to roll back to does not.
    others = (
        select(
            deployments.c.model,
            deployments.c.side,
            func.coalesce(deployments.c.most_replicas, deployments.c.replicas).label("most"),
        )
        .where(
            deployments.c.project == project,
            (deployments.c.model != model) | (deployments.c.side != side.value),
            deployments.c.side != Side.PREVIOUS.value,
            deployments.c.state.not_in(_GOING),
        )
        .order_by(deployments.c.id)
    )
    newest = {(row.model, row.side): row.most for row in connection.execute(others)}
    left = quota - sum(newest.values())
    if replica_count > left:
        raise InvalidInput(
            "replicas",
            replica_count,
            f"project {project!r} has {max(left, 0)} of its {quota} left",
            remedy="Undeploy another model, or raise `quotas.max_replicas` in project.toml and register.",
        )


def _of(connection: Connection, project: str, model: str) -> Sequence[Row[Any]]:
    """The model's deployments that serve or are on their way, newest first."""
    return connection.execute(
        select(deployments)
        .where(
            deployments.c.project == project,
            deployments.c.model == model,
            deployments.c.state.not_in(_GOING),
        )
        .order_by(deployments.c.id.desc())
    ).all()


def _beside(project: str, model: str, side: Side) -> ColumnElement[bool]:
    return (
        (deployments.c.project == project)
        & (deployments.c.model == model)
        & (deployments.c.side == side.value)
        & deployments.c.state.not_in(_GOING)
    )


def _crown(connection: Connection, row: Row[Any], rows: Sequence[Row[Any]]) -> None:
    """Make way for `row` as champion: of the others on that side the newest that runs becomes the previous
    one, once `row` itself runs; the rest stop, and so does an earlier previous one."""
    champions = [each for each in rows if each.side == Side.CHAMPION and each.id != row.id]
    running = [each for each in champions if each.state == DeploymentState.RUNNING]
    if row.state != DeploymentState.RUNNING:
        # What runs answers until this one does; what is on its way is no longer wanted.
        _stop_rows(connection, [each for each in champions if each not in running])
        return
    earlier = [each for each in rows if each.side == Side.PREVIOUS and each.id != row.id]
    kept = running[:1]
    replaced = earlier if kept else earlier[1:]
    _stop_rows(connection, [each for each in champions if each not in kept] + replaced)
    for each in kept:
        connection.execute(
            update(deployments)
            .where(deployments.c.id == each.id)
            .values(side=Side.PREVIOUS.value, weight=0, updated_at=func.now())
        )


def _check_beside(version: int, side: Side, champions: Sequence[Row[Any]]) -> None:
    if not champions:
        raise InvalidInput(
            "side",
            side.value,
            "needs a champion beside it, and nothing is deployed",
            remedy="Deploy it without --canary and --shadow.",
        )
    if any(each.version == version for each in champions):
        raise InvalidInput(
            "version", version, "is the champion", remedy=f"Choose another version as {side.value}."
        )


def _check_running(row: Row[Any]) -> None:
    if row.state != DeploymentState.RUNNING:
        raise InvalidInput(
            "version",
            row.version,
            f"is {row.state}, and answers nobody yet",
            remedy="Wait until it runs: `mlops:list-deployments`.",
        )


def _told(rows: Sequence[Row[Any]]) -> str:
    return ", ".join(f"{row.version} ({row.side}, {row.state})" for row in rows)


def _stop_rows(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    if rows:
        _stop(connection, deployments.c.id.in_([row.id for row in rows]))


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
        most_replicas=row.most_replicas,
        url=f"/projects/{row.project}/models/{row.model}/predict",
        created_at=row.created_at,
        updated_at=row.updated_at,
        bento=row.bento,
        error=row.error,
        side=Side(row.side),
        weight=row.weight,
    )
