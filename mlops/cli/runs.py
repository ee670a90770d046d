"""mlops:runs: runs over all projects."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from mlops.cli.context import admin_gateway
from mlops.cli.output import Json, age, emit, emit_table, harmless, say
from mlops.errors import InvalidInput

_SHOWN = 4
"""Metrics of a run in the table, those that were asked for first."""
_TIME = "An age (2h, 3d, 1w) or a time (2026-01-31T08:00)."


def runs(
    text: Annotated[
        str | None, typer.Argument(help="Words that begin one of its name, user or tags.")
    ] = None,
    project: Annotated[list[str] | None, typer.Option("--project", "-p", help="May be repeated.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="running, finished, failed or killed; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"Started then or later. {_TIME}")] = None,
    until: Annotated[str | None, typer.Option(help=f"Started before. {_TIME}")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="key=value, or key; may be repeated.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="key=value, or key; may be repeated.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="As loss<0.1, or accuracy.max>=0.9; may be repeated.")
    ] = None,
    sort: Annotated[
        list[str] | None,
        typer.Option(
            help="started, or metric:NAME, with .min or .max; a - before it turns it round. Up to three, the"
            " first counts most. Newest first unless given."
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000, help="How many.")] = 20,
    as_csv: Annotated[bool, typer.Option("--csv", help="All of them, as CSV.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Show none; have all read from MLflow again.")
    ] = False,
    restore: Annotated[
        list[str] | None,
        typer.Option(help="Show none; bring an archived one back, given as project/id. May be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List runs over all projects, those that were logged by plain MLflow as well, newest first.

    Sorted by a metric first, there are the runs that have a number there, and no others.

    Example: efficientai-toolkit mlops:runs --state running

    Example: efficientai-toolkit mlops:runs lora -p adapters --metric "loss<0.1" --sort metric:loss.min

    Example: efficientai-toolkit mlops:runs --since 7d --csv > week.csv
    """
    from mlops.store.run_query import RunQuery

    if as_csv and as_json:
        raise InvalidInput("--csv", True, "is given with --json", remedy="Give one of them.")
    gateway = admin_gateway()
    if rebuild:
        asked = gateway.rebuild_runs()
        said = "All runs are read again; what is there stays until then."
        emit({"asked_at": asked}, as_json, said)
        return
    if restore:
        outcome = gateway.restore_runs(restore)
        emit(outcome, as_json, "\n".join(_became(outcome)))
        return
    wanted: dict[str, Any] = {
        "project": project or [], "state": state or [], "since": since, "until": until, "tag": tag or [],
        "param": param or [], "metric": metric or [], "text": text, "sort": sort or ["-started"],
    }  # fmt: skip
    query = RunQuery.of(**wanted, limit=count)
    if as_csv:
        for piece in gateway.export_runs("csv", wanted):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    page = gateway.runs({**wanted, "limit": count})
    if as_json:
        emit(page, True, "")
        return
    sorted_by = [(each.metric, each.of.value) for each in query.order]
    _show(page, [*sorted_by, *((each.key, each.of.value) for each in query.metrics)])


def _became(outcome: Mapping[str, Any]) -> list[str]:
    told = [f"{run} is back, and listed within seconds." for run in outcome["changed"]]
    return told + [harmless(f"{each['run']} stays archived: {each['reason']}") for each in outcome["failed"]]


def _show(page: Mapping[str, Any], asked: Sequence[tuple[str, str]]) -> None:
    emit_table([_row(run, asked) for run in page["runs"]], False, "No run is like that.")
    if page["next"]:
        say("There are more: -n shows up to 1000, --csv has all.")
    if page["indexed_at"] is None:
        say("Runs have not been indexed yet: see the worker in `efficientai-toolkit mlops:status`.")
    else:
        say(f"{'Read from MLflow' if page['polled'] else 'As of'} {_ago(page['indexed_at'])}.")
    for each in page["polled"]:
        if each["problem"]:
            since = f" (last {_ago(each['read_at'])})" if each["read_at"] else ""
            say(f"{each['project']} is not read from MLflow: {harmless(each['problem'])}{since}")


def _ago(moment: str) -> str:
    return f"{age(datetime.fromisoformat(moment))} ago"


def _row(run: Mapping[str, Any], asked: Sequence[tuple[str, str]]) -> dict[str, Any]:
    others = [(key, "last") for key in run["metrics"] if not key.startswith("system/")]
    shown = [each for each in dict.fromkeys([*asked, *others]) if each[0] in run["metrics"]][:_SHOWN]
    told = (f"{key}{'' if of == 'last' else f'.{of}'}={_short(run['metrics'][key][of])}" for key, of in shown)
    return {
        "PROJECT": run["project"],
        "RUN": harmless(run["name"]).strip() or run["id"],
        "STATE": run["status"].lower(),
        "STARTED": datetime.fromisoformat(run["started_at"]),
        "USER": harmless(run["user"]),
        "METRICS": harmless(" ".join(told)),
        "ID": run["id"],
    }


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


COMMANDS = {"mlops:runs": runs}
