"""What people do about drift: ask for reports, and read them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops.entities import DeploymentState, DriftJob, JobState, Side
from mlops.errors import DeploymentNotFound, DriftReportNotFound, InvalidInput, ProjectNotFound
from mlops.monitoring.drift_files import page_of, performance_page_of
from mlops.monitoring.evidently_files import snapshot_of, workspace_of
from mlops.project import check_model_name, check_project_name
from mlops.store.store import Store

MOST_REPORTS = 10_000
"""That are read at a time."""
_WINDOW_S = (1.0, 31_536_000.0)


class DriftDesk:
    """Verbs of drift reports; every one raises `ServiceUnavailable` without Postgres."""

    def __init__(self, store: Store, folder: Path | None) -> None:
        """`folder` is where the worker keeps the pages; None where there are none."""
        self._store = store
        self._folder = folder

    def ask(
        self,
        project: str,
        model: str,
        who: str,
        *,
        window_s: float | None = None,
        version: int | None = None,
    ) -> DriftJob:
        """Queue a report of the version that is the champion, or of `version`, over the last `window_s`
        seconds or what the project's project.toml says; the worker makes it.

        Raises `ProjectNotFound`, `DeploymentNotFound` where no version is given and none serves, and
        `InvalidInput` for a window or a version out of range, or too many that wait.
        """
        check_project_name(project, "project")
        check_model_name(model)
        stated = self._store.projects.monitoring().get(project)
        if stated is None:
            raise ProjectNotFound(project)
        window_s = stated.window_s if window_s is None else window_s
        if not _WINDOW_S[0] <= window_s <= _WINDOW_S[1]:
            raise InvalidInput("window_s", window_s, "is out of range", remedy="Use 1 s to a year.")
        if version is not None and not 1 <= version < 2**31:
            raise InvalidInput("version", version, "is no version", remedy="Use a registered one's number.")
        until = datetime.now(UTC)
        job = self._store.drift.ask(
            project, model, version or self._champion(project, model),
            until - timedelta(seconds=window_s), until, asked_by=who,
        )  # fmt: skip
        assert job is not None  # noqa: S101 - of what people ask for each is one of its own
        return job

    def get(self, number: int, project: str | None = None) -> DriftJob:
        """One with all its rows, of that project if given. Raises `DriftReportNotFound`."""
        return self._store.drift.get(number, project)

    def page(self, number: int, project: str | None = None) -> Path:
        """Evidently's page of it. Raises `DriftReportNotFound`, also while there is none yet."""
        job = self._store.drift.get(number, project)
        return self._existing(job.has_page, page_of, number, "page of a drift report")

    def performance_page(self, number: int, project: str | None = None) -> Path:
        """Evidently's page of how right the version was in the report's window. Raises `DriftReportNotFound`,
        also where too few ground truths had come."""
        job = self._store.drift.get(number, project)
        what = "performance page of a drift report"
        return self._existing(job.has_performance, performance_page_of, number, what)

    def _existing(self, has: bool, path_of: Callable[[Path, int], Path], number: int, what: str) -> Path:
        page = None if self._folder is None or not has else path_of(self._folder, number)
        if page is None or not page.is_file():
            raise DriftReportNotFound(number, what)
        return page

    def is_in_evidently(self, job: DriftJob) -> bool:
        """Whether its snapshot is in Evidently's workspace, or about to be."""
        if self._folder is None or job.state is not JobState.DONE:
            return False
        return not job.has_page or snapshot_of(workspace_of(self._folder), job.project, job.id).exists()

    def latest(
        self, project: str | None = None, model: str | None = None, *, count: int = 100
    ) -> list[DriftJob]:
        """The newest ones, newest first, without their rows. Raises `InvalidInput` for a count out of
        range."""
        if not 1 <= count <= MOST_REPORTS:
            raise InvalidInput(
                "count", count, "is out of range", remedy=f"Give a number from 1 to {MOST_REPORTS}."
            )
        return self._store.drift.latest(project, model, count)

    def newest(self) -> list[DriftJob]:
        """Of each running champion and canary the newest report by schedule and by count, with the rows that
        drifted."""
        return self._store.drift.newest()

    def _champion(self, project: str, model: str) -> int:
        for each in self._store.deployments.all(project):
            if (each.model, each.side, each.state) == (model, Side.CHAMPION, DeploymentState.RUNNING):
                return each.version
        raise DeploymentNotFound(project, model)
