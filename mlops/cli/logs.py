"""mlops:logs: what the services said."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mlops.cli.context import installation
from mlops.cli.output import Json, harmless
from mlops.services.names import LOGS

if TYPE_CHECKING:
    from mlops.entities import LogLine

_COLOURS = {"warning": typer.colors.YELLOW, "error": typer.colors.RED, "critical": typer.colors.BRIGHT_RED}
_WIDTH = max(map(len, LOGS))

_Time = "An age (30s, 15min, 2h, 3d, 1w) or a time (2026-01-31T08:00)."


def logs(
    service: Annotated[str | None, typer.Argument(help=f"One of {', '.join(LOGS)}.")] = None,
    service_too: Annotated[
        str | None, typer.Option("--service", "-s", help="The same, as an option.")
    ] = None,
    project: Annotated[str | None, typer.Option("--project", "-p", help="Of one project.")] = None,
    level: Annotated[
        str | None, typer.Option(help="From this level on: debug, info, warning, error.")
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"Not before. {_Time}")] = None,
    until: Annotated[str | None, typer.Option(help=f"Before. {_Time}")] = None,
    text: Annotated[str | None, typer.Option(help="Words that stand in it.")] = None,
    request_id: Annotated[str | None, typer.Option("--request", help="Of one request, by its id.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last ones.")] = 40,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the services said, the newest last; with --json, one object a line.

    Example: efficientai-toolkit mlops:logs gateway --level warning --since 1h

    Example: efficientai-toolkit mlops:logs --project drilling --text "deployment failed" --json

    Example: efficientai-toolkit mlops:logs --request 5f0c1d2e3a4b5c6d -f
    """
    from mlops.logs.query import LogQuery
    from mlops.logs.reading import LogFolder

    query = LogQuery.of(
        LOGS, service=service or service_too, project=project, level=level, since=since, until=until,
        text=text, request_id=request_id,
    )  # fmt: skip
    folder = LogFolder(installation().logs_dir)
    show = _show_json if as_json else _show
    for line in folder.newest(query, lines):
        show(line)
    sys.stdout.flush()
    if follow:
        for line in folder.follow(query):
            show(line)
            sys.stdout.flush()  # whoever follows through a pipe waits for each line


def _show_json(line: LogLine) -> None:
    print(json.dumps({**asdict(line), "time": line.time.isoformat()}))


def _show(line: LogLine) -> None:
    told = [
        f"{line.time.astimezone():%Y-%m-%d %H:%M:%S}.{line.time.microsecond // 1000:03d}",
        typer.style(f"{line.level:<8}", fg=_COLOURS.get(line.level.value)),
        f"{line.service:<{_WIDTH}}",
        *([typer.style(line.project, bold=True)] if line.project else []),
        *([typer.style(line.event, fg=typer.colors.CYAN)] if line.event else []),
        harmless(line.message),
        *([typer.style(f"[{line.request_id}]", dim=True)] if line.request_id else []),
    ]
    typer.echo(" ".join(told))  # without colours where it is no terminal
    for text in harmless(line.error).splitlines():
        typer.echo(f"    {text}")


COMMANDS = {"mlops:logs": logs}
