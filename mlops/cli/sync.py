"""mlops:sync: what waits in the journals, and sending it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli.context import installation, project_name
from mlops.cli.output import Json, ProjectOption, emit, emit_table, say, size

if TYPE_CHECKING:
    from mlops.errors import MLOpsError
    from mlops.installation import Installation
    from mlops.tracking.pending import PendingRun
    from mlops.tracking.sync import Progress, Summary

_DEFAULT_TIMEOUT_S = 60.0


def sync(
    project: ProjectOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every project of this machine.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only show what waits; needs no server.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Only show what the server refused.")] = False,
    forget_refused: Annotated[
        bool, typer.Option("--forget-refused", help="Show what the server refused, and delete it.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a server that does not answer.")
    ] = _DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Send what runs recorded and the server does not have yet. Exits with 7 when it does not answer.

    Runs of living processes are left to them. Safe to repeat, and to interrupt.

    Example: efficientai-toolkit mlops:sync --all --status
    """
    here = installation()
    names = _projects(here, project, everything)
    if refused or forget_refused:
        _show_refused(here, names, forget_refused, as_json)
    elif status:
        _show_status(here, names, as_json)
    else:
        _send(here, names, timeout, as_json)


def _projects(here: Installation, given: str | None, everything: bool) -> list[str]:
    from mlops.tracking import pending

    if not everything:
        return [project_name(given)]
    if given is not None:
        raise typer.BadParameter("--project and --all exclude each other.")
    return pending.projects(here.journal_dir)


# -- looking ------------------------------------------------------------------------------------


def _show_status(here: Installation, names: Sequence[str], as_json: bool) -> None:
    from mlops.tracking import pending

    runs = [run for name in names for run in pending.status(here.journal_dir / name)]
    if as_json:
        emit([{**asdict(run), "age_s": _age_s(run)} for run in runs], True, "")
        return
    emit_table([_row(run) for run in runs], False, "Nothing waits: the server has everything.")
    for run in runs:
        if run.problem:
            say(f"{here.journal_dir / run.project / run.key}: {run.problem}")
    for name in sorted({run.project for run in runs} - set(_recorded(here))):
        say(f"{name} is not registered: register its folder, and `mlops:sync` sends what it recorded.")
    if any(run.refused for run in runs):
        say("What the server refused, and why: `efficientai-toolkit mlops:sync --refused`.")


def _row(run: PendingRun) -> dict[str, Any]:
    return {
        "PROJECT": run.project,
        "RUN": run.name,
        "KEY": run.key,
        "STATE": run.state.value,
        "STARTED": run.started_at,
        "PENDING": size(run.bytes),
        "FILES": run.files,
        "REFUSED": run.refused,
    }


def _show_refused(here: Installation, names: Sequence[str], forget: bool, as_json: bool) -> None:
    from mlops.tracking import pending

    found = [
        (folder, {"project": name, "run": folder.path.name, **record})
        for name in names
        for folder in pending.folders(here.journal_dir / name)
        for record in pending.refused(folder)
    ]
    if as_json:
        emit([record for _, record in found], True, "")
    else:
        emit_table([_refused_row(record) for _, record in found], False, "The server refused nothing.")
    if not forget:
        return
    for folder in {folder.path: folder for folder, _ in found}.values():
        if pending.forget_refused(folder):
            say(f"Deleted the list of {folder.path.name}.")
        else:
            say(f"Kept the list of {folder.path.name}: a living process delivers the run.")


def _refused_row(record: dict[str, Any]) -> dict[str, Any]:
    what = {key: record[key] for key in record.keys() - {"project", "run", "at", "reason", "op"}}
    at = record.get("at")
    return {
        "PROJECT": record["project"],
        "RUN": record["run"],
        "SINCE": datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else None,
        "RECORD": _short(f"{record.get('op')} " + " ".join(f"{key}={what[key]}" for key in sorted(what))),
        "REASON": _short(str(record.get("reason", ""))),
    }


# -- sending ------------------------------------------------------------------------------------


def _send(here: Installation, names: Sequence[str], timeout: float, as_json: bool) -> None:
    from mlops.cli.main import exit_code
    from mlops.errors import MLOpsError, ServiceError

    summaries: dict[str, Summary] = {}
    errors: dict[str, MLOpsError] = {}
    for name in names:
        try:
            with _progress() as progress:
                summaries[name] = _sync(here, name, timeout, progress)
        except MLOpsError as error:
            if len(names) == 1:
                raise
            errors[name] = error
    emit(_json(summaries, errors), as_json, _text(summaries, errors))
    hindered = [*errors.values(), *(left.error for each in summaries.values() for left in each.left)]
    if hindered:
        unavailable = next((error for error in hindered if isinstance(error, ServiceError)), hindered[0])
        raise typer.Exit(exit_code(unavailable))


def _sync(here: Installation, name: str, timeout: float, progress: Callable[[Progress], None]) -> Summary:
    from mlops.tracking.mlflow import MLflowTracker
    from mlops.tracking.sync import Summary, sync
    from mlops.workspace import Workspace

    workspace = Workspace.open(name, here)
    tracker = workspace.tracking
    if not isinstance(tracker, MLflowTracker):
        return Summary()  # its runs have no journal
    return sync(workspace.journal_dir, tracker.server, timeout_s=timeout, progress=progress)


def _json(summaries: dict[str, Summary], errors: dict[str, MLOpsError]) -> dict[str, Any]:
    return {
        "delivered": [asdict(run) for each in summaries.values() for run in each.delivered],
        "held": [asdict(run) for each in summaries.values() for run in each.held],
        "left": [
            {**asdict(left.run), **left.error.to_json()} for each in summaries.values() for left in each.left
        ],
        "errors": {name: error.to_json()["error"] for name, error in errors.items()},
    }


def _text(summaries: dict[str, Summary], errors: dict[str, MLOpsError]) -> str:
    lines = []
    for name, each in summaries.items():
        if each.delivered:
            sent = size(sum(run.bytes for run in each.delivered))
            lines.append(f"{name}: delivered {_runs(len(each.delivered))}, {sent}.")
        if refused := sum(run.refused for run in each.delivered):
            lines.append(f"{name}: the server refused {refused} records; see `mlops:sync --refused`.")
        if each.held:
            lines.append(f"{name}: {_runs(len(each.held))} left to the living processes that write them.")
        lines += [f"{name}: {left.run.name or left.run.key} still waits: {left.error}" for left in each.left]
    lines += [f"{name}: {error}" for name, error in errors.items()]
    return "\n".join(lines) or "Nothing waits: the server has everything."


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", visible=False)

        def show(progress: Progress) -> None:
            text = f"{progress.run.project}: {progress.runs_done} of {_runs(progress.runs)}"
            waiting = f", waiting: {_short(progress.waiting_for, 40)}" if progress.waiting_for else ""
            bar.update(
                task,
                description=text + waiting,
                completed=progress.bytes_done,
                total=progress.bytes,
                visible=True,
            )

        yield show


class _Lines:
    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        if progress.waiting_for and progress.waiting_for not in self._said:
            self._said.add(progress.waiting_for)
            say(f"  waiting: {progress.waiting_for}")


# -- words --------------------------------------------------------------------------------------


def _recorded(here: Installation) -> list[str]:
    from mlops.workspace import recorded_projects

    return recorded_projects(here)


def _age_s(run: PendingRun) -> float | None:
    return None if run.started_at is None else (datetime.now(UTC) - run.started_at).total_seconds()


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _short(text: str, most: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


COMMANDS = {"mlops:sync": sync}
