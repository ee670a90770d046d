"""Columns of a table of runs: what each shows of a run, and how a URL names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mlops.dashboard.formats import duration, number
from mlops.metric_order import by_kinship
from mlops.store.indexed_runs import IndexedRun
from mlops.store.run_query import Of, RunSort, read_summary, write_summary
from mlops.store.sparks import Spark
from mlops.tracking.run_desk import RunNames

USUAL = "usual"
"""As a column: those that are shown unless others are chosen."""
OWN = "system/"
"""Metrics that begin so are readings of the machine."""
_LEAST_VALUES = 2
"""Of a line."""
_METRICS, _PARAMS = 4, 3
"""Of a project that are shown unless others are chosen; the first metric's trend is one of them."""


class Kind(StrEnum):
    """What a column is of."""

    METRIC = "metric"
    PARAM = "param"
    TAG = "tag"
    FACT = "fact"


FACTS = {
    "primary": "Primary metric",
    "trend": "Trend",
    "took": "Took",
    "user": "User",
    "experiment": "Experiment",
}
"""What is known of every run, with its heading."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a column shows of a run."""

    text: str = ""
    """Empty where the run has nothing there."""
    more: str = ""
    """On hover."""
    note: str = ""
    """Beside it."""
    line: tuple[float, ...] = ()
    """Drawn in place of the text, which says what it is."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    kind: Kind
    name: str
    of: Of = Of.LAST
    """Which of a metric's values."""

    @classmethod
    def read(cls, text: str) -> Column | None:
        """The column that a URL names: `metric:loss.min`, `param:lr`, `tag:stage`, `user`; None for none."""
        if text in FACTS:
            return cls(Kind.FACT, text)
        kind, _, name = text.partition(":")
        if kind not in (Kind.METRIC, Kind.PARAM, Kind.TAG) or not name:
            return None
        return cls(Kind.METRIC, *read_summary(name)) if kind == Kind.METRIC else cls(Kind(kind), name)

    def __str__(self) -> str:
        if self.kind is Kind.FACT:
            return self.name
        return f"{self.kind}:{write_summary(self.name, self.of) if self.kind is Kind.METRIC else self.name}"

    @property
    def heading(self) -> str:
        """For people, without which of a metric's values it is."""
        return FACTS[self.name] if self.kind is Kind.FACT else self.name

    @property
    def is_numeric(self) -> bool:
        """Whether it is set to the right."""
        return self.kind is Kind.METRIC or self.name == "took"

    @property
    def first_sort(self) -> RunSort | None:
        """The order that a click asks for first; None where there is none."""
        if self.kind is not Kind.METRIC:
            return None
        return RunSort(self.name, self.of, descending=self.of is not Of.MIN)

    def cell(self, run: IndexedRun, primary: Mapping[str, str], spark: Spark | None = None) -> Cell:
        """Of a run; `primary` names the first metric of each project, `spark` is the run's course of it."""
        if self.kind is Kind.METRIC:
            return _metric(run, self.name, self.of)
        if self.kind is Kind.PARAM:
            return Cell(run.params.get(self.name, ""))
        if self.kind is Kind.TAG:
            return Cell(run.tags.get(self.name, ""))
        if self.name == "primary":
            name = primary.get(run.project, "")
            found = _metric(run, name, Of.LAST)
            return replace(found, note=name) if found.text else found
        if self.name == "trend":
            return _trend(spark, primary.get(run.project, ""))
        if self.name == "took":
            return Cell(duration((run.ended_at - run.started_at).total_seconds()) if run.ended_at else "")
        return Cell(run.user if self.name == "user" else run.experiment)


TREND = Column(Kind.FACT, "trend")


def _metric(run: IndexedRun, key: str, of: Of) -> Cell:
    found = run.metrics.get(key)
    if found is None:
        return Cell()
    counted = f", {found.points} values" if found.points else " of those seen so far"
    more = (
        f"last {number(found.last)} at step {found.step}, least {number(found.min)},"
        f" greatest {number(found.max)}{counted}"
    )
    return Cell(number(getattr(found, of.value)), more)


def _trend(spark: Spark | None, primary: str) -> Cell:
    values = spark.values() if spark is not None and spark.key == primary else []
    if len(values) < _LEAST_VALUES:
        return Cell()
    return Cell(f"{primary}, {number(min(values))} to {number(max(values))}", line=tuple(values))


def chosen_columns(named: Iterable[str], usual: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns that a URL names, each once; `usual` where it names none, and in place of that word."""
    found: list[Column] = []
    for text in named:
        column = Column.read(text)
        found += usual if text == USUAL else [column] if column else []
    return tuple(dict.fromkeys(found or usual))


def usual_columns(names: RunNames, primary: str | None) -> tuple[Column, ...]:
    """Those of a project whose first metric is `primary` ("" for none), or of all projects (None)."""
    facts = [Column(Kind.FACT, name) for name in ("took", "user")]
    if primary is None:
        return (Column(Kind.FACT, "primary"), TREND, *facts)
    metrics = by_kinship((name for name in names.metrics if not name.startswith(OWN)), primary)
    columns = [Column(Kind.METRIC, name) for name in metrics]
    if primary in metrics:
        columns.insert(1, TREND)
    return (
        *columns[:_METRICS],
        *(Column(Kind.PARAM, name) for name in names.params[:_PARAMS]),
        *facts,
    )


def offered_columns(names: RunNames, chosen: Iterable[Column]) -> dict[str, list[Column]]:
    """All that may be chosen, by what they are of; those that are chosen first, in their order."""
    chosen = tuple(chosen)
    known = [
        *(Column(Kind.FACT, name) for name in FACTS),
        *(Column(Kind.METRIC, name, of) for name in names.metrics for of in Of),
        *(Column(Kind.PARAM, name) for name in names.params),
        *(Column(Kind.TAG, name) for name in names.tags if not name.startswith("mlflow.")),
    ]
    shown = {"Shown": list(chosen)}
    for heading, kind in (("Facts", Kind.FACT), ("Metrics", Kind.METRIC), ("Params", Kind.PARAM),
                          ("Tags", Kind.TAG)):  # fmt: skip
        shown[heading] = [each for each in known if each.kind is kind and each not in chosen]
    return shown
