"""Runs in this process's memory: for tests and trials, gone with the process."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.entities import DataVersion, Run, RunStatus
from mlops.errors import InvalidInput, MetricNotFound, RunEnded, RunNotFound, RunOpen
from mlops.tracking.datasets import used_data
from mlops.tracking.records import check_artifact, check_records, check_tags, check_unchanged
from mlops.tracking.results import MetricHistory, MetricPoint, Runs
from mlops.tracking.sampling import check_max_points, downsampled, last_of
from mlops.tracking.search import filtered, ordered, page

if TYPE_CHECKING:
    from mlops.tracking.base import RunTracker


class MemoryTracker:
    """The runs of one project; thread-safe. Artifacts are copied into a temporary folder."""

    def __init__(self, *, project: str) -> None:
        """A tracker of no runs."""
        self.project = project
        self._runs: dict[str, Run] = {}
        self._deleted: dict[str, Run] = {}
        self._points: dict[str, dict[str, list[MetricPoint]]] = defaultdict(dict)
        self._last: dict[str, dict[str, MetricPoint]] = defaultdict(dict)
        self._lock = threading.RLock()
        self._folder: Path | None = None

    def start_run(self, name: str | None, tags: Mapping[str, str], experiment_name: str | None) -> Run:
        """See `RunTracker.start_run`; the experiment is not kept."""
        run_id = uuid.uuid4().hex
        run = Run(
            key=run_id,
            mlflow_id=run_id,
            project=self.project,
            name=name or f"run-{run_id[:8]}",
            status=RunStatus.RUNNING,
            started_at=datetime.now(UTC),
            tags=check_tags(tags),
        )
        with self._lock:
            self._runs[run_id] = run
        return _copy(run)

    def resume_run(self, run_id: str) -> Run:
        """See `RunTracker.resume_run`."""
        with self._lock:
            again = replace(self._known(run_id), status=RunStatus.RUNNING, ended_at=None)
            self._runs[run_id] = again
        return _copy(again)

    def end_run(self, run_id: str, status: RunStatus) -> Run:
        """See `RunTracker.end_run`."""
        if status is RunStatus.RUNNING:
            raise InvalidInput(
                "status", status.value, "does not end a run", remedy="Use FINISHED, FAILED or KILLED."
            )
        with self._lock:
            ended = replace(self._running(run_id), status=status, ended_at=datetime.now(UTC))
            self._runs[run_id] = ended
        return _copy(ended)

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
        data: DataVersion | None = None,
    ) -> None:
        """See `RunTracker.log`."""
        with self._lock:
            run = self._running(run_id)
            records = check_records(params, metrics, tags, step, data)
            check_unchanged(records.params, run.params)
            run.params.update(records.params)
            now = datetime.now(UTC)
            for key, value in records.metrics.items():
                point = MetricPoint(records.step, now, value)
                self._points[run_id].setdefault(key, []).append(point)
                last = self._last[run_id].get(key, point)
                self._last[run_id][key] = last = last_of((last, point))
                run.metrics[key] = last.value
            run.tags.update(records.tags)
            if data is not None:
                kept = replace(data, checks=())  # the .dvc file has them
                others = (each for each in run.data if each != kept)
                self._runs[run.key] = replace(run, data=used_data((*others, kept)))

    def metric_writer(self, run_id: str) -> Callable[[Mapping[str, float], int], None]:
        """See `RunWriter.metric_writer`."""
        return lambda metrics, step: self.log(run_id, metrics=metrics, step=step)

    def log_artifact(self, run_id: str, path: Path, artifact_path: str | None = None) -> None:
        """See `RunTracker.log_artifact`; a folder keeps its name."""
        with self._lock:
            self._known(run_id)
            below = check_artifact(path, artifact_path) or ""
            folder = self._artifacts() / run_id / below
            folder.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
            else:
                shutil.copy2(path, folder / path.name)

    def get_run(self, run_id: str) -> Run:
        """See `RunArchive.get_run`."""
        with self._lock:
            return _copy(self._known(run_id))

    def search_runs(
        self,
        filter: str = "",
        order_by: str = "",
        max_results: int = 100,
        page_token: str | None = None,
    ) -> Runs:
        """See `RunArchive.search_runs`; `mlops.tracking.search` says which syntax is known."""
        with self._lock:
            newest_first = [_copy(run) for run in reversed(self._runs.values())]
        return page(ordered(filtered(newest_first, filter), order_by), max_results, page_token)

    def metric_history(self, run_id: str, key: str, max_points: int = 1000) -> MetricHistory:
        """See `RunArchive.metric_history`."""
        check_max_points(max_points)
        with self._lock:
            self._known(run_id)
            points = list(self._points[run_id].get(key, []))
        if not points:
            raise MetricNotFound(self.project, key, run_id)
        return downsampled(points, max_points)

    def delete_run(self, run_id: str) -> None:
        """See `RunArchive.delete_run`."""
        with self._lock:
            if self._known(run_id).status is RunStatus.RUNNING:
                raise RunOpen(self.project, run_id)
            self._deleted[run_id] = self._runs.pop(run_id)

    def restore_run(self, run_id: str) -> Run:
        """See `RunArchive.restore_run`."""
        with self._lock:
            if run_id in self._deleted:
                self._runs[run_id] = self._deleted.pop(run_id)
            return _copy(self._known(run_id))

    @contextmanager
    def activate(self, run_id: str, *, process: bool = False) -> Iterator[None]:
        """See `RunTracker.activate`; there is no fluent API here to follow it."""
        with self._lock:
            self._running(run_id)
        yield

    def snapshot(self, run_id: str) -> Run:
        """See `RunTracker.snapshot`."""
        with self._lock:
            return _copy(self._known(run_id))

    def past(self, run_id: str) -> Run:
        """See `RunTracker.past`: there is no other process."""
        return self.get_run(run_id)

    def owns(self, run_id: str) -> bool:
        """See `RunTracker.owns`: there is no other process."""
        with self._lock:
            return self._running(run_id).status is RunStatus.RUNNING

    def output_folder(self, run_id: str) -> Path:
        """See `RunTracker.output_folder`."""
        with self._lock:
            self._known(run_id)
            return self._artifacts() / ".output" / run_id

    def _artifacts(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mlops-runs-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def _known(self, run_id: str) -> Run:
        try:
            return self._runs[run_id]
        except KeyError:
            raise RunNotFound(self.project, run_id) from None

    def _running(self, run_id: str) -> Run:
        run = self._known(run_id)
        if run.status is not RunStatus.RUNNING:
            raise RunEnded(self.project, run_id)
        return run


def _copy(run: Run) -> Run:
    return replace(run, params=dict(run.params), metrics=dict(run.metrics), tags=dict(run.tags))


if TYPE_CHECKING:
    _conforms: type[RunTracker] = MemoryTracker
