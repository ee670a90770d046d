"""The alias `champion` in MLflow's own database: a change of it is a wish.

What our own commands set was done already; what is set in MLflow's pages or by its API is done here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psycopg

from mlops.entities import DeploymentState, Side
from mlops.errors import InvalidInput, ServiceUnavailable
from mlops.store.store import Store

log = logging.getLogger(__name__)

# Read as MLflow 3.17 lays it out; a test runs this against a database that MLflow made. A row's xmin is the
# transaction that wrote it: an alias that was moved away and back between two looks is an event, too.
_CHAMPIONS = """
SELECT w.project, a.name, a.version, a.xmin::text::bigint
  FROM unnest(%(projects)s::text[], %(namespaces)s::text[]) AS w(project, namespace)
  JOIN registered_model_aliases a ON a.workspace = w.namespace AND a.alias = 'champion'
"""


@dataclass(frozen=True, slots=True)
class _Alias:
    version: int
    stamp: int


class AliasFollower:
    """Promotes, or deploys, the version that MLflow's alias `champion` was moved to, of models that serve."""

    def __init__(self, store: Store, mlflow_url: str) -> None:
        self._store = store
        self._url = mlflow_url

    def look(self) -> int:
        """Compare the aliases with those of the last look; returns how many wishes that gave. Raises
        `ServiceUnavailable` when Postgres does not answer."""
        projects = self._store.projects.all()
        if not projects:
            return 0
        now = self._read([each.project_name for each in projects], [each.namespace for each in projects])
        before = self._store.deployments.followed()
        moved = {key: alias for key, alias in now.items() if before.get(key) != alias.stamp}
        wishes = sum(self._follow(*key, alias.version) for key, alias in moved.items())
        self._store.deployments.follow({key: alias.stamp for key, alias in moved.items()})
        return wishes

    def _follow(self, project: str, model: str, version: int) -> bool:
        rows = [row for row in self._store.deployments.all(project) if row.model == model]
        champion = next(
            (row for row in rows if row.side is Side.CHAMPION and row.state is not DeploymentState.FAILED),
            None,
        )
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

    def _read(self, projects: list[str], namespaces: list[str]) -> dict[tuple[str, str], _Alias]:
        try:
            with psycopg.connect(
                self._url,
                connect_timeout=5,
                application_name="mlops-aliases",
                options="-c default_transaction_read_only=on -c statement_timeout=10000",
            ) as connection:
                rows = connection.execute(_CHAMPIONS, {"projects": projects, "namespaces": namespaces})
                return {
                    (project, name): _Alias(version, stamp)
                    for project, name, version, stamp in rows.fetchall()
                }
        except psycopg.errors.UndefinedTable:
            return {}  # MLflow has not made its tables yet
        except psycopg.Error as error:
            raise ServiceUnavailable("postgres", str(error).strip()) from None
