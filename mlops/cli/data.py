"""mlops:dvc-add, dvc-push, dvc-pull, dvc-status, dvc-checkout, gc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli.context import client, installation
from mlops.cli.output import Json, ProjectOption, count, emit, emit_table, say, size

if TYPE_CHECKING:
    from mlops.entities import DataGarbage, DataStatus, DataTransfer, DataVersion

_PathArgument = Annotated[str | None, typer.Argument(help="Of this path alone; of everything when left out.")]
_Rev = Annotated[
    str | None,
    typer.Option("--rev", help="As of this tag, branch or commit; with a path, of this data hash."),
]
_Force = Annotated[bool, typer.Option("--force", help="Give up changes that are in no version.")]


def dvc_add(
    path: Annotated[str, typer.Argument(help="A file or folder, relative to the project's folder.")],
    archive: Annotated[
        bool, typer.Option("--archive", help="Add it as one file, <path>.tar: quick for very many files.")
    ] = False,
    allow_failed_checks: Annotated[
        bool, typer.Option("--allow-failed-checks", help="Add what fails the project's checks, too.")
    ] = False,
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Version a file or folder of the project, after the checks that its project.toml declares.

    Example: efficientai-toolkit mlops:dvc-add data/raw --project drilling

    Example: efficientai-toolkit mlops:dvc-add data/frames --archive
    """
    version = client(project).dvc_add(path, archive=archive, allow_failed_checks=allow_failed_checks)
    for check in version.checks:
        say(f"{'passed' if check.passed else 'FAILED'}  {check.name}  {check.detail}".rstrip())
    emit(version, as_json, f"Added {_told(version)}.")


def dvc_push(path: _PathArgument = None, project: ProjectOption = None, as_json: Json = False) -> None:
    """Upload to the project's remote what it lacks. Safe to interrupt: the next one goes on where it was.

    Example: efficientai-toolkit mlops:dvc-push --project drilling
    """
    moved = client(project).dvc_push(path)
    emit(moved, as_json, _moved("Sent", moved, "the remote has everything"))


def dvc_pull(
    path: _PathArgument = None,
    rev: _Rev = None,
    force: _Force = False,
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Bring back from the project's remote what is missing here, verify it, and put it into place.

    Example: efficientai-toolkit mlops:dvc-pull data/raw --project drilling

    Example: efficientai-toolkit mlops:dvc-pull --rev v1.0
    """
    moved = client(project).dvc_pull(path, rev=rev, force=force)
    emit(moved, as_json, _moved("Fetched", moved, "everything was here"))


def dvc_checkout(
    rev: Annotated[
        str | None, typer.Argument(help="A tag, branch or commit; as it is recorded now when left out.")
    ] = None,
    path: Annotated[str | None, typer.Option("--path", help="Of this path alone.")] = None,
    force: _Force = False,
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Put data of this machine into the working tree, as it is recorded now or was at a revision.

    Git's own files stay, but for the .dvc files of the data. `mlops:dvc-pull --rev` fetches it first.

    Example: efficientai-toolkit mlops:dvc-checkout v1.0 --project drilling
    """
    versions = client(project).dvc_checkout(rev, path, force=force)
    emit(versions, as_json, "\n".join(_told(each) for each in versions) or _NOTHING)


def dvc_status(
    path: _PathArgument = None,
    remote: Annotated[bool, typer.Option("--remote", help="Ask the remote, too.")] = False,
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Show how the working tree, the cache and the remote stand to the recorded versions.

    Example: efficientai-toolkit mlops:dvc-status --remote --project drilling
    """
    found = client(project).dvc_status(path, remote=remote)
    if as_json:
        emit(found, True, "")
    else:
        emit_table([_row(each, remote) for each in found], False, _NOTHING)


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Without this it is only shown.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the data caches of this machine hold in vain, and how much removing it frees.

    Of every registered project is kept what its working tree, any git ref (branches, tags, remotes' branches,
    stashes) or any run needs, in shared caches too. Remotes are not touched.

    Example: efficientai-toolkit mlops:gc --yes
    """
    from mlops.storage import collect_garbage

    found = collect_garbage(installation(), remove=yes)
    if as_json:
        emit(found, True, "")
        return
    emit_table([_garbage_row(each) for each in found], False, "No project keeps data yet.")
    amount = sum(each.size_bytes for each in found)
    what = count(sum(each.objects for each in found), "object")
    if not any(each.objects or each.views for each in found):
        say("Everything is needed.")
    elif yes:
        say(f"Removed {what}, {size(amount)}.")
    else:
        say(f"Removing {what} frees {size(amount)}: `efficientai-toolkit mlops:gc --yes`.")
        if any(each.unpushed for each in found):
            say("Some of it is on no remote (UNPUSHED): removed, it is gone for good.")


_NOTHING = "No data yet: efficientai-toolkit mlops:dvc-add <path>"


def _told(version: DataVersion) -> str:
    return f"{version.path}: {count(version.files, 'file')}, {size(version.size_bytes)}, {version.hash}"


def _moved(verb: str, moved: DataTransfer, nothing: str) -> str:
    if not moved.objects:
        return f"Nothing to do: {nothing}."
    return f"{verb} {count(moved.objects, 'object')}, {size(moved.size_bytes)}."


def _row(found: DataStatus, remote: bool) -> dict[str, Any]:
    row = {
        "PATH": found.path,
        "STATE": found.state.value,
        "ADDED": found.added,
        "MODIFIED": found.modified,
        "DELETED": found.deleted,
        "UNCACHED": found.uncached,
        "HASH": found.hash[:8],
    }
    return {**row, "UNPUSHED": found.unpushed} if remote else row


def _garbage_row(found: DataGarbage) -> dict[str, Any]:
    return {
        "PROJECTS": ", ".join(found.projects),
        "OBJECTS": found.objects,
        "SIZE": size(found.size_bytes),
        "UNPUSHED": "unknown" if found.unpushed is None else found.unpushed,
        "VIEWS": found.views,
        "CACHE": found.cache,
    }


COMMANDS = {
    "mlops:dvc-add": dvc_add,
    "mlops:dvc-push": dvc_push,
    "mlops:dvc-pull": dvc_pull,
    "mlops:dvc-status": dvc_status,
    "mlops:dvc-checkout": dvc_checkout,
    "mlops:gc": gc,
}
