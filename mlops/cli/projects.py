"""mlops:register, mlops:projects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops.cli.context import installation
from mlops.cli.output import Json, emit, emit_table
from mlops.errors import ProjectNotFound
from mlops.project import FILE_NAME, read_project


def register(
    project: Annotated[str, typer.Argument(help="A project's folder, or its name below ./projects.")],
    as_json: Json = False,
) -> None:
    """Give a project its workspace: experiments, models, data remote, endpoints, token. Safe to repeat.

    Example: efficientai-toolkit mlops:register projects/drilling
    """
    from mlops.registration import register
    from mlops.store.store import Store

    here = installation()
    folder = _folder(project)
    read_project(folder)  # its mistakes are told before any server is asked
    store = Store(here.database_url())
    try:
        store.upgrade()  # the gateway does it too, perhaps a moment later than this
        workspace = register(folder, here, store)
    finally:
        store.close()
    info = workspace.info
    text = (
        f"Registered {info.project_name} from {info.root}.\n"
        f"Endpoints   {here.gateway_url}{info.serving_endpoint}/models/<model>/predict\n"
        f"Token       {workspace.token_file}\n"
        f"Data remote {info.dvc_remote_path}"
    )
    emit(info, as_json, text)


def projects(as_json: Json = False) -> None:
    """List the registered projects, with the file that holds each one's token.

    Example: efficientai-toolkit mlops:projects --json
    """
    from mlops.workspace import Workspace, recorded_projects

    here = installation()
    rows = []
    for name in recorded_projects(here):
        workspace = Workspace.open(name, here)
        rows.append(
            {
                "project": name,
                "namespace": workspace.info.namespace,
                "root": workspace.info.root,
                "token_file": workspace.token_file,
            }
        )
    emit_table(rows, as_json, "No project yet: efficientai-toolkit mlops:register <folder>")


def _folder(given: str) -> Path:
    for candidate in (Path(given), Path("projects") / given):
        if (candidate / FILE_NAME).is_file():
            return candidate
    if Path(given).is_dir():
        return Path(given)
    raise ProjectNotFound(
        given, remedy=f"Give the folder that holds its {FILE_NAME}, or its name below ./projects."
    )


COMMANDS = {"mlops:register": register, "mlops:projects": projects}
