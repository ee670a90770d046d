"""The contract of a run tracker."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from mlops.entities import DataVersion, Run, RunStatus


class RunTracker(Protocol):
    """Runs of one project. A tracker is bound to its project: ids of another project are unknown to
    it (`RunNotFound`), whoever calls, from whichever thread."""

    def start_run(self, name: str | None, tags: Mapping[str, str], experiment_name: str | None) -> Run:
        """Create a RUNNING run in the experiment (the project's own when None; created on first use)."""

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

    def log_artifact(self, run_id: str, path: Path, artifact_path: str | None = None) -> None:
        """Upload a file or a folder below `artifact_path`; raises `RunNotFound`, `InvalidInput`."""

    def get_run(self, run_id: str) -> Run:
        """Read a run back; raises `RunNotFound`."""

    def search_runs(self, filter: str = "", order_by: str = "", max_results: int = 100) -> list[Run]:
        """The project's runs over all its experiments, newest first unless `order_by` says
        otherwise; `filter` and `order_by` are MLflow's search syntax."""

    def activate(self, run_id: str) -> AbstractContextManager[None]:
        """Make the run the current one of this context for the tool's own fluent API."""
