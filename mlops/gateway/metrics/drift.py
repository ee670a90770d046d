"""What drift reports found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import Metric

from mlops.entities import DriftJob, JobState
from mlops.gateway.metrics.families import gauge

_LABELS = ("project", "model", "version", "trigger")


def drift_families(
    newest: Iterable[DriftJob], counts: Mapping[tuple[str, str, JobState], int]
) -> Iterator[Metric]:
    """Of each version that serves its `newest` report of each trigger; and by project, model and state, how
    many reports there are in all."""
    rows = [((job.project, job.model, str(job.version), job.trigger.value), job) for job in newest]
    yield gauge(
        "mlops_drift_columns_judged",
        "Columns that the newest report could judge.",
        _LABELS,
        [(labels, job.judged) for labels, job in rows],
    )
    yield gauge(
        "mlops_drift_columns_drifted",
        "Columns that drifted in the newest report.",
        _LABELS,
        [(labels, job.drifted) for labels, job in rows],
    )
    yield gauge(
        "mlops_drift_columns_ratio",
        "Of the columns that the newest report could judge, the part that drifted.",
        _LABELS,
        [(labels, job.share) for labels, job in rows],
    )
    yield gauge(
        "mlops_drift_rows",
        "Rows that the newest report compared: of the `reference`, and of the `current` window.",
        (*_LABELS, "of"),
        [
            ((*labels, of), count)
            for labels, job in rows
            for of, count in (("reference", job.reference_rows), ("current", job.current_rows))
        ],
    )
    yield gauge(
        "mlops_drift_window_end_timestamp_seconds",
        "When the window of the newest report ended, since the epoch.",
        _LABELS,
        [(labels, job.until.timestamp()) for labels, job in rows],
    )
    yield gauge(
        "mlops_drift_reports",
        "Drift reports of the last 90 days, by what became of them.",
        ("project", "model", "state"),
        [
            ((*key, state.value), counts.get((*key, state), 0))
            for key in sorted({(project, model) for project, model, _ in counts})
            for state in JobState
        ],
    )
