"""mlops:dvc-add, dvc-push, dvc-pull."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops.cli.context import workspace
from mlops.cli.output import Json, ProjectOption, emit

_PathOption = Annotated[str | None, typer.Argument(help="Of this path alone; of everything when left out.")]


def dvc_add(
    path: Annotated[str, typer.Argument(help="A file or folder, relative to the project's folder.")],
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Version a file or folder of the project.

    Example: efficientai-toolkit mlops:dvc-add data/raw --project drilling
    """
    version = workspace(project).data.add(path)
    text = f"{version.path}  {version.files} files, {version.size_bytes} bytes, {version.hash}"
    emit(version, as_json, text)


def dvc_push(path: _PathOption = None, project: ProjectOption = None, as_json: Json = False) -> None:
    """Upload to the project's remote what it lacks.

    Example: efficientai-toolkit mlops:dvc-push --project drilling
    """
    count = workspace(project).data.push(path)
    emit({"pushed": count}, as_json, f"{count} objects sent.")


def dvc_pull(path: _PathOption = None, project: ProjectOption = None, as_json: Json = False) -> None:
    """Bring back from the project's remote what is missing here.

    Example: efficientai-toolkit mlops:dvc-pull data/raw --project drilling
    """
    count = workspace(project).data.pull(path)
    emit({"pulled": count}, as_json, f"{count} objects fetched.")


COMMANDS = {"mlops:dvc-add": dvc_add, "mlops:dvc-push": dvc_push, "mlops:dvc-pull": dvc_pull}
