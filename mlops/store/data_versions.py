"""Versions of projects' data, and which runs used them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from mlops.entities import DataCheck, DataVersion, RunStatus
from mlops.store.indexed_runs import IndexedRun
from mlops.store.pairs import pairs


@dataclass(frozen=True, slots=True)
class KnownData:
    """A version of data, and who uses it."""

    version: DataVersion
    seen_at: datetime
    """When it was added, or first used, whichever is known."""
    used_by: int
    """Runs that read it."""
    declared_by: int
    """Runs whose project declares it, and that were not seen to read it."""

    @property
    def failed(self) -> int:
        """How many of its checks did not pass."""
        return sum(not each.passed for each in self.version.checks)


@dataclass(frozen=True, slots=True)
class NewestData:
    """What a project's newest version is."""

    path: str
    hash: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class DataUser:
    """A run that used a version."""

    id: str
    """MLflow's."""
    name: str
    status: RunStatus
    started_at: datetime
    declared: bool
    """Its project declares the version, and the run was not seen to read it."""
    models: tuple[tuple[str, int], ...] = ()
    """Models and versions that the run made."""


@dataclass(frozen=True, slots=True)
class UsedData:
    """A version that a run used."""

    path: str
    hash: str
    declared: bool


class DataVersions:
    """The tables `data_versions` and `run_data`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, version: DataVersion, at: datetime) -> None:
        """Remember a version that was added then; the checks are those of its last adding."""
        with self._engine.begin() as connection:
            _put_versions(connection, [(version, at)])

    def all(self, project: str, path: str, most: int) -> list[KnownData]:
        """A project's versions, of all paths if that is empty, the newest first."""
        return self._read(_OF_A_PROJECT, project=project, path=path, most=most)

    def newest(self, most: int) -> list[KnownData]:
        """The newest version of each path of all projects, the newest first."""
        return self._read(_NEWEST, most=most)

    def of_projects(self) -> dict[str, NewestData]:
        """The newest version of each project that has any."""
        with self._engine.connect() as connection:
            return {
                row.project: NewestData(row.path, row.hash, row.seen_at)
                for row in connection.execute(_OF_PROJECTS)
            }

    def find(self, project: str, path: str, hash: str) -> KnownData | None:
        """One of them."""
        return next(iter(self._read(_ONE, project=project, path=path, hash=hash)), None)

    def users(self, project: str, path: str, hash: str, most: int) -> list[DataUser]:
        """The runs that used it, the newest first."""
        values = {"project": project, "path": path, "hash": hash, "most": most}
        with self._engine.connect() as connection:
            return [
                DataUser(
                    row.id,
                    row.name,
                    RunStatus(row.status),
                    row.started_at,
                    row.declared,
                    tuple((model, version) for model, version in row.models),
                )
                for row in connection.execute(_USERS, values)
            ]

    def of_run(self, project: str, run_id: str) -> list[UsedData]:
        """What a run, by MLflow's id, used, by path; what it read before what is declared."""
        with self._engine.connect() as connection:
            found = connection.execute(_OF_RUN, {"project": project, "run_id": run_id})
            return [UsedData(row.path, row.hash, row.declared) for row in found]

    def _read(self, statement: Any, **values: object) -> list[KnownData]:
        with self._engine.connect() as connection:
            return [_known(row) for row in connection.execute(statement, values)]


def put_data(connection: Connection, found: Sequence[IndexedRun]) -> int:
    """Write down which data these runs used, and no other; returns how many rows changed."""
    _put_versions(connection, ((each, run.started_at) for run in found for each in run.data))
    rows = sorted((run.id, each.path, each.hash, each.declared, run.project)
                  for run in found for each in run.data)  # fmt: skip
    names = ("run_id", "path", "hash", "declared", "project")
    values = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    changed = connection.execute(_DROP_USES, {**values, "runs": [run.id for run in found]}).rowcount
    return changed + (connection.execute(_PUT_USES, values).rowcount if rows else 0)


def _put_versions(connection: Connection, found: Iterable[tuple[DataVersion, datetime]]) -> None:
    # In one order by all who write, so that none waits for another crosswise.
    rows = sorted(found, key=lambda each: (each[0].project, each[0].path, each[0].hash, each[1]))
    if not rows:
        return
    plain = ("project", "path", "hash", "size_bytes", "files", "remote")
    values: dict[str, list[Any]] = {name: [getattr(each, name) for each, _ in rows] for name in plain}
    values["git_revision"] = [each.git_revision or "" for each, _ in rows]
    values["checks"] = [json.dumps([asdict(check) for check in each.checks]) for each, _ in rows]
    values["seen_at"] = [at for _, at in rows]
    connection.execute(_PUT_VERSIONS, values)


def _known(row: Row[Any]) -> KnownData:
    version = DataVersion(
        project=row.project,
        path=row.path,
        hash=row.hash,
        size_bytes=row.size_bytes,
        files=row.files,
        git_revision=row.git_revision or None,
        git_dirty=False,
        remote=row.remote,
        checks=DataCheck.listed(row.checks),
    )
    return KnownData(version, row.seen_at, row.used_by, row.declared_by)


