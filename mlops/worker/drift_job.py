"""One drift report, in a process of its own: its memory and time are bounded, and Evidently and MLflow are
loaded there, never in the resident worker.

`python -m mlops.worker.drift_job` is that process. The rows are in the database first, so that what they find
is told some seconds before Evidently has drawn its page, and what comes after cannot take them back.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mlops.children import LOG_CHARS, limit_memory, peak_mb, read_order, tell
from mlops.config import MLOpsConfig
from mlops.entities import DriftJob
from mlops.errors import DriftReportFailed, InvalidInput, MLOpsError
from mlops.installation import Installation
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.drift_files import page_of, performance_page_of, reference_of
from mlops.monitoring.evidently import EvidentlyMonitor
from mlops.monitoring.evidently_files import workspace_of
from mlops.monitoring.evidently_performance import draw_performance
from mlops.monitoring.files import replacing
from mlops.monitoring.reference_performance import changes, reference_pairs
from mlops.monitoring.sample import MOST_ROWS, Sample
from mlops.project import Monitoring
from mlops.store.labelled import Pair, Span
from mlops.store.store import Store

DOWNLOAD = "mlops.workspace:download_reference"
_NICE = 10
"""Below what answers callers."""
_LEFT = "Ask for a smaller window."


@dataclass(frozen=True, slots=True)
class DriftOrder:
    """What the process is told."""

    job: int
    home: str
    """MLOPS_HOME."""
    download: str = DOWNLOAD
    """Import path of `download(config, project, model, version, folder) -> file`, the reference's."""
    memory_mb: int = 6144
    """Of address space, which is two to three times what is used."""


def main() -> int:
    """The process: limit itself, make the report, and tell that it did or why not."""
    order = DriftOrder(**read_order())
    os.nice(_NICE)
    os.umask(0o077)  # what it writes sums up data that callers sent
    limit_memory(order.memory_mb)
    try:
        make(order)
        answer: dict[str, Any] = {"peak_mb": peak_mb()}
    except MLOpsError as error:
        answer = error.to_json()
    except MemoryError:
        what = f"it needs more than {order.memory_mb} MiB"
        answer = DriftReportFailed(what, remedy=_LEFT).to_json()
    except Exception as error:  # noqa: BLE001 - whatever it was, the report's record gets it
        log = traceback.format_exc()[-LOG_CHARS:]
        answer = DriftReportFailed(repr(error), log, remedy="Report this with the log.").to_json()
    tell(answer)
    return 0 if "peak_mb" in answer else 1


def make(order: DriftOrder) -> None:
    """Judge the job's window, keep the rows, then draw the page, and add it to Evidently's workspace.

    Raises `ReferenceNotFound` where the version was registered without one, `SampleUnreadable`,
    `ServiceUnavailable`, `DriftReportNotFound` for a job that is gone.
    """
    config = MLOpsConfig.load(home=Path(order.home))
    installation = Installation(config)
    store = Store(installation.database_url())
    try:
        job = store.drift.get(order.job)
        reference = Sample.read(_reference(order, config, installation.drift_dir, job))
        current, settings = _window(store, job), _settings(store, job.project)
        monitor = EvidentlyMonitor()
        report = monitor.report(reference, current, settings)
        labelled, known = _labelled(store, job), reference_pairs(reference)
        store.drift.done(job.id, report, changes(known, labelled))
        drawing = monitor.draw(reference, current, report)
        drawing.write_page(page_of(installation.drift_dir, job.id))
        store.drift.paged(job.id)
        drawing.add_to(workspace_of(installation.drift_dir), job)
        if performance := draw_performance(labelled, known):
            performance.write_page(performance_page_of(installation.drift_dir, job.id))
            store.drift.performance_paged(job.id)
            performance.add_to(workspace_of(installation.drift_dir), job)
    finally:
        store.close()


def _reference(order: DriftOrder, config: MLOpsConfig, folder: Path, job: DriftJob) -> Path:
    """The version's reference, brought once: it never changes."""
    kept = reference_of(folder, job.project, job.model, job.version)
    if not kept.exists():
        module, _, name = order.download.partition(":")
        download: Callable[..., Path] = getattr(import_module(module), name)
        with tempfile.TemporaryDirectory(prefix="reference-") as scratch:
            found = download(config, job.project, job.model, job.version, Path(scratch))
            with replacing(kept) as part:
                part.write_bytes(found.read_bytes())
    return kept


def _window(store: Store, job: DriftJob) -> Sample:
    window = store.inferences.window(
        job.project, job.model, job.since, job.until, job.version, most=MOST_ROWS
    )
    sides = {"inputs": window.inputs, "outputs": window.outputs}
    return Sample.of_columns(sides, window.request_ids, window.at, window.versions)


def _labelled(store: Store, job: DriftJob) -> dict[str, list[Pair]]:
    """By output, the rows of the window that have a ground truth; none where there are more than can be
    compared, which is no reason to have no report."""
    span = Span(job.project, job.model, job.since, job.until, job.version)
    try:
        outputs = sorted({each.output for each in store.labelled.sums(span) if each.rows})
        return {output: store.labelled.pairs(span, output) for output in outputs}
    except InvalidInput:
        return {}


def _settings(store: Store, project: str) -> DriftSettings:
    stated = store.projects.monitoring().get(project, Monitoring())
    return DriftSettings(false_alarms=stated.false_alarms, least_effect=stated.least_effect)


if __name__ == "__main__":
    sys.exit(main())
