"""Evidently's page of how right a version was in a window, by the ground truths that have come."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.entities import DriftJob
from mlops.monitoring import evidently_workspace
from mlops.monitoring.base import Drawing
from mlops.monitoring.evidently import shown
from mlops.monitoring.evidently_files import Part
from mlops.monitoring.files import replacing
from mlops.store.labelled import Pair

LEAST_PAIRS = 20
"""Of an output, without which it is not drawn."""
_MOST_CLASSES = 30
"""Different truths and predictions: whole numbers of which there are more are drawn as numbers, and texts
not."""


@dataclass(frozen=True, slots=True)
class PerformanceDrawing:
    """Evidently's snapshot of it."""

    snapshot: Any

    def write_page(self, page: Path) -> None:
        """See `Drawing`."""
        with replacing(page) as part:
            part.write_text(self.snapshot.get_html_str(as_iframe=False), encoding="utf-8")

    def add_to(self, workspace: Path, job: DriftJob) -> None:
        """See `Drawing`."""
        evidently_workspace.add(workspace, self.snapshot, job, {}, Part.PERFORMANCE)


@dataclass(frozen=True, slots=True)
class _Output:
    """Texts are classes."""

    name: str
    truths: Sequence[str] | Sequence[float]
    predictions: Sequence[str] | Sequence[float]

    @property
    def classes(self) -> list[str]:
        """All there are; none of numbers."""
        return sorted({each for each in (*self.truths, *self.predictions) if isinstance(each, str)})


def draw_performance(labelled: Mapping[str, Sequence[Pair]]) -> PerformanceDrawing | None:
    """By output, rows that can be compared: classes with their confusion, numbers with their errors. None
    where no output has enough of them, or they are of mixed kinds."""
    outputs = [found for name, pairs in labelled.items() if (found := _output(name, pairs)) is not None]
    snapshot = _snapshot(outputs) if outputs else None
    return None if snapshot is None else PerformanceDrawing(snapshot)


def _output(name: str, pairs: Sequence[Pair]) -> _Output | None:
    truths, predictions = [pair.truth for pair in pairs], [pair.prediction for pair in pairs]
    both = [*truths, *predictions]
    if len(pairs) < LEAST_PAIRS:
        return None
    if all(isinstance(each, int | str) for each in both) and len({*map(repr, both)}) <= _MOST_CLASSES:
        return _Output(
            shown(name), [shown(str(each)) for each in truths], [shown(str(each)) for each in predictions]
        )
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in both):
        return _Output(shown(name), [float(each) for each in truths], [float(each) for each in predictions])
    return None


def _texts(values: Sequence[Any]) -> list[str]:
    return [shown(str(each)) for each in values]


def _snapshot(outputs: Sequence[_Output]) -> Any:
    """Of those outputs that Evidently can draw; None where it can draw none."""
    try:
        return _run(outputs)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whichever it is of Evidently, pandas, scikit-learn and plotly
        drawn = [each for each in outputs if len(outputs) > 1 and _snapshot([each]) is not None]
        return _run(drawn) if drawn else None


def _run(outputs: Sequence[_Output]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that were never given, and of what it imports
        import pandas as pd
        from evidently import DataDefinition, Dataset, Regression, Report
        from evidently.presets import ClassificationPreset, RegressionPreset

        classes = [each for each in outputs if each.classes]
        numbers = [each for each in outputs if not each.classes]
        definition = DataDefinition(
            numerical_columns=[column for each in numbers for column in _columns(each)],
            categorical_columns=[column for each in classes for column in _columns(each)],
            regression=[
                Regression(name=each.name, target=_columns(each)[0], prediction=_columns(each)[1])
                for each in numbers
            ],
            classification=[_classification(each) for each in classes],
        )
        # Outputs of fewer rows are filled up with missing values, which Evidently leaves out.
        frame = pd.DataFrame(
            {
                column: pd.Series(values)
                for each in outputs
                for column, values in zip(_columns(each), (each.truths, each.predictions), strict=True)
            }
        )
        presets = [
            *(ClassificationPreset(classification_name=each.name) for each in classes),
            *(RegressionPreset(regression_name=each.name) for each in numbers),
        ]
        return Report(presets).run(Dataset.from_pandas(frame, definition), None)


def _classification(output: _Output) -> Any:
    from evidently import BinaryClassification, MulticlassClassification

    truth, prediction = _columns(output)
    about = {"name": output.name, "target": truth, "prediction_labels": prediction}
    if len(output.classes) == 2:
        return BinaryClassification(**about, pos_label=output.classes[1])
    return MulticlassClassification(**about)


def _columns(output: _Output) -> tuple[str, str]:
    return f"{output.name}: ground truth", f"{output.name}: prediction"


if TYPE_CHECKING:
    _draws: type[Drawing] = PerformanceDrawing