_PUT_VERSIONS = text("""
INSERT INTO data_versions AS known
       (project, path, hash, size_bytes, files, git_revision, remote, checks, seen_at)
SELECT DISTINCT ON (project, path, hash)
       project, path, hash, size_bytes, files, git_revision, remote, checks::jsonb, seen_at
  FROM unnest(CAST(:project AS text[]), CAST(:path AS text[]), CAST(:hash AS text[]),
              CAST(:size_bytes AS bigint[]), CAST(:files AS bigint[]), CAST(:git_revision AS text[]),
              CAST(:remote AS text[]), CAST(:checks AS text[]), CAST(:seen_at AS timestamptz[]))
    AS new(project, path, hash, size_bytes, files, git_revision, remote, checks, seen_at)
 WHERE project IN (SELECT name FROM projects)
 ORDER BY project, path, hash, seen_at
    ON CONFLICT (project, path, hash) DO UPDATE
   SET seen_at = least(known.seen_at, excluded.seen_at),
       git_revision = coalesce(nullif(known.git_revision, ''), excluded.git_revision),
       remote = coalesce(nullif(excluded.remote, ''), known.remote),
       checks = CASE excluded.checks WHEN '[]' THEN known.checks ELSE excluded.checks END
 WHERE excluded.seen_at < known.seen_at
    OR (known.git_revision = '' AND excluded.git_revision <> '')
    OR excluded.remote NOT IN ('', known.remote)
    OR (excluded.checks <> '[]' AND excluded.checks <> known.checks)
""")

_DROP_USES = text("""
DELETE FROM run_data AS old
 WHERE run_id = ANY(CAST(:runs AS text[]))
   AND NOT EXISTS (SELECT FROM unnest(CAST(:run_id AS text[]), CAST(:path AS text[]), CAST(:hash AS text[]))
                            AS new(run_id, path, hash)
                    WHERE (new.run_id, new.path, new.hash) = (old.run_id, old.path, old.hash))
""")

_PUT_USES = text("""
INSERT INTO run_data (run_id, project, path, hash, declared)
SELECT DISTINCT ON (new.run_id, path, hash) new.run_id, new.project, path, hash, declared
  FROM unnest(CAST(:run_id AS text[]), CAST(:project AS text[]), CAST(:path AS text[]),
              CAST(:hash AS text[]), CAST(:declared AS bool[]))
    AS new(run_id, project, path, hash, declared)
  JOIN runs ON runs.id = new.run_id
 ORDER BY new.run_id, path, hash, declared
    ON CONFLICT (run_id, path, hash) DO UPDATE SET declared = excluded.declared, project = excluded.project
 WHERE (run_data.declared, run_data.project) IS DISTINCT FROM (excluded.declared, excluded.project)
""")

_COUNTED = """
SELECT known.*, uses.used_by, uses.declared_by
  FROM {known} AS known
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE NOT declared) AS used_by,
              count(*) FILTER (WHERE declared) AS declared_by
         FROM run_data AS use
        WHERE (use.project, use.path, use.hash) = (known.project, known.path, known.hash)) AS uses
 ORDER BY known.seen_at DESC, known.project, known.path
"""
_OF_A_PROJECT = text(
    _COUNTED.format(
        known="""(SELECT * FROM data_versions WHERE project = :project AND :path IN ('', path)
                   ORDER BY seen_at DESC LIMIT :most)"""
    )
)
_ONE = text(
    _COUNTED.format(
        known="(SELECT * FROM data_versions WHERE project = :project AND path = :path AND hash = :hash)"
    )
)
_NEWEST = text(
    _COUNTED.format(
        known="""(SELECT newest.* FROM {pairs} AS each
                   CROSS JOIN LATERAL (
                         SELECT * FROM data_versions
                          WHERE project = each.project AND path = each.path
                          ORDER BY seen_at DESC LIMIT 1) AS newest
                   ORDER BY newest.seen_at DESC LIMIT :most)"""
    ).format(pairs=pairs("data_versions", "project", "path"))
)
_OF_PROJECTS = text("""
SELECT newest.project, newest.path, newest.hash, newest.seen_at
  FROM projects CROSS JOIN LATERAL (
       SELECT * FROM data_versions WHERE project = projects.name ORDER BY seen_at DESC LIMIT 1) AS newest
""")
_OF_RUN = text("""
SELECT path, hash, declared FROM run_data
 WHERE run_id = :run_id AND project = :project ORDER BY declared, path
""")
_USERS = text("""
SELECT runs.id, runs.name, runs.status, runs.started_at, use.declared,
       ARRAY(SELECT jsonb_build_array(model, version) FROM model_versions AS made
              WHERE made.project = use.project AND made.run_id = use.run_id
              ORDER BY model, version) AS models
  FROM run_data AS use JOIN runs ON runs.id = use.run_id
 WHERE use.project = :project AND use.path = :path AND use.hash = :hash
 ORDER BY runs.started_at DESC, runs.id DESC LIMIT :most
""")
