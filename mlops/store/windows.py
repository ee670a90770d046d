"""A span of the inference log as columns, for those who judge it as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Engine, Select, Text, cast, select

from mlops.errors import InvalidInput
from mlops.store.tables import inferences

_FETCHED = 1000
"""Inferences that are in memory besides the columns."""


@dataclass(slots=True)
class Window:
    """Rows of inferences, newest first. All lists are of one length: an inference has as many places in them
    as the log kept rows of it, and a column that it lacks has None there."""

    at: list[datetime] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    inputs: dict[str, list[Any]] = field(default_factory=dict)
    outputs: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The length of every list."""
        return len(self.at)

    def take(self, at: datetime, request_id: str, version: int, features: object, most: int) -> None:
        """Add an inference's rows, at most that many."""
        sides = (_columns(features, "inputs"), _columns(features, "outputs"))
        count = min(most, max((len(next(iter(side.values()))) for side in sides if side), default=0))
        begun = len(self.at)
        self.at += [at] * count
        self.request_ids += [request_id] * count
        self.versions += [version] * count
        for columns, side in zip((self.inputs, self.outputs), sides, strict=True):
            for name, values in side.items():
                column = columns.get(name)
                if column is None:
                    column = columns[name] = []
                if len(column) < begun:
                    column += [None] * (begun - len(column))
                column += values if len(values) == count else _of_length(values, count)

    def even(self) -> None:
        """Bring columns that the last inferences lacked to the others' length."""
        for columns in (self.inputs, self.outputs):
            for column in columns.values():
                column += [None] * (self.rows - len(column))


def _columns(features: object, side: str) -> dict[str, list[Any]]:
    # A replica's word: what has another shape says nothing about the rest.
    columns = features.get(side) if isinstance(features, dict) else None
    if not isinstance(columns, dict):
        return {}
    if set(map(type, columns.values())) <= {list}:
        return columns
    return {name: values for name, values in columns.items() if isinstance(values, list)}


def _of_length(values: list[Any], count: int) -> list[Any]:
    return values[:count] + [None] * (count - len(values))


def read_window(
    engine: Engine,
    project: str,
    model: str,
    since: datetime,
    until: datetime,
    version: int | None,
    most: int,
) -> Window:
    """As `Inferences.window` says. Answers are read as they come: the whole is never held twice."""
    if until <= since:
        raise InvalidInput(
            "until", until.isoformat(), f"is not after since={since.isoformat()}", remedy="Give a later end."
        )
    if most < 1:
        raise InvalidInput("most", most, "holds no row", remedy="Ask for at least one.")
    window = Window()
    with engine.connect() as connection:
        answers = connection.execution_options(yield_per=_FETCHED).execute(
            _asked(project, model, since, until, version).limit(most)
        )
        for row in answers:
            window.take(row.at, row.request_id, row.version, orjson.loads(row.told), most - window.rows)
            if window.rows >= most:
                break
        answers.close()
    window.even()
    return window


def _asked(project: str, model: str, since: datetime, until: datetime, version: int | None) -> Select[Any]:
    log = inferences.c
    statement = (
        select(log.at, log.request_id, log.version, cast(log.features, Text).label("told"))
        .where(log.project == project, log.model == model, log.at >= since, log.at < until)
        .where(log.features.is_not(None))
        .order_by(log.at.desc(), log.id.desc())
    )
    return statement if version is None else statement.where(log.version == version)
