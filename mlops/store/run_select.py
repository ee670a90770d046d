"""A query for runs as SQL whose order and conditions have indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, cast, exists, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB, TSQUERY

from mlops.store.run_query import MetricRange, RunQuery, RunSort, RunStart
from mlops.store.tables import run_metrics, runs

Value = ColumnElement[Any]


def select_runs(query: RunQuery) -> Select[Any]:
    """Rows of `runs`, a page of them.

    The first key's index gives their order, so that a page reads as many rows as it has. Further keys are
    looked up for each row, and order those of one value: for a page all that have its last value are read.
    """
    first, *others = query.order
    statement, value, id = _by_metric(query, first) if first.metric else _by_start(query)
    values = [value]
    for sort in others:
        statement, value = _with(statement, sort)
        values.append(value)
    keys = list(zip(query.order, values, strict=True))
    if query.begin is not None:
        statement = statement.where(_after(keys, id, query.begin))
    order = [_ordered(value, sort.descending, is_first=sort is first) for sort, value in keys]
    order.append(id.desc() if first.descending else id.asc())
    return statement.where(*_conditions(query)).order_by(*order).limit(query.limit)


def _by_start(query: RunQuery) -> tuple[Select[Any], Value, Value]:
    statement = select(runs)
    if query.projects is not None:
        statement = statement.where(runs.c.project.in_(query.projects))
    return statement, runs.c.started_at, runs.c.id


def _by_metric(query: RunQuery, sort: RunSort) -> tuple[Select[Any], Value, Value]:
    # Where no metric stands there is NULL, in NaN's place as well; so either end of the index is a number.
    sorted_by = run_metrics.alias("sorted")
    value = sorted_by.c[sort.of.value]
    statement = select(runs).join(sorted_by, sorted_by.c.run_id == runs.c.id)
    statement = statement.where(sorted_by.c.key == sort.metric, value.is_not(None))
    # Of the metric's own row: the planner sees then that it may look up a project's alone.
    if query.projects is not None:
        statement = statement.where(sorted_by.c.project.in_(query.projects))
    return statement, value, sorted_by.c.run_id


def _with(statement: Select[Any], sort: RunSort) -> tuple[Select[Any], Value]:
    """A further key."""
    if not sort.metric:
        return statement, runs.c.started_at
    metric = run_metrics.alias()
    on = and_(metric.c.run_id == runs.c.id, metric.c.key == sort.metric)
    return statement.outerjoin(metric, on), metric.c[sort.of.value]


def _ordered(value: Value, descending: bool, *, is_first: bool) -> Value:
    ordered = value.desc() if descending else value.asc()
    # The first key's is never NULL, and its index has it the other way.
    return ordered if is_first else ordered.nulls_last()


def _after(keys: Sequence[tuple[RunSort, Value]], id: Value, begin: RunStart) -> ColumnElement[bool]:
    """What follows the run where the page before ended."""
    (first, value), *others = keys
    known, last = literal(begin.values[0], value.type), literal(begin.id)
    if not others:
        here, there = tuple_(value, id), tuple_(known, last)
        return here < there if first.descending else here > there
    found: ColumnElement[bool] = id < last if first.descending else id > last
    for (sort, each), at in reversed(list(zip(others, begin.values[1:], strict=True))):
        if at is None:
            found = and_(each.is_(None), found)
        else:
            bound = literal(at, each.type)
            beyond = each < bound if sort.descending else each > bound
            found = or_(beyond, each.is_(None), and_(each == bound, found))
    # The first of them is where the index is begun at.
    begins = value <= known if first.descending else value >= known
    return and_(begins, or_(value != known, found))


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
