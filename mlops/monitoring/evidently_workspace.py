"""Evidently's workspace: a project for each of the platform's, a snapshot for each report, and a dashboard
that shows them over time.

It is written by files of Evidently's own shape, and not through its `Workspace`: that one reads every
snapshot there is before it adds one, and writes in place, where the end of the process would leave half a
file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from mlops.entities import DriftJob
from mlops.monitoring.evidently_files import Part, project_id, project_of, snapshot_of
from mlops.monitoring.files import replacing

DRIFTED_SHARE, INFERENCES = "DriftedShare", "Inferences"
"""Figures of a report that its snapshot has beside Evidently's own."""
_FIGURES = {DRIFTED_SHARE: "Share of drifted columns", INFERENCES: "Inferences in the window"}
_ENDS = {Part.DRIFT: "", Part.PERFORMANCE: ": performance"}
_TYPE = "evidently:metric_v2:"


def add(
    workspace: Path, snapshot: Any, job: DriftJob, figures: Mapping[str, float], part: Part = Part.DRIFT
) -> None:
    """Write Evidently's `snapshot` of that part of the job's report, with our `figures` beside its own; one
    that is there is replaced. Raises `OSError`."""
    model = snapshot.to_snapshot_model()
    model.name = f"{job.model} version {job.version}" + _ENDS[part]
    model.timestamp = job.until
    model.tags = [job.model, f"version {job.version}", job.trigger.value, part.name.lower()]
    model.metadata = {
        "model": job.model,
        "version": str(job.version),
        "report": str(job.id),
        "since": job.since.isoformat(),
        "until": job.until.isoformat(),
    }
    for name, value in figures.items():
        model.metric_results[name] = _figure(name, value, job.model)
    _write(snapshot_of(workspace, job.project, job.id, part), model)
    _show(workspace, job.project, job.model)


def _figure(name: str, value: float, of: str) -> Any:
    """The model is a label of it: of a panel's lines the UI tells apart only those whose labels differ."""
    from evidently.core.metric_types import MetricConfig, SingleValue

    result = SingleValue(value=value, display_name=_FIGURES[name])
    result.set_metric_location(MetricConfig(metric_id=name, params={"type": _TYPE + name, "model": of}))
    return result


def _show(workspace: Path, project: str, model: str) -> None:
    """The project and its dashboard, which has a line for each model that ever had a report."""
    from evidently.sdk.models import ProjectModel

    folder = project_of(workspace, project)
    if not (folder / "metadata.json").exists():
        about = "Drift reports of what this project serves"
        made = ProjectModel(id=project_id(project), name=project, description=about)
        _write(folder / "metadata.json", made)
    models = _models(folder / "dashboard.json")
    if model not in models:
        _write(folder / "dashboard.json", _dashboard(project, sorted({*models, model})))


def _models(dashboard: Path) -> list[str]:
    try:
        panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
        return [line["metric_labels"]["model"] for line in panels[0]["values"]]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return []


def _dashboard(project: str, models: Sequence[str]) -> Any:
    from evidently.sdk.models import DashboardModel, DashboardPanelPlot, DashboardTabModel, PanelMetric

    panels = [
        DashboardPanelPlot(
            id=_part_of(project, name),
            title=title,
            subtitle="of each report, by model",
            size="full",
            values=[
                PanelMetric(legend=model, metric_labels={"model": model}, metric=_TYPE + name)
                for model in models
            ],
            plot_params={"plot_type": "line"},
        )
        for name, title in _FIGURES.items()
    ]
    tab = DashboardTabModel(id=_part_of(project, "tab"), title="Drift", panels=[panel.id for panel in panels])
    return DashboardModel(tabs=[tab], panels=panels)


def _part_of(project: str, name: str) -> UUID:
    return uuid5(project_id(project), name)


def _write(path: Path, model: Any) -> None:
    from evidently.legacy.utils import NumpyEncoder

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(json.dumps(model.dict(), cls=NumpyEncoder), encoding="utf-8")
