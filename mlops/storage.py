"""The data of all projects of this machine together: what their caches hold in vain, how they link."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.data.dvc.garbage import collect
from mlops.data.dvc.links import link_kind
from mlops.data.dvc.store import DvcStore
from mlops.entities import DataGarbage
from mlops.errors import Conflict, MLOpsError
from mlops.installation import Installation
from mlops.tracking import pending
from mlops.tracking.results import every_run
from mlops.workspace import Workspace, recorded_projects


@dataclass(frozen=True, slots=True)
class CacheLinks:
    """How a project's working tree takes files from its cache."""

    project: str
    kind: str
    """`reflink` (no space, independent), `hardlink` (no space, read-only), `copy`; empty when unknown."""
    problem: str = ""


def collect_garbage(installation: Installation, *, remove: bool = False) -> list[DataGarbage]:
    """What the caches of the registered projects hold that no project needs: none of its working tree, of a
    commit that any ref of its repository names, or of a run. Nothing is removed without `remove`.

    Raises `Conflict` where what a project needs cannot be told: its folder is gone, or runs wait in the
    journal; `ServiceUnavailable` when the runs cannot be asked, and `DataError`.
    """
    workspaces = [Workspace.open(name, installation) for name in recorded_projects(installation)]
    for workspace in workspaces:
        _check_known(workspace)
    stores = [workspace.data for workspace in workspaces]
    used = {
        workspace.info.project_name: {data.hash for run in every_run(workspace.tracking) for data in run.data}
        for workspace in workspaces
    }
    return collect([store for store in stores if isinstance(store, DvcStore)], used, remove=remove)


def cache_links(installation: Installation) -> list[CacheLinks]:
    """How each registered project links; looked up by making a link in its folder, and removing it."""
    found = []
    for name in recorded_projects(installation):
        try:
            store = Workspace.open(name, installation).data
            if isinstance(store, DvcStore):
                found.append(CacheLinks(name, link_kind(store.session)))
        except MLOpsError as error:
            found.append(CacheLinks(name, "", error.message))
    return found


def _check_known(workspace: Workspace) -> None:
    info = workspace.info
    if not (info.root / ".dvc").is_dir():
        raise Conflict(
            f"project {info.project_name!r} is not in {info.root} any more: what it needs is not known",
            remedy="Register it from where it is now; nothing was removed.",
            project=info.project_name,
            root=str(info.root),
        )
    if any(pending.waits(folder) for folder in pending.folders(workspace.journal_dir)):
        raise Conflict(
            f"runs of project {info.project_name!r} wait in the journal: the data they used is not known",
            remedy="Run `efficientai-toolkit mlops:sync --all` first; nothing was removed.",
            project=info.project_name,
        )
