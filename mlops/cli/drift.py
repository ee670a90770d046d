"""mlops:drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli.context import installation, project_name
from mlops.cli.output import Json, ProjectOption, emit, emit_table, say
from mlops.entities import ColumnDrift, DriftJob, PerformanceChange

if TYPE_CHECKING:
    from mlops.client import MLOpsClient


def drift(
    model: Annotated[str, typer.Argument(help="The served model.")],
    window: Annotated[
        str | None, typer.Option(help="How much of the time just gone: 90min, 24h, 7d; as project.toml says.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Of the model; the champion if not given.")
    ] = None,
    every_row: Annotated[bool, typer.Option("--all", help="Show also what did not drift.")] = False,
    history: Annotated[bool, typer.Option("--history", help="List earlier reports; make none.")] = False,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="Of the history.")] = 20,
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Compare what a served model is asked and answers with what it was trained on.

    Each column is judged by its distribution, missing values, new categories and values out of range, against
    the reference that its training stored. Exits with 0 whether anything drifted or not.

    Example: efficientai-toolkit mlops:drift keypoints --window 24h

    Example: efficientai-toolkit mlops:drift keypoints --history --json
    """
    client = _client(project)
    if history:
        _show_history(client.drift_reports(model, count), as_json)
        return
    say(f"  comparing {model} with its reference …")
    job = client.drift(model, window=window, version=version)
    if as_json:
        emit(job, True, "")
        return
    shown = [row for row in job.columns if every_row or row.drifted]
    emit_table([_told(row) for row in shown], False, "No column drifted.")
    if job.performance:
        say("By the ground truths of the window, beside the reference:")
        emit_table([_compared(change) for change in job.performance], False, "")
    _say_how_it_went(job)


def _show_history(jobs: list[DriftJob], as_json: bool) -> None:
    if as_json:
        emit(jobs, True, "")
        return
    rows = [
        {
            "REPORT": job.id,
            "ASKED": job.asked_at,
            "BY": job.asked_by or job.trigger.value,
            "VERSION": job.version,
            "STATE": job.state.value,
            "INFERENCES": job.inferences,
            "DRIFTED": f"{job.drifted} of {job.judged}",
            "ERROR": job.error.splitlines()[0] if job.error else "",
        }
        for job in jobs
    ]
    emit_table(rows, False, "No report yet.")


def _told(row: ColumnDrift) -> dict[str, Any]:
    return {
        "COLUMN": row.column,
        "SIDE": row.side,
        "CHECK": row.check.value,
        "SCORE": None if row.score is None else f"{row.score:.3g}",
        "THRESHOLD": None if row.threshold is None else f"{row.threshold:.3g}",
        "DRIFTED": "yes" if row.drifted else "",
        "METHOD": row.method,
        "WHAT": row.reason or row.detail,
    }


def _compared(change: PerformanceChange) -> dict[str, Any]:
    return {
        "OUTPUT": change.output,
        "METRIC": change.metric,
        "REFERENCE": f"{change.reference:.4g}",
        "NOW": f"{change.current:.4g}",
        "CHANGE, 95 %": f"{change.low:+.3g} to {change.high:+.3g}",
        "IT IS": change.verdict.value,
        "ROWS": change.rows,
        "REQUESTS": change.requests,
    }


def _say_how_it_went(job: DriftJob) -> None:
    say(
        f"{job.drifted} of {job.judged} columns drifted: {job.inferences} inferences of version {job.version}"
        f" ({job.current_rows} rows) against {job.reference_rows} rows of its reference."
    )
    page = f"{installation().gateway_url}/api/projects/{job.project}/drift/{job.id}/page"
    say(f"Evidently's page, in some seconds: {page} (`efficientai-toolkit mlops:dashboard` logs in)")
    if job.evidently:
        say(f"Evidently: {job.evidently}")


def _client(project: str | None) -> MLOpsClient:
    from mlops.client import MLOpsClient

    return MLOpsClient.from_project(project_name(project), config=installation().config)


COMMANDS = {"mlops:drift": drift}
