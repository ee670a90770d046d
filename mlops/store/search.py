"""Finds what a few words name: projects, runs, models, deployments and versions of data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, select
from sqlalchemy import text as sql

from mlops.store.indexed_runs import words
from mlops.store.pairs import pairs
from mlops.store.run_query import RunQuery
from mlops.store.run_select import select_runs
from mlops.store.tables import deployments, model_versions, projects, runs

_PATIENCE = sql("SET LOCAL statement_timeout = '2s'")
"""Nobody who types waits longer."""
_LOOKED_AT = 200
"""Newest runs with the words, among whose data versions is looked for those that have them."""


class What(StrEnum):
    """What was found, in the order in which it is told."""

    PROJECT = "project"
    RUN = "run"
    MODEL = "model"
    DEPLOYMENT = "deployment"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that has the words."""

    what: What
    project: str
    name: str
    """Of a version of data its path."""
    id: str = ""
    """MLflow's of a run, the version of a deployment, the hash of data."""
    state: str = ""
    """Of a run or a deployment."""


class Search:
    """Reads `projects`, `deployments`, and the indexes of runs and of model versions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, text: str, within: str | None = None, most: int = 6) -> list[Found]:
        """At most `most` of each kind, runs and data newest first, the others by name. `within` is the one
        project that is looked at, None is all. Runs have a word that begins with each of the text's; names of
        others hold each. Nothing for a text without a letter or digit; raises `InvalidInput` for one of over
        20 words, and for what Postgres cannot store, and `ServiceUnavailable` after two seconds."""
        if not any(words(text)):
            return []
        query = RunQuery.of(project=() if within is None else (within,), text=text, limit=most)
        with self._engine.connect() as connection:
            connection.execute(_PATIENCE)
            return [
                *_projects(connection, query, most),
                *_runs(connection, query),
                *_models(connection, query, most),
                *_deployments(connection, query, most),
                *_data(connection, query, most),
            ]


def _projects(connection: Connection, query: RunQuery, most: int) -> list[Found]:
    name = projects.c.name
    statement = select(name).where(_has(name, query.words), *_reach(name, query)).order_by(name).limit(most)
    return [Found(What.PROJECT, found, found) for found in connection.scalars(statement)]


def _runs(connection: Connection, query: RunQuery) -> list[Found]:
    statement = select_runs(query).with_only_columns(runs.c.id, runs.c.project, runs.c.name, runs.c.status)
    return [
        Found(What.RUN, row.project, row.name or row.id[:8], row.id, row.status.lower())
        for row in connection.execute(statement)
    ]


def _models(connection: Connection, query: RunQuery, most: int) -> list[Found]:
    every = sql(pairs("model_versions", "project", "model"))
    known = every.columns(model_versions.c.project, model_versions.c.model).subquery()
    statement = (
        select(known)
        .where(_has(_path(known.c.project, known.c.model), query.words), *_reach(known.c.project, query))
        .order_by(known.c.model, known.c.project)
        .limit(most)
    )
    return [Found(What.MODEL, row.project, row.model) for row in connection.execute(statement)]


def _deployments(connection: Connection, query: RunQuery, most: int) -> list[Found]:
    path = _path(deployments.c.project, deployments.c.model)
    statement = (
        select(deployments)
        .where(_has(path, query.words), *_reach(deployments.c.project, query))
        .order_by(deployments.c.model, deployments.c.project, deployments.c.version.desc())
        .limit(most)
    )
    return [
        Found(What.DEPLOYMENT, row.project, row.model, str(row.version), row.state)
        for row in connection.execute(statement)
    ]


def _data(connection: Connection, query: RunQuery, most: int) -> list[Found]:
    """Of the newest runs that have the words those versions that have them, by the tags of runs."""
    path, hash = runs.c.tags["data.path"].astext, runs.c.tags["data.hash"].astext
    newest = (
        select_runs(query)
        .where(runs.c.tags.has_key("data.hash"))
        .with_only_columns(runs.c.project, path.label("path"), hash.label("hash"))
        .limit(_LOOKED_AT)
    )
    found = dict.fromkeys(
        Found(What.DATA, row.project, row.path or "", row.hash)
        for row in connection.execute(newest)
        if _begins(f"{row.path or ''} {row.hash}", query.words)
    )
    return list(found)[:most]


def _path(*columns: ColumnElement[str]) -> ColumnElement[str]:
    return func.concat_ws("/", *columns)


def _has(name: ColumnElement[str], wanted: Sequence[str]) -> ColumnElement[bool]:
    """Whether all words are in it: they are letters and digits, none of LIKE's signs."""
    return and_(*(func.lower(name).like(f"%{word}%") for word in wanted))


def _reach(project: ColumnElement[str], query: RunQuery) -> list[ColumnElement[bool]]:
    return [] if query.projects is None else [project.in_(query.projects)]


def _begins(text: str, wanted: Sequence[str]) -> bool:
    known = tuple(words(text))
    return all(any(word.startswith(begin) for word in known) for begin in wanted)
