"""Moves MLflow's alias `champion` to the version that became the champion by a command of ours, whether a
client asked, a page or a program by the API."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from mlops.entities import DeploymentState, Side
from mlops.errors import MLOpsError, ServiceUnavailable
from mlops.store.aliases import Key, Wish
from mlops.store.store import Store
from mlops.tracking.admin import MLflowAdmin
from mlops.worker.aliases import Alias

log = logging.getLogger(__name__)

AGAIN_S = 30.0
"""After MLflow did not answer."""


class AliasMover:
    """Does what `FollowedAliases.command` and `want` asked for. An alias that somebody has moved after that
    stays where it is: that is a wish of its own. One that was moved before is overruled."""

    def __init__(
        self, store: Store, admin: Callable[[], MLflowAdmin], read: Callable[[], Mapping[Key, Alias]] = dict
    ) -> None:
        """`admin` is asked at each move: an embedded MLflow may come back on another port. `read` tells the
        aliases as `AliasFollower.read` does; nothing where MLflow's database is not read."""
        self._store = store
        self._admin = admin
        self._read = read
        self._not_before = 0.0

    def look(self) -> int:
        """Move what is to be moved; returns how many were. Raises `ServiceUnavailable` without Postgres;
        while MLflow is away it waits."""
        wishes = {} if time.monotonic() < self._not_before else self._store.aliases.wishes()
        if not wishes:
            return 0
        seen, aliases = self._store.aliases.stamps(), self._read()
        return sum(self._move(key, wish, aliases.get(key), seen[key]) for key, wish in wishes.items())

    def _move(self, key: Key, wish: Wish, alias: Alias | None, seen: int) -> bool:
        is_overruled = alias is None or alias.stamp == seen or wish.is_after(alias.stamp)
        is_elsewhere = alias is None or alias.version != wish.version
        is_due = is_overruled and is_elsewhere and self._is_champion(key, wish.version)
        is_moved = is_due and self._told(key, wish.version)
        if time.monotonic() < self._not_before:
            return False
        if is_overruled:
            self._note(key, wish.version if is_moved else None, alias)
        self._store.aliases.done(key, wish)
        return is_moved

    def _note(self, key: Key, moved_to: int | None, before: Alias | None) -> None:
        """What was done here, could not be, or was overruled is nobody's wish for the follower."""
        now = self._read().get(key)
        if now is not None and (now == before or now.version == moved_to):
            self._store.aliases.put({key: now.stamp})

    def _is_champion(self, key: Key, version: int) -> bool:
        """Whether it still is: another one has its own wish, or its alias already."""
        project, model = key
        return any(
            (row.model, row.version, row.side) == (model, version, Side.CHAMPION)
            and row.state is DeploymentState.RUNNING
            for row in self._store.deployments.all(project)
        )

    def _told(self, key: Key, version: int) -> bool:
        project, model = key
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
