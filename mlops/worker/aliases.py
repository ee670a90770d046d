"""The alias `champion` in MLflow's own database: a change of it is a wish.

What our own commands set was done already; what is set in MLflow's pages or by its API is done here.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime

import psycopg

from mlops.entities import Deployment, DeploymentState, Side
from mlops.errors import InvalidInput, ServiceUnavailable
from mlops.store.aliases import Key
from mlops.store.store import Store

log = logging.getLogger(__name__)

CALM_S = 2.0

# Read as MLflow 3.17 lays it out; a test runs this against a database that MLflow made. A row's xmin is the
# transaction that wrote it: an alias that was moved away and back between two looks is an event, too.
_CHAMPIONS = """
SELECT w.project, a.name, a.version, a.xmin::text::bigint
  FROM unnest(%(projects)s::text[], %(namespaces)s::text[]) AS w(project, namespace)
  JOIN registered_model_aliases a ON a.workspace = w.namespace AND a.alias = 'champion'
"""


@dataclass(frozen=True, slots=True)
class Alias:
    """What MLflow's alias names."""

    version: int
    stamp: int
    """The transaction that moved it."""


class AliasFollower:
    """Promotes, or deploys, the version that MLflow's alias `champion` was moved to, of models that serve.

    Our own commands change the champion first and the alias a moment later, and two of them may follow each
    other closely: an alias is compared with a champion that has not changed for `calm_s` seconds. One that
    was moved before the command that changed the champion is no wish any more (`Wish.is_after`)."""

    def __init__(self, store: Store, mlflow_url: str, *, calm_s: float = CALM_S) -> None:
        self._store = store
        self._url = mlflow_url
        self._calm_s = calm_s
        self._champions: dict[Key, tuple[tuple[int, datetime], float]] = {}  # what it was, and since when

    def look(self) -> int:
        """Compare the aliases with those of the last look; returns how many wishes that gave. Raises
        `ServiceUnavailable` when Postgres does not answer."""
        now = self.read()
        before, pending = self._store.aliases.stamps(), self._store.aliases.wishes()
        changed = {
            key: alias
            for key, alias in now.items()
            if before.get(key) != alias.stamp and not (key in pending and pending[key].is_after(alias.stamp))
        }
        champions = {
            (row.project, row.model): row
            for row in (self._store.deployments.all() if changed else ())
            if row.side is Side.CHAMPION and row.state is not DeploymentState.FAILED
        }
        moved = {key: alias for key, alias in changed.items() if self._is_calm(key, champions.get(key))}
        wishes = sum(self._follow(champions.get(key), *key, alias.version) for key, alias in moved.items())
        self._store.aliases.put({key: alias.stamp for key, alias in moved.items()})
        return wishes

    def _is_calm(self, key: Key, champion: Deployment | None) -> bool:
        if champion is None:
            return True
        found = (champion.id, champion.updated_at)
        known, since = self._champions.get(key, (None, 0.0))
        if known != found:
            since = time.monotonic()
            self._champions[key] = (found, since)
        return time.monotonic() - since >= self._calm_s

    def _follow(self, champion: Deployment | None, project: str, model: str, version: int) -> bool:
        rows = [row for row in self._store.deployments.all(project) if row.model == model]
        if champion is None or champion.version == version:
            return False
        running = any(row.version == version and row.state is DeploymentState.RUNNING for row in rows)
        try:
            if running:
                self._store.deployments.promote(project, model, version)
            else:
                self._store.deployments.want(
                    project, model, version, champion.replicas, most=champion.most_replicas
                )
        except InvalidInput as error:
            log.warning("alias champion of %s/%s: %s", project, model, error.message)
            return False
        self._store.audit.record(
            "mlflow alias", "promote" if running else "deploy", project, model=model, version=version
        )
        return True

    def read(self) -> dict[Key, Alias]:
        """The aliases as they are; raises as `look` does."""
        known = self._store.projects.all()
        if not known:
            return {}
        projects, namespaces = [each.project_name for each in known], [each.namespace for each in known]
        try:
            with psycopg.connect(
                self._url,
                connect_timeout=5,
                application_name="mlops-aliases",
                options="-c default_transaction_read_only=on -c statement_timeout=10000",
            ) as connection:
                rows = connection.execute(_CHAMPIONS, {"projects": projects, "namespaces": namespaces})
                return {
                    (project, name): Alias(version, stamp)
                    for project, name, version, stamp in rows.fetchall()
                }
        except psycopg.errors.UndefinedTable:
            return {}  # MLflow has not made its tables yet
        except psycopg.Error as error:
            raise ServiceUnavailable("postgres", str(error).strip()) from None
