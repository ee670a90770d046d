"""What reading gives: lists of entities that become a pandas data frame on request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops.entities import Run

if TYPE_CHECKING:
    import pandas as pd

    from mlops.tracking.base import RunArchive

_PAGE = 1000


class Runs(list[Run]):
    """Runs that a search found, in its order; `search_runs(..., page_token=runs.next_token)` goes on."""

    def __init__(self, runs: Iterable[Run] = (), next_token: str | None = None) -> None:
        """`next_token` is None on the last page."""
        super().__init__(runs)
        self.next_token = next_token

    def frame(self) -> pd.DataFrame:
        """One row a run: key, mlflow_id, name, status, started_at, ended_at, and a column for each
        `params.x`, `metrics.y` and `tags.z`; what a run lacks is missing there."""
        import pandas as pd

        first = ["key", "mlflow_id", "name", "status", "started_at", "ended_at"]
        rows = [
            {
                "key": run.key,
                "mlflow_id": run.mlflow_id,
                "name": run.name,
                "status": run.status.value,
                "started_at": run.started_at,
                "ended_at": run.ended_at,
                **{f"params.{key}": value for key, value in run.params.items()},
                **{f"metrics.{key}": value for key, value in run.metrics.items()},
                **{f"tags.{key}": value for key, value in run.tags.items()},
            }
            for run in self
        ]
        seen = {column for row in rows for column in row} - set(first)
        frame = pd.DataFrame(rows, columns=[*first, *sorted(seen)])
        for column in ("started_at", "ended_at"):  # times also where none is known
            frame[column] = pd.to_datetime(frame[column], utc=True)
        return frame


def every_run(archive: RunArchive, filter: str = "") -> Iterator[Run]:
    """The runs that `archive.search_runs` finds, page by page to the last; raises what it raises."""
    token: str | None = None
    while True:
        page = archive.search_runs(filter, max_results=_PAGE, page_token=token)
        yield from page
        token = page.next_token
        if token is None:
            return


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of a metric."""

    step: int
    time: datetime
    value: float


class MetricHistory(list[MetricPoint]):
    """Values of one metric of one run, by step and then by time."""

    def __init__(self, points: Iterable[MetricPoint] = (), total: int = 0) -> None:
        """`total` is how many values were logged, of which these were kept."""
        super().__init__(points)
        self.total = total

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> MetricHistory:
        """What `columns` wrote. Raises `KeyError`, `TypeError`, `ValueError` for anything else."""
        rows = zip(columns["steps"], columns["times"], columns["values"], strict=True)
        points = (
            MetricPoint(int(step), datetime.fromtimestamp(time / 1000, UTC), float(value))
            for step, time, value in rows
        )
        return cls(points, int(columns["total"]))

    def columns(self) -> dict[str, Any]:
        """For JSON: `total`, and as lists `steps`, `times` (ms since 1970) and `values`. As in MLflow's own
        JSON, what is no number there is text: "NaN", "Infinity", "-Infinity"."""
        return {
            "total": self.total,
            "steps": [point.step for point in self],
            "times": [round(point.time.timestamp() * 1000) for point in self],
            "values": [json_number(point.value) for point in self],
        }

    def frame(self) -> pd.DataFrame:
        """One row a point: step, time, value."""
        import pandas as pd

        rows = [(point.step, point.time, point.value) for point in self]
        frame = pd.DataFrame(rows, columns=["step", "time", "value"])
        return frame.astype({"step": "int64", "value": "float64", "time": "datetime64[ns, UTC]"})


def json_number(value: float) -> float | str:
    """As JSON has it: what is no number there is "NaN", "Infinity" or "-Infinity"."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
