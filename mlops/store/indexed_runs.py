"""A run as the index has it, with what is best of its metrics as well as what is last."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlops.entities import RUN_KEY, DataVersion, Run, RunStatus
from mlops.store.sparks import Spark

_WORD = re.compile(r"[^\W_]+")
_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """A metric of a run. Values may be infinite, and are NaN where there is no number."""

    last: float
    """At the greatest step, as MLflow has it."""
    min: float
    """Of all values that are numbers."""
    max: float
    step: int = 0
    """Of the last value."""
    time_ms: int = 0
    """When the last value was logged, in ms since 1970."""
    points: int = 1
    """How many values were logged; 0 while they are still to be counted: `min` and `max` are then of those
    that were seen."""


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """One run of one project."""

    id: str
    """MLflow's."""
    project: str
    name: str
    experiment: str
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None = None
    user: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)
    data: tuple[DataVersion, ...] = ()
    """As it is written; what is read of the index leaves it out."""
    spark: Spark | None = None
    """As `data`; of the project's primary metric."""

    @property
    def key(self) -> str:
        """Ours, or MLflow's id of a run that plain MLflow made."""
        return self.tags.get(RUN_KEY, self.id)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status is not RunStatus.RUNNING

    def as_run(self) -> Run:
        """With the last values of metrics that are finite: what is not says nothing in a table of results."""
        return Run(
            key=self.key,
            mlflow_id=self.id,
            project=self.project,
            name=self.name,
            status=self.status,
            started_at=self.started_at,
            ended_at=self.ended_at,
            params=dict(self.params),
            metrics={key: each.last for key, each in self.metrics.items() if math.isfinite(each.last)},
            tags=dict(self.tags),
        )

    def words(self) -> set[str]:
        """By which a text finds it: of its name, experiment, user, ids, and of tags that are not MLflow's."""
        told = (value for key, value in self.tags.items() if not key.startswith("mlflow."))
        texts = (self.name, self.experiment, self.user, self.id, *told)
        return {word for text in texts for word in words(text)}


def words(text: str) -> Iterator[str]:
    """Letters and digits that stand together, in small letters."""
    return (found[0].casefold()[:_LONGEST_WORD] for found in _WORD.finditer(text))


def least(one: float, other: float) -> float:
    """The lesser one; of a number and NaN the number."""
    return other if math.isnan(one) or other < one else one


def greatest(one: float, other: float) -> float:
    """The greater one; of a number and NaN the number."""
    return -least(-one, -other)
