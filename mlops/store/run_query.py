"""Which runs are wanted, in what order, and where a page of them begins."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from mlops.durations import read_moment
from mlops.entities import RunStatus
from mlops.errors import InvalidInput
from mlops.project import check_project_name
from mlops.store.indexed_runs import IndexedRun, words

MOST_RUNS = 1000
"""In a page."""
MOST_CONDITIONS = 20
"""Of each kind."""
MOST_SORTS = 3
"""Keys of an order."""

_METRIC = re.compile(r"(?P<metric>.*[^<>=\s])\s*(?P<operator><=|>=|<|>|=)\s*(?P<value>[^<>=\s]+)", re.DOTALL)
_SUMMARY = re.compile(r"(?P<key>.+)\.(?P<of>last|min|max)", re.DOTALL)
_SORT_REMEDY = (
    "Use `started`, or `metric:` with the name of a metric, as in `-metric:loss.min`; a - is for the greatest"
    " first."
)
_METRIC_REMEDY = "Write a metric, <, <=, >, >= or =, and a number, as in `loss<0.1` or `accuracy.max>=0.9`."


class Of(StrEnum):
    """Which of a metric's values."""

    LAST = "last"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class MetricRange:
    """A run is wanted whose metric has such a value; NaN is none."""

    key: str
    of: Of
    operator: str
    value: float


@dataclass(frozen=True, slots=True)
class RunSort:
    """A key of an order: the start, or a metric."""

    metric: str = ""
    of: Of = Of.LAST
    descending: bool = True

    def __str__(self) -> str:
        """As a person writes it."""
        named = f"metric:{write_summary(self.metric, self.of)}" if self.metric else "started"
        return f"-{named}" if self.descending else named


@dataclass(frozen=True, slots=True)
class RunStart:
    """A page begins after the run of these values, one for each key of the order, and of this id."""

    values: tuple[datetime | float | None, ...]
    """None where the run has no number."""
    id: str


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Conditions all of which hold; of the projects and states one does. None is every project."""

    projects: tuple[str, ...] | None = None
    states: tuple[RunStatus, ...] = ()
    since: datetime | None = None
    """Started then or later."""
    until: datetime | None = None
    """Started before."""
    tags: tuple[tuple[str, str | None], ...] = ()
    """Keys with their values; None is any."""
    params: tuple[tuple[str, str | None], ...] = ()
    metrics: tuple[MetricRange, ...] = ()
    words: tuple[str, ...] = ()
    """Each begins a word of the run's name, experiment, user, ids or tags."""
    order: tuple[RunSort, ...] = (RunSort(),)
    """The first key counts most. If it is a metric, runs without a number there are not found; of a further
    one they come last, whichever way it goes. Runs that are equal in all of them follow by id."""
    limit: int = 100
    begin: RunStart | None = None

    @classmethod
    def of(
        cls,
        *,
        project: Sequence[str] = (),
        state: Sequence[str] = (),
        since: str | None = None,
        until: str | None = None,
        tag: Sequence[str] = (),
        param: Sequence[str] = (),
        metric: Sequence[str] = (),
        text: str | None = None,
        sort: Sequence[str] = (),
        limit: int = 100,
        cursor: str | None = None,
    ) -> RunQuery:
        """The query that a person wrote. Raises `InvalidInput` with the field for what cannot be read."""
        for field, given in (
            ("state", state), ("tag", tag), ("param", param), ("metric", metric), ("sort", sort),
        ):  # fmt: skip
            _check_texts(field, given)
        _check_texts("text", [text or ""])
        if not 1 <= limit <= MOST_RUNS:
            raise InvalidInput("limit", limit, "is out of range", remedy=f"Use 1 to {MOST_RUNS}.")
        now = datetime.now(UTC)
        order = _order(sort)
        return cls(
            projects=tuple(check_project_name(each, "project") for each in project) or None,
            states=tuple(_state(each) for each in state),
            since=read_moment(since, "since", now) if since else None,
            until=read_moment(until, "until", now) if until else None,
            tags=tuple(_pair("tag", each) for each in tag),
            params=tuple(_pair("param", each) for each in param),
            metrics=tuple(_range(each) for each in metric),
            words=_words(text) if text else (),
            order=order,
            limit=limit,
            begin=_read_cursor(cursor, order) if cursor else None,
        )

    def page(self, limit: int, begin: RunStart | None) -> RunQuery:
        """The same, of another length and beginning."""
        return replace(self, limit=limit, begin=begin or self.begin)

    def start_after(self, run: IndexedRun) -> RunStart:
        """The page that follows the run."""
        return RunStart(tuple(_value(sort, run) for sort in self.order), run.id)

    def cursor(self, begin: RunStart) -> str:
        """`begin` as text, for who asks for the next page."""
        values = [each.isoformat() if isinstance(each, datetime) else each for each in begin.values]
        told = json.dumps([[str(sort) for sort in self.order], values, begin.id])
        return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def _value(sort: RunSort, run: IndexedRun) -> datetime | float | None:
    if not sort.metric:
        return run.started_at
    metric = run.metrics.get(sort.metric)
    value: float = math.nan if metric is None else getattr(metric, sort.of.value)
    return None if math.isnan(value) else value


