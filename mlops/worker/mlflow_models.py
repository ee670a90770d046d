"""Versions of registered models as they stand in MLflow's own database, which is only read.

They are few and change seldom: a mark tells whether anything did, and then all of them are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg

from mlops.store.model_versions import IndexedVersion
from mlops.worker.mlflow_values import LONGEST

# A row's xmin is the transaction that wrote it. Later ones are greater: where as many rows have the same sum,
# nothing was written or removed. All read as MLflow 3.17 lays it out; a test runs it on MLflow's own.
_MARK = """
SELECT concat_ws(' ',
       (SELECT concat(count(*), '/', sum(xmin::text::bigint)) FROM registered_models),
       (SELECT concat(count(*), '/', sum(xmin::text::bigint)) FROM model_versions),
       (SELECT concat(count(*), '/', sum(xmin::text::bigint)) FROM model_version_tags),
       (SELECT concat(count(*), '/', sum(xmin::text::bigint)) FROM registered_model_aliases)) AS mark
"""

_VERSIONS = """
SELECT w.project, v.name AS model, v.version, v.creation_time, v.run_id, v.user_id, v.description,
       coalesce(l.artifact_location, v.storage_location, v.source) AS location,
       r.artifact_uri AS run_location, t.tags, a.aliases
  FROM model_versions v
  JOIN unnest(%(projects)s::text[], %(namespaces)s::text[]) AS w(project, namespace)
    ON w.namespace = v.workspace
  LEFT JOIN logged_models l ON l.model_id = substr(v.source, length('models:/') + 1)
  LEFT JOIN runs r ON r.run_uuid = v.run_id
  LEFT JOIN (SELECT workspace, name, version, json_object_agg(key, value) AS tags
               FROM model_version_tags WHERE length(value) <= %(longest)s
              GROUP BY workspace, name, version) AS t
    ON (t.workspace, t.name, t.version) = (v.workspace, v.name, v.version)
  LEFT JOIN (SELECT workspace, name, version, array_agg(alias ORDER BY alias) AS aliases
               FROM registered_model_aliases
              GROUP BY workspace, name, version) AS a
    ON (a.workspace, a.name, a.version) = (v.workspace, v.name, v.version)
 WHERE v.current_stage IS DISTINCT FROM 'Deleted_Internal'
"""


def registry_mark(connection: psycopg.Connection[Any]) -> str:
    """Another one than before where anything of a registered model changed."""
    row: Any = connection.execute(_MARK).fetchone()
    return str(row.mark)


def read_versions(connection: psycopg.Connection[Any], projects: Mapping[str, str]) -> list[IndexedVersion]:
    """Every version of these projects' models (name -> workspace) that is not deleted."""
    values = {"projects": list(projects), "namespaces": list(projects.values()), "longest": LONGEST}
    return [_version(row) for row in connection.execute(_VERSIONS, values)]


def _version(row: Any) -> IndexedVersion:
    return IndexedVersion(
        project=row.project,
        model=row.model,
        version=row.version,
        created_at=datetime.fromtimestamp((row.creation_time or 0) / 1000, UTC),  # the server chose it
        run_id=row.run_id or "",
        user=row.user_id or "",
        description=row.description or "",
        location=row.location or "",
        run_location=row.run_location or "",
        tags={key: value or "" for key, value in (row.tags or {}).items()},
        aliases=tuple(row.aliases or ()),
    )
