"""Runs side by side, and the best of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from mlops.entities import Run
from mlops.errors import InvalidInput, MetricNotFound
from mlops.tracking.records import check_metrics
from mlops.tracking.results import Runs

if TYPE_CHECKING:
    import pandas as pd

    from mlops.tracking.base import RunArchive

_T = TypeVar("_T")
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_HIGHER = re.compile(
    r"acc(uracy)?|auc|auroc|auprc|ap|map|precision|recall|f1|fscore|iou|dice|jaccard|bleu|rouge|r2|kappa"
    r"|mcc|ndcg|mrr|throughput|sensitivity|specificity"
)
_LOWER = re.compile(
    r"loss|err(or)?s?|mae|r?msl?e|s?mape|nll|bce|crossentropy|perplexity|ppl|wer|cer|brier|latency|duration"
)


@dataclass(frozen=True)
class RunComparison:
    """Two or more runs of a project, in the order that was asked for."""

    runs: Runs
    higher_is_better: Mapping[str, bool]
    """The direction of each metric that has one: as given, or as its name says (`val_loss`, `acc`)."""

    @property
    def params(self) -> dict[str, dict[str, str]]:
        """Every parameter: name -> key of a run -> value; a run without it is left out."""
        return _by_name({run.key: run.params for run in self.runs})

    @property
    def differing(self) -> dict[str, dict[str, str]]:
        """The parameters that are not the same in all runs."""
        whole = len(self.runs)
        return {
            name: values
            for name, values in self.params.items()
            if len(values) < whole or len(set(values.values())) > 1
        }

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Every metric: name -> key of a run -> its last value; a run without it is left out."""
        return _by_name({run.key: run.metrics for run in self.runs})

    @property
    def best(self) -> dict[str, str]:
        """Key of the run that is best in each metric whose direction is known; the first of equals.
        NaN is never best."""
        found = {}
        for name, values in self.metrics.items():
            numbers = {key: value for key, value in values.items() if not math.isnan(value)}
            if name in self.higher_is_better and numbers:
                choose = max if self.higher_is_better[name] else min
                found[name] = choose(numbers, key=numbers.__getitem__)
        return found

    def frame(self, *, all_params: bool = False) -> pd.DataFrame:
        """One row a run, by key: name, status, the parameters that differ (or all), the metrics, and
        `best`, the names of the metrics it is best in, with commas."""
        import pandas as pd

        params = self.params if all_params else self.differing
        best = self.best
        rows = [
            {
                "name": run.name,
                "status": run.status.value,
                **{f"params.{name}": values.get(run.key) for name, values in params.items()},
                **{f"metrics.{name}": values.get(run.key) for name, values in self.metrics.items()},
                "best": ", ".join(name for name, key in best.items() if key == run.key),
            }
            for run in self.runs
        ]
        return pd.DataFrame(rows, index=pd.Index([run.key for run in self.runs], name="key"))


def compare(
    archive: RunArchive, ids: Sequence[str], higher_is_better: Mapping[str, bool] | None = None
) -> RunComparison:
    """Compare runs named by key or MLflow id. Raises `RunNotFound`, and `InvalidInput` for fewer than
    two, for a run named twice, and for a direction of a metric that no run has."""
    if isinstance(ids, str) or len(ids) < 2:
        raise InvalidInput("ids", ids, "is not two runs or more", remedy="Give a list of keys or MLflow ids.")
    runs = Runs(archive.get_run(each) for each in ids)
    keys = [run.key for run in runs]
    for each, key in zip(ids, keys, strict=True):
        if keys.count(key) > 1:
            raise InvalidInput("ids", each, "names a run twice", remedy="Give each run once, by key or id.")
    names = sorted({name for run in runs for name in run.metrics})
    for name in higher_is_better or {}:
        if name not in names:
            raise InvalidInput(
                "higher_is_better", name, "is a metric of none of these runs", remedy=f"Known: {names}."
            )
    inferred = {name: way for name in names if (way := direction(name)) is not None}
    return RunComparison(runs, {**inferred, **(higher_is_better or {})})


def best(
    archive: RunArchive, project: str, metric: str, mode: Literal["min", "max"], filter: str = ""
) -> Run:
    """The FINISHED run whose last value of the metric is the smallest or largest; the earliest of equals.

    NaN is never best. Raises `MetricNotFound` when no such run has a number there, `InvalidInput`.
    """
    if mode not in ("min", "max"):
        raise InvalidInput("mode", mode, "is neither min nor max", remedy='Write mode="min" or mode="max".')
    check_metrics({metric: 0.0}, 0)
    finished = "attributes.status = 'FINISHED'"
    found = archive.search_runs(
        f"{filter} and {finished}" if filter.strip() else finished,
        f"metrics.`{metric}` {'ASC' if mode == 'min' else 'DESC'}, attributes.start_time ASC",
        1,
    )
    # Runs with a number come first, whichever the direction; then NaN, then those without.
    if not found or math.isnan(found[0].metrics.get(metric, math.nan)):
        raise MetricNotFound(project, metric)
    return found[0]


def direction(metric: str) -> bool | None:
    """Whether higher is better, as the words of the metric's name say; None when they do not."""
    words = [word.lower() for word in _WORDS.findall(metric)]
    higher, lower = any(map(_HIGHER.fullmatch, words)), any(map(_LOWER.fullmatch, words))
    return higher if higher != lower else None


def _by_name(values: Mapping[str, Mapping[str, _T]]) -> dict[str, dict[str, _T]]:
    names = sorted({name for each in values.values() for name in each})
    return {name: {key: each[name] for key, each in values.items() if name in each} for name in names}
