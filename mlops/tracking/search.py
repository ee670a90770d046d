"""The part of MLflow's search syntax that the in-process tracker understands.

`metrics.x > 1 and params.y = 'a' and tags.z LIKE '%b%' and attributes.status = 'FINISHED'
and dataset.digest = 'abc'`, and `order_by` of such keys, each with ASC or DESC, parted by commas.
"""

from __future__ import annotations

import fnmatch
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from mlops.entities import Run
from mlops.errors import InvalidInput
from mlops.tracking.datasets import DECLARED, USED
from mlops.tracking.results import Runs

_KIND = r"(?:(?P<kind>metrics?|params?|tags?|attributes?|datasets?|run)\.)?"
_KEY = rf"{_KIND}(?:`(?P<quoted>[^`]+)`|(?P<plain>[\w./-]+))"
_CLAUSE = re.compile(
    rf"\s*{_KEY}\s*(?P<op>=|!=|>=|<=|>|<|LIKE|ILIKE)\s*(?P<value>'[^']*'|\"[^\"]*\"|[-+.\w]+)\s*(?P<and>\bAND\b|$)",
    re.IGNORECASE,
)
_ORDER = re.compile(rf"\s*{_KEY}(?:\s+(?P<direction>ASC|DESC))?\s*$", re.IGNORECASE)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_NEWEST_FIRST = "attributes.start_time DESC"
_COMMA = re.compile(r",(?=(?:[^`\"']|`[^`]*`|\"[^\"]*\"|'[^']*')*$)")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_TIMES = {"start_time", "end_time", "created"}
_REMEDY = "Write e.g. `metrics.loss < 0.1 and params.model = 'small'`."


def order_clauses(order_by: str) -> list[str]:
    """The clauses of an `order_by`, which commas outside quotes part; newest first when it is empty."""
    return [each.strip() for each in _COMMA.split(order_by or _NEWEST_FIRST)]


def check_max_results(max_results: int) -> None:
    """Raise `InvalidInput` for a number of results below 1."""
    if max_results < 1:
        raise InvalidInput("max_results", max_results, "is less than 1", remedy="Ask for 1 run or more.")


def filtered(runs: list[Run], filter: str) -> list[Run]:
    """The runs that meet every clause; raises `InvalidInput`."""
    clauses = _clauses(filter)
    return [run for run in runs if all(_holds(run, clause) for clause in clauses)]


def ordered(runs: list[Run], order_by: str) -> list[Run]:
    """The runs in order of one or more keys, newest first by default, those without a key last; raises
    `InvalidInput`."""
    for clause in reversed(order_clauses(order_by)):  # each sort keeps the order of equals
        runs = _sorted(runs, clause)
    return runs


def page(runs: list[Run], max_results: int, page_token: str | None) -> Runs:
    """The page that begins at the token; raises `InvalidInput`."""
    check_max_results(max_results)
    if page_token is not None and not page_token.isdecimal():
        raise InvalidInput(
            "page_token", page_token, "is no page", remedy="Give the `next_token` of the page before."
        )
    begin = int(page_token or 0)
    end = begin + max_results
    return Runs(runs[begin:end], str(end) if end < len(runs) else None)


def _sorted(runs: list[Run], clause: str) -> list[Run]:
    match = _ORDER.fullmatch(clause)
    if match is None:
        raise InvalidInput("order_by", clause, "cannot be read", remedy="Write e.g. `metrics.loss ASC`.")
    keyed = [(_value(run, match, "order_by"), run) for run in runs]
    known = [pair for pair in keyed if pair[0] is not None and not _is_nan(pair[0])]
    known.sort(key=lambda pair: pair[0], reverse=(match["direction"] or "ASC").upper() == "DESC")
    nans = [run for value, run in keyed if value is not None and _is_nan(value)]
    return [run for _, run in known] + nans + [run for value, run in keyed if value is None]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _clauses(filter: str) -> list[re.Match[str]]:
    clauses, at = [], 0
    while filter.strip() and at < len(filter):
        match = _CLAUSE.match(filter, at)
        if match is None:
            raise InvalidInput("filter", filter, f"cannot be read from {filter[at:]!r} on", remedy=_REMEDY)
        _check_types(filter, match)
        clauses.append(match)
        at = match.end()
    if clauses and clauses[-1]["and"]:
        raise InvalidInput("filter", filter, "ends with AND", remedy=_REMEDY)
    return clauses


def _check_types(filter: str, clause: re.Match[str]) -> None:
    kind, key = _kind_and_key(clause)
    quoted, like = clause["value"][0] in "'\"", clause["op"].upper() not in _COMPARE
    numeric = kind == "metric" or (kind == "attribute" and key in _TIMES)
    if numeric and (quoted or like or not _NUMBER.fullmatch(clause["value"])):
        raise InvalidInput("filter", filter, f"compares the number {key!r} with text", remedy=_REMEDY)
    if not numeric and not quoted:
        raise InvalidInput("filter", filter, f"compares the text {key!r} with a number", remedy=_REMEDY)


def _holds(run: Run, clause: re.Match[str]) -> bool:
    kind, key = _kind_and_key(clause)
    if kind == "dataset":
        return any(_compares(value, clause) for value in _of_datasets(run, key))
    return _compares(_value(run, clause, "filter"), clause)


def _of_datasets(run: Run, key: str) -> list[str]:
    values = {
        "name": [data.path for data in run.data],
        "digest": [data.hash for data in run.data],
        "context": [DECLARED if data.declared else USED for data in run.data],
    }
    if key not in values:
        raise InvalidInput(
            "filter", key, "is nothing of a dataset", remedy=f"Known: {', '.join(sorted(values))}."
        )
    return values[key]


def _compares(actual: Any, clause: re.Match[str]) -> bool:
    text, op = clause["value"], clause["op"].upper()
    if actual is None:
        return False
    if isinstance(actual, float):
        return _COMPARE[op](actual, float(text))
    wanted = text[1:-1]
    if op == "ILIKE":
        actual, wanted = actual.lower(), wanted.lower()
    if op not in _COMPARE:
        return fnmatch.fnmatchcase(actual, wanted.replace("%", "*").replace("_", "?"))
    return _COMPARE[op](actual, wanted)


def _kind_and_key(match: re.Match[str]) -> tuple[str, str]:
    kind = (match["kind"] or "attributes").lower().rstrip("s")
    return "attribute" if kind == "run" else kind, match["quoted"] or match["plain"]


def _value(run: Run, match: re.Match[str], field: str) -> Any:
    kind, key = _kind_and_key(match)
    if kind == "metric":
        return run.metrics.get(key)
    if kind == "param":
        return run.params.get(key)
    if kind == "tag":
        return run.tags.get(key)
    attributes: dict[str, Any] = {
        "status": run.status.value,
        "run_name": run.name,
        "run_id": run.id,
        "start_time": run.started_at.timestamp() * 1000,
        "end_time": run.ended_at.timestamp() * 1000 if run.ended_at else None,
    }
    attributes |= {"created": attributes["start_time"], "name": run.name}
    if key not in attributes:
        raise InvalidInput(
            field, key, "is no attribute of a run", remedy=f"Known: {', '.join(sorted(attributes))}."
        )
    return attributes[key]
