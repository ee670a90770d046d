"""The contract of a run tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from mlops.entities import DataVersion, Run, RunStatus
from mlops.tracking.results import MetricHistory, Runs


class RunWriter(Protocol):
    """Runs as they are made."""

    def start_run(self, name: str | None, tags: Mapping[str, str], experiment_name: str | None) -> Run:
        """Create a RUNNING run in the experiment (the project's own when None; created on first use)."""

    def resume_run(self, run_id: str) -> Run:
        """Go on with a run, which is RUNNING again. One that a living process has open stays its own:
        `end_run` only leaves it. Raises `RunNotFound`."""

    def end_run(self, run_id: str, status: RunStatus) -> Run:
        """End the run; raises `RunNotFound`, and `RunEnded` when it has ended already."""

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
        """Record into a RUNNING run. Params are write-once (`InvalidInput` on a change), metrics
        finite or not but numbers; raises `RunNotFound`, `RunEnded`, `InvalidInput` and records
        nothing then."""

    def metric_writer(self, run_id: str) -> Callable[[Mapping[str, float], int], None]:
        """The quickest way to record metrics at a step: `log` for one run, to be called often. Raises
        what `log` raises."""

    def log_artifact(self, run_id: str, path: Path, artifact_path: str | None = None) -> None:
        """Upload a file or a folder below `artifact_path`; raises `RunNotFound`, `InvalidInput`."""

    def activate(self, run_id: str, *, process: bool = False) -> AbstractContextManager[None]:
        """Make the run the current one of this context for the tool's own fluent API, or of the whole
        `process` wherever no context has one. Raises `RunEnded`."""

    def snapshot(self, run_id: str) -> Run:
        """A run of this process as it is known here, without asking a server; raises `RunNotFound`."""

    def past(self, run_id: str) -> Run:
        """A run of this process with what other processes recorded of it before; raises `RunNotFound`,
        and `ServiceUnavailable` when only a server knows all of that, and does not answer."""

    def owns(self, run_id: str) -> bool:
        """Whether this process ends the run, and not another one that has it open; raises `RunNotFound`,
        `RunEnded`."""

    def output_folder(self, run_id: str) -> Path:
        """Where what the run prints is kept until it is an artifact; raises `RunNotFound`."""


class RunArchive(Protocol):
    """Runs as they were recorded. `ServiceUnavailable` when only a server knows, and it does not
    answer; what this process wrote so far is in every answer."""

    def get_run(self, run_id: str) -> Run:
        """Read a run back; a run that this process writes is known without a server too. Raises
        `RunNotFound`, for a deleted run as well."""

    def search_runs(
        self,
        filter: str = "",
        order_by: str = "",
        max_results: int = 100,
        page_token: str | None = None,
    ) -> Runs:
        """The project's runs over all its experiments, newest first unless `order_by` says otherwise,
        without the deleted ones. `filter` and `order_by` are MLflow's search syntax, several keys of
        `order_by` with commas; `page_token` is the `next_token` of the page before. Raises
        `InvalidInput` naming the one at fault."""

    def metric_history(self, run_id: str, key: str, max_points: int = 1000) -> MetricHistory:
        """The values of a metric by step and time, of a long run at most `max_points` (4 or more) of them:
        the first, the last, the smallest and the largest are kept. Raises `RunNotFound`,
        `MetricNotFound`, `InvalidInput`."""

    def delete_run(self, run_id: str) -> None:
        """Make a run unknown until it is restored. Raises `RunNotFound`, and `RunOpen` while this
        machine has it open, or has records of it that were not sent."""

    def restore_run(self, run_id: str) -> Run:
        """Bring a deleted run back; nothing changes for one that is not deleted. Raises `RunNotFound`."""


class RunTracker(RunWriter, RunArchive, Protocol):
    """Runs of one project. Every verb takes a run's key or its MLflow id. A tracker is bound to its
    project: runs of another project are unknown to it (`RunNotFound`), whoever calls, from whichever
    thread."""
