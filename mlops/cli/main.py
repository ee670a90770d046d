"""One command for a team's machine-learning services: start them, register projects, deploy models."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

import typer

from mlops import errors
from mlops.cli import (
    alerts,
    ane,
    data,
    deployments,
    drift,
    evidently,
    export,
    hardware,
    inspection,
    lineage,
    logs,
    performance,
    projects,
    runs,
    stack,
    sync,
    tokens,
)
from mlops.cli.output import say, to_json

EXIT_CODES: dict[type[errors.MLOpsError], int] = {
    errors.MLOpsError: 1,
    errors.ConfigError: 3,
    errors.InvalidInput: 3,
    errors.NotFound: 4,
    errors.Conflict: 5,
    errors.Refused: 6,
    errors.ServiceError: 7,
    errors.DeploymentFailed: 8,
    errors.DataError: 9,
    errors.JournalError: 10,
    errors.NotDelivered: 11,
    errors.DriftReportFailed: 12,
}
"""Exit codes; 0 is success, 2 wrong usage, 130 Ctrl-C. docs/cli.md lists them."""

_PLATFORM = (
    stack,
    inspection,
    logs,
    hardware,
    projects,
    tokens,
    runs,
    deployments,
    export,
    alerts,
    drift,
    evidently,
    performance,
    data,
    lineage,
    sync,
    ane,
)


def main() -> None:
    """Run the command of `sys.argv`; errors of the platform become one message and an exit code."""
    arguments = sys.argv[1:]
    try:
        build_app(_first_word(arguments))(prog_name="efficientai-toolkit")
    except errors.MLOpsError as error:
        if "--json" in arguments:
            print(to_json(error.to_json()))
        say(f"error: {error}")
        sys.exit(exit_code(error))


def build_app(invoked: str | None = None) -> typer.Typer:
    """The whole command line. Of the projects' commands only `invoked` is imported: the others are
    known by name, so that help costs nothing."""
    app = typer.Typer(
        help=__doc__, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    for noun in _PLATFORM:
        for name, command in noun.COMMANDS.items():
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
            else:
                app.command(name)(command)
    for entry in sorted(entry_points(group="mlops.commands"), key=lambda entry: entry.name):
        if entry.name == invoked:
            app.command(entry.name)(entry.load())
        else:
            app.command(entry.name, help=_origin(entry))(_named_only)
    return app


def exit_code(error: errors.MLOpsError) -> int:
    """The code of the nearest class in `EXIT_CODES`."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def _origin(entry: EntryPoint) -> str:
    name = entry.dist.name if entry.dist is not None else entry.value.partition(".")[0]
    return f"A command of project {name}; see its own --help."


def _named_only() -> None:
    """Stands in for a project's command in the list of all."""


def _first_word(arguments: list[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)
