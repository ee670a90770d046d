"""Everything about one run that its page shows, besides what the index has of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops.entities import ProjectWorkspace
from mlops.errors import InvalidInput, ServiceUnavailable
from mlops.project import check_project_name
from mlops.store.indexed_runs import IndexedRun
from mlops.store.store import Store
from mlops.tracking.curves import Axis, MetricCurves
from mlops.tracking.run_desk import RunDesk
from mlops.tracking.run_files import Content, RunFile, RunFiles
from mlops.tracking.run_lineage import RunLineage, RunLineages
from mlops.tracking.run_log import RunLog, RunLogs
from mlops.tracking.sampled_curves import SampledCurves

MOST_POINTS = 2000
"""Of a series."""
MOST_SERIES = 20
"""That are read at a time."""


class RunFacts:
    """Verbs take a project and a run's key or MLflow's id. Every one raises `ProjectNotFound`, `RunNotFound`,
    and `ServiceUnavailable` where the server that knows does not answer."""

    def __init__(
        self,
        store: Store,
        desk: RunDesk,
        curves: MetricCurves | None,
        files: RunFiles | None,
        journals: Path | None,
    ) -> None:
        """`curves` reads MLflow's database, in whose place its API is asked; `files` reads artifacts, and
        `journals` is where this machine's runs are kept until they are there. None where there is none."""
        self._store = store
        self._desk = desk
        self._curves = curves or (None if files is None else SampledCurves(files.rest_of))
        self._files = files
        self._lineages = RunLineages(store, None if curves is None else curves.mlflow_url)
        self._logs = RunLogs(files, journals)

    def lineage(self, project: str, run_id: str) -> RunLineage:
        """What it was made of, and what was made of it."""
        return self._lineages.of(*self._found(project, run_id))

    def series(
        self,
        project: str,
        run_id: str,
        metrics: Sequence[str],
        *,
        axis: Axis = Axis.STEP,
        begin: int | None = None,
        end: int | None = None,
        points: int = 1000,
    ) -> dict[str, dict[str, Any]]:
        """See `MetricCurves.series`; a metric without values there is an empty series. Raises `InvalidInput`
        for no metric or too many, and for points out of range."""
        if not 1 <= len(metrics) <= MOST_SERIES:
            remedy = f"Name 1 to {MOST_SERIES} metrics."
            raise InvalidInput("metric", len(metrics), "series at a time are not read", remedy=remedy)
        if points > MOST_POINTS:
            raise InvalidInput("points", points, "is out of range", remedy=f"Use 4 to {MOST_POINTS}.")
        workspace = self._store.projects.get(check_project_name(project, "project"))
        if self._curves is None:
            raise ServiceUnavailable("mlflow", "nothing reads its metrics here")
        if isinstance(self._curves, SampledCurves):  # it knows no keys of ours
            run_id = self._found(project, run_id)[1].id
        found = self._curves.series(
            workspace, run_id, metrics, axis=axis, begin=begin, end=end, max_points=points
        )
        return {name: found.get(name, _NOTHING) for name in dict.fromkeys(metrics)}

    def files(self, project: str, run_id: str, folder: str = "") -> list[RunFile]:
        """See `RunFiles.inside`."""
        workspace, run = self._found(project, run_id)
        return self._artifacts().inside(workspace, run.id, folder)

    def figures(self, project: str, run_id: str) -> list[RunFile]:
        """See `RunFiles.figures`."""
        workspace, run = self._found(project, run_id)
        return self._artifacts().figures(workspace, run.id)

    def file(self, project: str, run_id: str, path: str) -> Content:
        """See `RunFiles.read`."""
        workspace, run = self._found(project, run_id)
        return self._artifacts().read(workspace, run.id, path)

    def log(self, project: str, run_id: str, name: str = "") -> RunLog:
        """See `RunLogs.read`."""
        return self._logs.read(*self._found(project, run_id), name)

    def _found(self, project: str, run_id: str) -> tuple[ProjectWorkspace, IndexedRun]:
        run, _ = self._desk.get(project, run_id)
        return self._store.projects.get(project), run

    def _artifacts(self) -> RunFiles:
        if self._files is None:
            raise ServiceUnavailable("mlflow", "no server of artifacts is known here")
        return self._files


_NOTHING: dict[str, Any] = {"total": 0, "steps": [], "times": [], "values": []}
