"""Moves MLflow's alias `champion` to the version that became the champion by a command of ours, whether a
client asked, a page or a program by the API."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mlops.entities import DeploymentState, Side
from mlops.errors import MLOpsError, ServiceUnavailable
from mlops.store.store import Store
from mlops.tracking.admin import MLflowAdmin

log = logging.getLogger(__name__)

Current = Callable[[], dict[tuple[str, str], tuple[int, bool]]]
AGAIN_S = 30.0
"""After MLflow did not answer."""


class AliasMover:
    """Does what `FollowedAliases.want` asked for. An alias that somebody has moved meanwhile stays where it
    is: that is a wish of its own."""

    def __init__(self, store: Store, admin: Callable[[], MLflowAdmin], current: Current = dict) -> None:
        """`admin` is asked at each move: an embedded MLflow may come back on another port. `current` tells
        the aliases as `AliasFollower.current` does; nothing where MLflow's database is not read."""
        self._store = store
        self._admin = admin
        self._current = current
        self._not_before = 0.0

    def look(self) -> int:
        """Move what is to be moved; returns how many were. Raises `ServiceUnavailable` without Postgres;
        while MLflow is away it waits."""
        wanted = {} if time.monotonic() < self._not_before else self._store.aliases.wanted()
        current = self._current() if wanted else {}
        return sum(self._move(*key, version, current.get(key)) for key, version in wanted.items())

    def _move(self, project: str, model: str, version: int, found: tuple[int, bool] | None) -> bool:
        is_due = found is None or (found[0] != version and not found[1])
        is_moved = (
            is_due and self._is_champion(project, model, version) and self._told(project, model, version)
        )
        if time.monotonic() >= self._not_before:
            self._store.aliases.moved(project, model, version)
        return is_moved

    def _is_champion(self, project: str, model: str, version: int) -> bool:
        """Whether it still is: another one has its own wish, or its alias already."""
        return any(
            (row.model, row.version, row.side) == (model, version, Side.CHAMPION)
            and row.state is DeploymentState.RUNNING
            for row in self._store.deployments.all(project)
        )

    def _told(self, project: str, model: str, version: int) -> bool:
        namespace = self._store.projects.get(project).namespace
        try:
            is_there = self._admin().set_alias(namespace, model, Side.CHAMPION.value, version)
        except ServiceUnavailable as error:
            self._not_before = time.monotonic() + AGAIN_S
            log.warning("alias champion of %s/%s waits: %s", project, model, error.message)
            return False
        except MLOpsError as error:
            log.warning("alias champion of %s/%s was not moved: %s", project, model, error.message)
            return False
        if not is_there:
            log.warning("alias champion of %s/%s: MLflow has no version %s", project, model, version)
        return is_there
