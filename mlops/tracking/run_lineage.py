"""Where a run comes from and what came of it, as far as databases here tell: code, data, model versions,
deployments, drift reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from mlops.entities import USED_KEY, DataVersion, Deployment, DriftJob, ProjectWorkspace
from mlops.errors import ServiceUnavailable
from mlops.store.indexed_runs import IndexedRun
from mlops.store.store import Store
from mlops.tracking.datasets import data_versions, used_data

COMMIT, PROGRAM = "mlflow.source.git.commit", "mlflow.source.name"

_SETTINGS = "-c default_transaction_read_only=on -c statement_timeout=10s -c jit=off"

# Both read as MLflow 3.17 lays it out; a test runs them against a database that MLflow made.
_DATA = """
SELECT d.name, d.digest, d.dataset_source_type AS source_type, d.dataset_source AS source,
       d.dataset_profile AS profile,
       (SELECT json_object_agg(t.name, t.value) FROM input_tags t WHERE t.input_uuid = i.input_uuid) AS tags
  FROM inputs i
  JOIN datasets d ON d.dataset_uuid = i.source_id
 WHERE i.destination_type = 'RUN' AND i.destination_id = %(run)s AND i.source_type = 'DATASET'
 ORDER BY d.name
"""
_VERSIONS = """
SELECT v.name, v.version,
       ARRAY(SELECT a.alias FROM registered_model_aliases a
              WHERE a.workspace = v.workspace AND a.name = v.name AND a.version = v.version
              ORDER BY a.alias) AS aliases
  FROM model_versions v
 WHERE v.workspace = %(namespace)s AND v.run_id = %(run)s AND v.current_stage != 'Deleted_Internal'
 ORDER BY v.name, v.version
"""


@dataclass(frozen=True, slots=True)
class MadeVersion:
    """A model version that a run made."""

    name: str
    version: int
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunLineage:
    """A run between what it was made of and what was made of it."""

    commit: str
    """Git's; empty where the program is in no repository."""
    program: str
    data: tuple[DataVersion, ...]
    versions: tuple[MadeVersion, ...]
    deployments: tuple[Deployment, ...]
    """Of those versions, the newest first."""
    reports: tuple[DriftJob, ...]
    """The newest drift report of each of those versions, without rows."""
    remark: str = ""
    """What could not be asked."""


class RunLineages:
    """Reads the platform's database, and MLflow's at `mlflow_url`; None where MLflow is elsewhere, and the
    index tells."""

    def __init__(self, store: Store, mlflow_url: str | None) -> None:
        self._store = store
        self._url = mlflow_url

    def of(self, workspace: ProjectWorkspace, run: IndexedRun) -> RunLineage:
        """The lineage of a run of this workspace. Raises `ServiceUnavailable` without Postgres."""
        data, versions, remark = self._known(workspace, run)
        made = {(each.name, each.version) for each in versions}
        project = workspace.project_name
        served = (each for each in self._store.deployments.all(project) if (each.model, each.version) in made)
        reports = (self._store.drift.newest_of(project, *each) for each in sorted(made))
        return RunLineage(
            commit=run.tags.get(COMMIT, ""),
            program=run.tags.get(PROGRAM, ""),
            data=data,
            versions=versions,
            deployments=tuple(sorted(served, key=lambda each: -each.id)) if made else (),
            reports=tuple(each for each in reports if each is not None),
            remark=remark,
        )

    def _known(
        self, workspace: ProjectWorkspace, run: IndexedRun
    ) -> tuple[tuple[DataVersion, ...], tuple[MadeVersion, ...], str]:
        if self._url is None:
            return self._indexed(run), self._made(run), ""
        values = {"namespace": workspace.namespace, "run": run.id}
        try:
            with psycopg.connect(
                self._url, connect_timeout=5, application_name="mlops-lineage", options=_SETTINGS,
                row_factory=dict_row,
            ) as connection:  # fmt: skip
                inputs = connection.execute(_DATA, values).fetchall()
                versions = connection.execute(_VERSIONS, values).fetchall()
        except psycopg.errors.UndefinedTable:
            return _used(run), (), "MLflow has not made its tables yet."
        except psycopg.Error as error:
            raise ServiceUnavailable("postgres", str(error).strip()) from None
        made = tuple(MadeVersion(row["name"], row["version"], tuple(row["aliases"])) for row in versions)
        data = data_versions(run.project, _as_mlflow_tells(inputs, run.tags))
        return data or _used(run), made, ""

    def _indexed(self, run: IndexedRun) -> tuple[DataVersion, ...]:
        """The data that the index knows the run to have used; each as it was when it was first seen."""
        uses = self._store.data.of_run(run.project, run.id)
        known = ((use, self._store.data.find(run.project, use.path, use.hash)) for use in uses)
        found = tuple(replace(each.version, declared=use.declared) for use, each in known if each is not None)
        return used_data(found) or _used(run)

    def _made(self, run: IndexedRun) -> tuple[MadeVersion, ...]:
        found = self._store.model_versions.of_run(run.project, run.id)
        return tuple(MadeVersion(each.model, each.version, each.aliases) for each in found)


def _used(run: IndexedRun) -> tuple[DataVersion, ...]:
    """The data that the run's tags name; its size is not known."""
    found = {key.removeprefix(USED_KEY): path for key, path in run.tags.items() if key.startswith(USED_KEY)}
    return tuple(
        DataVersion(run.project, path, hash, 0, 0, None, False, "") for hash, path in sorted(found.items())
    )


def _as_mlflow_tells(inputs: list[dict[str, Any]], tags: Mapping[str, str]) -> dict[str, Any]:
    return {
        "inputs": {"dataset_inputs": [{"dataset": row, "tags": _pairs(row["tags"] or {})} for row in inputs]},
        "data": {"tags": _pairs(tags)},
    }


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]