def _read_cursor(text: str, order: tuple[RunSort, ...]) -> RunStart:
    try:
        sorts, values, id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        is_same = sorts == [str(sort) for sort in order]
        read = tuple(map(_read_value, order, values)) if is_same else ()
        if is_same and (len(read) < len(order) or read[0] is None):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput("cursor", text, "is none", remedy="Give the `next` of the page before.") from None
    _check_texts("cursor", [str(id)])
    if not is_same:
        raise InvalidInput(
            "cursor", text, "is of another order", remedy="Ask for the next page with the same `sort`."
        )
    return RunStart(read, str(id))


def _read_value(sort: RunSort, value: object) -> datetime | float | None:
    if not sort.metric:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]
        if moment.tzinfo is None:
            raise ValueError
        return moment
    return None if value is None else float(value)  # type: ignore[arg-type]


def _order(texts: Sequence[str]) -> tuple[RunSort, ...]:
    order = tuple(_sort(text) for text in texts if text) or (RunSort(),)
    if len(order) > MOST_SORTS:
        raise InvalidInput("sort", len(order), "are too many keys", remedy=f"Give at most {MOST_SORTS}.")
    if len({(sort.metric, sort.of) for sort in order}) < len(order):
        raise InvalidInput("sort", list(texts), "has a key twice", remedy="Give each key once.")
    return order


def _sort(text: str) -> RunSort:
    descending, named = text.startswith("-"), text.removeprefix("-")
    if named == "started":
        return RunSort(descending=descending)
    kind, _, metric = named.partition(":")
    if kind != "metric" or not metric:
        raise InvalidInput("sort", text, "is no order", remedy=_SORT_REMEDY)
    key, of = read_summary(metric)
    return RunSort(key, of, descending)


def _range(text: str) -> MetricRange:
    found = _METRIC.fullmatch(text.strip())
    try:
        if found is None or (value := float(found["value"])) != value:
            raise ValueError
    except ValueError:
        raise InvalidInput("metric", text, "is no condition", remedy=_METRIC_REMEDY) from None
    key, of = read_summary(found["metric"])
    return MetricRange(key, of, found["operator"], value)


def read_summary(text: str) -> tuple[str, Of]:
    """`loss.min` is the least loss; of a metric that is called so itself, write `loss.min.last`."""
    found = _SUMMARY.fullmatch(text)
    return (found["key"], Of(found["of"])) if found else (text, Of.LAST)


def write_summary(key: str, of: Of) -> str:
    """What `read_summary` reads."""
    return key if of is Of.LAST and not _SUMMARY.fullmatch(key) else f"{key}.{of.value}"


def _state(text: str) -> RunStatus:
    try:
        return RunStatus(text.upper())
    except ValueError:
        states = ", ".join(each.value for each in RunStatus)
        raise InvalidInput("state", text, "is no state of a run", remedy=f"Use one of: {states}.") from None


def _pair(field: str, text: str) -> tuple[str, str | None]:
    key, is_pair, value = text.partition("=")
    if not key:
        raise InvalidInput(field, text, "has no key", remedy=f"Write key or key=value, as in {field}=a=1.")
    return key, value if is_pair else None


def _words(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(words(text)))
    if not found or len(found) > MOST_CONDITIONS:
        remedy = f"Use 1 to {MOST_CONDITIONS} of letters or digits."
        raise InvalidInput("text", text, f"has {len(found)} words", remedy=remedy)
    return found


def _check_texts(field: str, texts: Sequence[str]) -> None:
    if len(texts) > MOST_CONDITIONS:
        raise InvalidInput(field, len(texts), "are too many", remedy=f"Give at most {MOST_CONDITIONS}.")
    for text in texts:
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise InvalidInput(field, text, "has characters that cannot be stored", remedy="Leave them out.")
