"""Versions of registered models of all projects, as MLflow has them. The worker keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, select, text

from mlops.store.pairs import pairs
from mlops.store.tables import model_versions

_PUT = text("""
INSERT INTO model_versions (project, model, version, run_id, created_at, "user", description, location,
                            run_location, tags, aliases)
SELECT project, model, version, run_id, created_at, author, description, location, run_location,
       tags::jsonb, ARRAY(SELECT jsonb_array_elements_text(aliases::jsonb))
  FROM unnest(CAST(:project AS text[]), CAST(:model AS text[]), CAST(:version AS int[]),
              CAST(:run_id AS text[]), CAST(:created_at AS timestamptz[]), CAST(:user AS text[]),
              CAST(:description AS text[]), CAST(:location AS text[]), CAST(:run_location AS text[]),
              CAST(:tags AS text[]), CAST(:aliases AS text[]))
    AS new(project, model, version, run_id, created_at, author, description, location, run_location, tags,
           aliases)
 WHERE project IN (SELECT name FROM projects)
    ON CONFLICT (project, model, version) DO UPDATE
   SET run_id = excluded.run_id, created_at = excluded.created_at, "user" = excluded."user",
       description = excluded.description, location = excluded.location,
       run_location = excluded.run_location, tags = excluded.tags, aliases = excluded.aliases
 WHERE (model_versions.*) IS DISTINCT FROM (excluded.*)
""")

_DROP = text("""
DELETE FROM model_versions AS old
 WHERE (CAST(:within AS text) IS NULL OR old.project = :within)
   AND NOT EXISTS (SELECT FROM unnest(CAST(:project AS text[]), CAST(:model AS text[]),
                                      CAST(:version AS int[])) AS new(project, model, version)
                    WHERE (new.project, new.model, new.version) = (old.project, old.model, old.version))
""")

_HEADS = """
SELECT DISTINCT ON (head.project, head.model, head.version) head.*,
       (SELECT count(*) FROM model_versions AS each
         WHERE each.project = head.project AND each.model = head.model) AS of_model
  FROM (SELECT newest.* FROM {pairs} AS each
         CROSS JOIN LATERAL (
               SELECT * FROM model_versions WHERE project = each.project AND model = each.model
                ORDER BY version DESC LIMIT 1) AS newest
         UNION ALL
        SELECT * FROM model_versions WHERE cardinality(aliases) > 0) AS head
 WHERE CAST(:project AS text) IS NULL OR head.project = :project
 ORDER BY head.project, head.model, head.version DESC
"""


@dataclass(frozen=True, slots=True)
class IndexedVersion:
    """One version of a registered model."""

    project: str
    model: str
    version: int
    created_at: datetime
    run_id: str = ""
    """MLflow's, of the run that made it; empty where none is told."""
    user: str = ""
    description: str = ""
    location: str = ""
    """MLflow's URI of its files."""
    run_location: str = ""
    """MLflow's URI of its run's artifacts."""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def flavor(self) -> str:
        """What it was logged as; empty where other hands registered it."""
        return self.tags.get("flavor", "")


class ModelVersions:
    """The table `model_versions`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, found: Sequence[IndexedVersion], within: str | None = None) -> int:
        """Have these alone, in all projects or within one; returns how many rows changed. One whose project
        there is not is left out."""
        columns = _columns(found)
        kept = {name: columns[name] for name in ("project", "model", "version")} | {"within": within}
        with self._engine.begin() as connection:
            gone = connection.execute(_DROP, kept).rowcount
            return gone + connection.execute(_PUT, columns).rowcount

    def heads(self, project: str | None = None) -> list[tuple[IndexedVersion, int]]:
        """Of every model, or of a project's, the newest version and those that have aliases, each with the
        number of the model's versions; by project and model, newest first."""
        with self._engine.connect() as connection:
            heads = text(_HEADS.format(pairs=pairs("model_versions", "project", "model")))
            found = connection.execute(heads, {"project": project})
            return [(_version(row), row.of_model) for row in found]

    def of_model(
        self, project: str, model: str, count: int, before: int | None = None
    ) -> list[IndexedVersion]:
        """The newest versions of a model, or the newest before one, newest first."""
        wanted = _of(project, model)
        if before is not None:
            wanted &= model_versions.c.version < before
        statement = select(model_versions).where(wanted).order_by(model_versions.c.version.desc())
        with self._engine.connect() as connection:
            return [_version(row) for row in connection.execute(statement.limit(count))]

    def of_run(self, project: str, run_id: str) -> list[IndexedVersion]:
        """Those that a run, by MLflow's id, made; by model and version."""
        made = (model_versions.c.project == project) & (model_versions.c.run_id == run_id)
        statement = (
            select(model_versions).where(made).order_by(model_versions.c.model, model_versions.c.version)
        )
        with self._engine.connect() as connection:
            return [_version(row) for row in connection.execute(statement)]

    def get(self, project: str, model: str, version: int) -> IndexedVersion | None:
        """One of them, or None."""
        statement = select(model_versions).where(_of(project, model), model_versions.c.version == version)
        with self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _version(row)


def _of(project: str, model: str) -> ColumnElement[bool]:
    return (model_versions.c.project == project) & (model_versions.c.model == model)


def _columns(found: Sequence[IndexedVersion]) -> dict[str, list[Any]]:
    plain = ("project", "model", "version", "run_id", "created_at", "user", "description", "location",
             "run_location")  # fmt: skip
    return {name: [getattr(each, name) for each in found] for name in plain} | {
        "tags": [json.dumps(dict(each.tags)) for each in found],
        "aliases": [json.dumps(each.aliases) for each in found],
    }


def _version(row: Row[Any]) -> IndexedVersion:
    return IndexedVersion(
        project=row.project,
        model=row.model,
        version=row.version,
        created_at=row.created_at,
        run_id=row.run_id,
        user=row.user,
        description=row.description,
        location=row.location,
        run_location=row.run_location,
        tags=row.tags,
        aliases=tuple(row.aliases),
    )
