"""A query for runs as SQL whose order and conditions have indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, cast, exists, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB, TSQUERY

from mlops.store.run_query import MetricRange, RunQuery
from mlops.store.tables import run_metrics, runs


def select_runs(query: RunQuery) -> Select[Any]:
    """Rows of `runs`, a page of them."""
    statement = _by_metric(query) if query.sort.metric else _by_start(query)
    return statement.where(*_conditions(query)).limit(query.limit)


def _by_start(query: RunQuery) -> Select[Any]:
    statement = _from(select(runs), query, runs.c.started_at, runs.c.id)
    return statement if query.projects is None else statement.where(runs.c.project.in_(query.projects))


def _by_metric(query: RunQuery) -> Select[Any]:
    # Where no metric stands there is NULL, in NaN's place as well; so either end of the index is a number.
    sorted_by = run_metrics.alias("sorted")
    value = sorted_by.c[query.sort.of.value]
    statement = select(runs).join(sorted_by, sorted_by.c.run_id == runs.c.id)
    statement = statement.where(sorted_by.c.key == query.sort.metric, value.is_not(None))
    statement = _from(statement, query, value, sorted_by.c.run_id)
    # Of the metric's own row: the planner sees then that it may look up a project's alone.
    return statement if query.projects is None else statement.where(sorted_by.c.project.in_(query.projects))


def _from(
    statement: Select[Any], query: RunQuery, value: ColumnElement[Any], id: ColumnElement[Any]
) -> Select[Any]:
    order = (value.desc(), id.desc()) if query.sort.descending else (value.asc(), id.asc())
    if query.begin is not None:
        here = tuple_(value, id)
        begin = tuple_(literal(query.begin.value, value.type), literal(query.begin.id))
        statement = statement.where(here < begin if query.sort.descending else here > begin)
    return statement.order_by(*order)


def _conditions(query: RunQuery) -> Iterator[ColumnElement[bool]]:
    if query.states:
        yield runs.c.status.in_([state.value for state in query.states])
    if query.since is not None:
        yield runs.c.started_at >= query.since
    if query.until is not None:
        yield runs.c.started_at < query.until
    for column, pairs in ((runs.c.tags, query.tags), (runs.c.params, query.params)):
        for key, value in pairs:
            pair = cast(literal(json.dumps({key: value})), JSONB)
            yield column.has_key(key) if value is None else column.contains(pair)
    for wanted in query.metrics:
        yield _has(wanted)
    if query.words:
        # Words are letters and digits alone, so nothing in them is an operator of a tsquery.
        words = " & ".join(f"'{word}':*" for word in query.words)
        yield runs.c.words.op("@@")(cast(literal(words), TSQUERY))


def _has(wanted: MetricRange) -> ColumnElement[bool]:
    metric = run_metrics.alias()
    value: Any = metric.c[wanted.of.value]
    compared = {
        "<": value < wanted.value,
        "<=": value <= wanted.value,
        ">": value > wanted.value,
        ">=": value >= wanted.value,
        "=": value == wanted.value,
    }
    return exists().where(metric.c.run_id == runs.c.id, metric.c.key == wanted.key, compared[wanted.operator])
