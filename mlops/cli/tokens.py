"""mlops:tokens: add, list, revoke."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mlops.cli.context import installation, project_name
from mlops.cli.output import Json, ProjectOption, emit, emit_table, say

if TYPE_CHECKING:
    from mlops.store.store import Store

Name = Annotated[str, typer.Argument(help="Who or what holds it: as `ada`, or `grafana`.")]

app = typer.Typer(
    help="Further tokens of a project: for a colleague, or for a program that only reads.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def add(
    name: Name,
    role: Annotated[
        str, typer.Option(help="viewer: sees what the project's members see; member: changes it, too.")
    ] = "viewer",
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Make a token of a project and print it, this once: only its hash is kept.

    Example: efficientai-toolkit mlops:tokens add ada --role viewer --project drilling

    Example: efficientai-toolkit mlops:tokens add prometheus -p drilling > gateway.token
    """
    from mlops.access import add_token

    of = project_name(project)
    with _store() as store:
        token = add_token(store, of, name, role)
    if not as_json:
        say(f"{name} is a {role} of {of}. Keep this token: it is not shown again.")
    emit({"project": of, "name": name, "role": role, "token": token}, as_json, token)


@app.command("list")
def list_tokens(
    project: Annotated[str | None, typer.Option("--project", "-p", help="One project only.")] = None,
    as_json: Json = False,
) -> None:
    """List the tokens that were added, of all projects or one; never what they read.

    Example: efficientai-toolkit mlops:tokens list --project drilling --json
    """
    of = None if project is None else project_name(project)
    with _store() as store:
        if of is not None:
            store.projects.get(of)
        found = store.tokens.named(of)
    if as_json:
        emit(found, True, "")
        return
    rows = [
        {"PROJECT": each.project, "NAME": each.name, "ROLE": each.role.value, "MADE": each.made_at}
        for each in found
    ]
    emit_table(rows, False, "No token was added: efficientai-toolkit mlops:tokens add <name> --role viewer")


@app.command()
def revoke(name: Name, project: ProjectOption = None, as_json: Json = False) -> None:
    """Let a token in no more, nor the browsers that logged in with it.

    Example: efficientai-toolkit mlops:tokens revoke ada --project drilling
    """
    from mlops.access import revoke_token

    of = project_name(project)
    with _store() as store:
        revoke_token(store, of, name)
    emit({"project": of, "name": name}, as_json, f"{name} of {of} is let in no more.")


@contextmanager
def _store() -> Iterator[Store]:
    from mlops.store.store import Store

    store = Store(installation().database_url())
    try:
        store.upgrade()  # the gateway does it too, perhaps a moment later than this
        yield store
    finally:
        store.close()


COMMANDS = {"mlops:tokens": app}
