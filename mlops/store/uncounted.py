"""Metrics in the index whose values are still to be counted: MLflow's API tells a run's last ones alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from mlops.store.indexed_runs import greatest, least

_FIND = text("""
SELECT metric.key, metric.run_id, runs.status <> 'RUNNING' AS is_over
  FROM run_metrics AS metric JOIN runs ON runs.id = metric.run_id
 WHERE metric.points = 0 AND metric.project = :project
   AND (runs.status <> 'RUNNING' OR NOT runs.id = ANY(CAST(:later AS text[])))
 ORDER BY runs.started_at DESC, runs.id, metric.key LIMIT :most
""")

# least and greatest pass over NULL, which is a NaN.
_COUNT = text("""
UPDATE run_metrics AS metric
   SET points = greatest(new.points, 1), min = least(metric.min, new.min), max = greatest(metric.max, new.max)
  FROM unnest(CAST(:run_id AS text[]), CAST(:min AS float8[]), CAST(:max AS float8[]),
              CAST(:points AS bigint[])) AS new(run_id, min, max, points)
 WHERE metric.run_id = new.run_id AND metric.key = :key
""")


@dataclass(frozen=True, slots=True)
class Uncounted:
    """A metric of a run."""

    key: str
    run_id: str
    is_over: bool
    """Whether its run has ended."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What all values of a metric of a run are together."""

    run_id: str
    points: int = 0
    min: float = math.nan
    max: float = math.nan

    def with_value(self, value: float) -> Counted:
        """With one more."""
        return Counted(self.run_id, self.points + 1, least(self.min, value), greatest(self.max, value))


class UncountedMetrics:
    """The rows of `run_metrics` without a count."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, project: str, most: int, later: Collection[str] = ()) -> list[Uncounted]:
        """Those of the newest runs of a project; of the runs `later` only once they have ended."""
        values = {"project": project, "later": list(later), "most": most}
        with self._engine.connect() as connection:
            return [Uncounted(*row) for row in connection.execute(_FIND, values)]

    def put(self, key: str, counted: Sequence[Counted]) -> None:
        """Write down what the values of a metric of several runs are, beside what was seen of them before."""
        values = {
            "key": key,
            "run_id": [each.run_id for each in counted],
            "min": [None if math.isnan(each.min) else each.min for each in counted],
            "max": [None if math.isnan(each.max) else each.max for each in counted],
            "points": [each.points for each in counted],
        }
        with self._engine.begin() as connection:
            connection.execute(_COUNT, values)
