"""Evidently's page of how right a version was in a window, by the ground truths that have come, beside its
reference where that has truths."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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


_Rows = tuple[Sequence[Any], Sequence[Any]]
"""Truths and predictions, all texts or all numbers."""


@dataclass(frozen=True, slots=True)
class _Output:
    """Texts are classes."""

    name: str
    current: _Rows
    reference: _Rows | None
    """None where it has too few."""

    @property
    def classes(self) -> list[str]:
        """All there are; none of numbers."""
        found = [*self.current, *(self.reference or ())]
        return sorted({each for values in found for each in values if isinstance(each, str)})


def draw_performance(
    labelled: Mapping[str, Sequence[Pair]], reference: Mapping[str, Sequence[Pair]] | None = None
) -> PerformanceDrawing | None:
    """By output, rows that can be compared: classes with their confusion, numbers with their errors; beside
    those of the reference, where it has each output that is drawn. None where no output has enough of them,
    or they are of mixed kinds."""
    known = reference or {}
    found = (_output(name, pairs, known.get(name, ())) for name, pairs in labelled.items())
    outputs = [output for output in found if output is not None]
    snapshot = _snapshot(outputs) if outputs else None
    return None if snapshot is None else PerformanceDrawing(snapshot)


def _output(name: str, pairs: Sequence[Pair], known: Sequence[Pair]) -> _Output | None:
    if len(pairs) < LEAST_PAIRS:
        return None
    known = known if len(known) >= LEAST_PAIRS else ()
    both = [each for pair in (*pairs, *known) for each in (pair.truth, pair.prediction)]
    if all(isinstance(each, int | str) for each in both) and len({*map(_text, both)}) <= _MOST_CLASSES:
        return _Output(shown(name), _rows(pairs, _text), _rows(known, _text) if known else None)
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in both):
        return _Output(shown(name), _rows(pairs, float), _rows(known, float) if known else None)
    return None


def _rows(pairs: Sequence[Pair], brought: Callable[[Any], Any]) -> _Rows:
    return [brought(pair.truth) for pair in pairs], [brought(pair.prediction) for pair in pairs]


def _text(value: Any) -> str:
    """Truth values as a reference has them."""
    return shown(value if isinstance(value, str) else json.dumps(value))


def _snapshot(outputs: Sequence[_Output]) -> Any:
    """Of those outputs that Evidently can draw; None where it can draw none."""
    found = _tried(outputs)
    if found is None:
        drawn = [each for output in outputs if (each := _drawable(output)) is not None]
        found = _tried(drawn) if drawn else None
    return found


def _drawable(output: _Output) -> _Output | None:
    """The output, without its reference where that is in the way; None where Evidently cannot draw it."""
    for each in (output, replace(output, reference=None)):
        if _tried([each]) is not None:
            return each
    return None


def _tried(outputs: Sequence[_Output]) -> Any:
    """Evidently's snapshot; None where it fails."""
    try:
        return _run(outputs)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whichever it is of Evidently, pandas, scikit-learn and plotly
        return None


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

        def dataset(of: Sequence[_Rows]) -> Any:
            # Outputs of fewer rows are filled up with missing values, which Evidently leaves out.
            columns = {
                column: pd.Series(values)
                for each, rows in zip(outputs, of, strict=True)
                for column, values in zip(_columns(each), rows, strict=True)
            }
            return Dataset.from_pandas(pd.DataFrame(columns), definition)

        known = [each.reference for each in outputs if each.reference is not None]
        presets = [
            *(ClassificationPreset(classification_name=each.name) for each in classes),
            *(RegressionPreset(regression_name=each.name) for each in numbers),
        ]
        return Report(presets).run(
            dataset([each.current for each in outputs]),
            dataset(known) if len(known) == len(outputs) else None,
        )


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
