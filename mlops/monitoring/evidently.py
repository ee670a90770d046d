"""Drift reports with Evidently's page.

Evidently's own choice of method goes by the reference's size alone. Up to a thousand rows it compares each
column's p-value with 0.05, and of thirty columns one falls below in most windows without any shift; its
chi-square test takes the reference for the truth, and one unseen category for a proof. Beyond, it compares
distances with 0.1, whatever the window's size. So it is given the two distances of
`mlops.monitoring.distances` as statistical tests, with our thresholds: the page says what the rows say.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.entities import ColumnDrift, ColumnKind, DriftCheck, DriftJob, DriftReport
from mlops.monitoring import distances, evidently_workspace
from mlops.monitoring.base import Drawing, DriftMonitor, DriftSettings
from mlops.monitoring.distances import Array
from mlops.monitoring.evidently_workspace import DRIFTED_SHARE, INFERENCES
from mlops.monitoring.files import replacing
from mlops.monitoring.judging import judge, numbers, pairs
from mlops.monitoring.sample import Sample, SampledColumn

_KS, _JS = "mlops_ks", "mlops_js"


@dataclass(frozen=True, slots=True)
class DrawnColumn:
    """A column as Evidently gets it."""

    name: str
    method: str
    threshold: float
    reference: Sequence[Any] | Array
    current: Sequence[Any] | Array


class EvidentlyMonitor:
    """Rows by `judging`, which needs no heavy package; Evidently is loaded for the page alone."""

    def report(self, reference: Sample, current: Sample, settings: DriftSettings) -> DriftReport:
        """See `DriftMonitor`."""
        return judge(reference, current, settings)

    def draw(self, reference: Sample, current: Sample, report: DriftReport) -> Drawing:
        """See `DriftMonitor`."""
        return EvidentlyDrawing(snapshot(drawn(reference, current, report)), report)


@dataclass(frozen=True, slots=True)
class EvidentlyDrawing:
    """Evidently's snapshot of a report. Columns that it cannot draw, as of numbers that differ in their last
    digit alone, are left out of it; the rows have them all the same."""

    snapshot: Any
    report: DriftReport

    def write_page(self, page: Path) -> None:
        """See `Drawing`."""
        with replacing(page) as part:
            part.write_text(self.snapshot.get_html_str(as_iframe=False), encoding="utf-8")

    def add_to(self, workspace: Path, job: DriftJob) -> None:
        """See `Drawing`."""
        figures = {DRIFTED_SHARE: self.report.share, INFERENCES: float(self.report.inferences)}
        evidently_workspace.add(workspace, self.snapshot, job, figures)


def drawn(reference: Sample, current: Sample, report: DriftReport) -> list[DrawnColumn]:
    """The columns whose distribution was judged, those that drifted first, then by score."""
    rows = {(row.side, row.column): row for row in report.columns if row.check is DriftCheck.DISTRIBUTION}
    judged: list[tuple[ColumnDrift, DrawnColumn]] = []
    names: Counter[str] = Counter()
    for pair in pairs(reference, current):
        row = rows[pair.side, pair.name]
        if row.score is not None and pair.reference is not None and pair.current is not None:
            column = _drawn(row, pair.reference, pair.current)
            names[column.name] += 1
            if (times := names[column.name]) > 1:
                column = replace(column, name=f"{column.name} ({times})")
            judged.append((row, column))
    judged.sort(key=lambda found: (not found[0].drifted, -(found[0].score or 0.0)))
    return [column for _, column in judged]


def _drawn(row: ColumnDrift, reference: SampledColumn, current: SampledColumn) -> DrawnColumn:
    name, threshold = shown(f"{row.side}: {row.column}"), row.threshold or 0.0
    if row.kind is not ColumnKind.CATEGORICAL:
        of_length = " (length)" if row.kind is ColumnKind.TEXT else ""
        return DrawnColumn(name + of_length, _KS, threshold, numbers(reference), numbers(current))
    first, second = reference.labels(), current.labels()
    kept = distances.pooled(first, second)
    labels = [[shown(one) if one in kept else distances.RARE for one in side] for side in (first, second)]
    return DrawnColumn(name, _JS, threshold, labels[0], labels[1])


def shown(text: str) -> str:
    """Evidently writes names and categories into the page's script as they are, and callers of the endpoint
    choose the categories: nothing of them may look like a tag."""
    return text.replace("<", "‹").replace(">", "›")


def snapshot(columns: Sequence[DrawnColumn]) -> Any:
    """Evidently's result for the columns that it can draw."""
    try:
        return _run(columns)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whichever it is of Evidently, pandas, NumPy and plotly
        return _run([column for column in columns if _can_be_drawn(column)])


def _can_be_drawn(column: DrawnColumn) -> bool:
    try:
        _run([column])
    except Exception:  # noqa: BLE001
        return False
    return True


def _run(columns: Sequence[DrawnColumn]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of means over what is constant, and of what it imports
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        _register()
        definition = DataDefinition(
            numerical_columns=[column.name for column in columns if column.method == _KS],
            categorical_columns=[column.name for column in columns if column.method == _JS],
        )
        current, reference = (
            Dataset.from_pandas(_frame([getattr(column, side) for column in columns], columns), definition)
            for side in ("current", "reference")
        )
        metrics = [
            ValueDrift(column=column.name, method=column.method, threshold=column.threshold)
            for column in columns
        ]
        return Report(metrics).run(current, reference)


def _frame(values: Sequence[Sequence[Any] | Array], columns: Sequence[DrawnColumn]) -> Any:
    """Columns that end early are filled up with missing values, which Evidently leaves out."""
    import pandas as pd

    return pd.DataFrame(
        {column.name: pd.Series(own) for column, own in zip(columns, values, strict=True)},
        columns=[column.name for column in columns],
    )


@cache
def _register() -> None:
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    for name, shown, kind, distance in (
        (_KS, distances.KS, ColumnType.Numerical, _ks),
        (_JS, distances.JS, ColumnType.Categorical, _js),
    ):
        register_stattest(StatTest(name, shown, [kind]), distance)


def _ks(reference: Any, current: Any, _: Any, threshold: float) -> tuple[float, bool]:
    score = distances.ks_distance(np.asarray(reference, float), np.asarray(current, float))
    return score, score >= threshold


def _js(reference: Any, current: Any, _: Any, threshold: float) -> tuple[float, bool]:
    first, second = reference.value_counts(), current.value_counts()
    names = sorted({*first.index, *second.index})
    score = distances.js_distance(
        [int(first.get(name, 0)) for name in names], [int(second.get(name, 0)) for name in names]
    )
    return score, score >= threshold


if TYPE_CHECKING:
    _conforms: type[DriftMonitor] = EvidentlyMonitor
    _draws: type[Drawing] = EvidentlyDrawing
