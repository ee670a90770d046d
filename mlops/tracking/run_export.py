"""Runs of the index as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson

from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.tracking.results import json_number

_BATCH = 200
"""Runs written at a time."""
_FIXED = ("id", "project", "experiment", "name", "status", "started_at", "ended_at", "user", "url")
_ACTING = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection)."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def run_to_json(run: IndexedRun, url: str) -> dict[str, Any]:
    """As the API has it: what is not finite is "NaN", "Infinity" or "-Infinity", which JSON has no numbers
    for."""
    return {
        "id": run.id,
        "key": run.key,
        "project": run.project,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status.value,
        "started_at": run.started_at.isoformat(),
        "ended_at": _time(run.ended_at),
        "user": run.user,
        "url": url,
        "params": dict(run.params),
        "tags": dict(run.tags),
        "metrics": {key: _metric_to_json(metric) for key, metric in run.metrics.items()},
    }


def json_lines(found: Iterable[tuple[IndexedRun, str]]) -> Iterator[bytes]:
    """One JSON array of the runs with their pages."""
    opening = b"["
    for batch in _batches(found):
        yield opening + b",\n".join(orjson.dumps(run_to_json(run, url)) for run, url in batch)
        opening = b",\n"
    yield b"]\n" if opening != b"[" else b"[]\n"


def csv_lines(
    found: Iterable[tuple[IndexedRun, str]], metrics: Sequence[str], params: Sequence[str]
) -> Iterator[bytes]:
    """A header and a line for each run, with last, min and max of the metrics named, and the params named.
    A text that a spreadsheet would take for a formula has a ' before it."""
    summaries = [f"metric.{key}{of}" for key in metrics for of in ("", ".min", ".max")]
    yield _csv([[*_FIXED, *(f"param.{key}" for key in params), *summaries]])
    for batch in _batches(found):
        yield _csv([_cells(run, url, metrics, params) for run, url in batch])


def _cells(run: IndexedRun, url: str, metrics: Sequence[str], params: Sequence[str]) -> list[str]:
    facts = (
        run.id, run.project, run.experiment, run.name, run.status.value, run.started_at.isoformat(),
        _time(run.ended_at) or "", run.user, url,
    )  # fmt: skip
    values: list[str] = []
    for key in metrics:
        metric = run.metrics.get(key)
        values += ("", "", "") if metric is None else map(repr, (metric.last, metric.min, metric.max))
    return [*map(_harmless, facts), *(_harmless(run.params.get(key, "")) for key in params), *values]


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_ACTING) and not _NUMBER.fullmatch(text) else text


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode()


def _batches(found: Iterable[tuple[IndexedRun, str]]) -> Iterator[list[tuple[IndexedRun, str]]]:
    batch = []
    for each in found:
        batch.append(each)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _metric_to_json(metric: MetricSummary) -> dict[str, Any]:
    return {
        "last": json_number(metric.last),
        "min": json_number(metric.min),
        "max": json_number(metric.max),
        "step": metric.step,
        "time_ms": metric.time_ms,
        "points": metric.points,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
