"""What Evidently's UI holds of the workspace in memory, as the files have it.

Evidently's own reading keeps eight megabytes of each report, is ended by one damaged file, and its watch of
the folder does not see files that are put in place whole. Here the drawings are left on the disk, from
where the UI reads those of the one report that is looked at.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

log = logging.getLogger("mlops.evidently")


class WorkspaceState:
    """Evidently's state of a workspace, and its `ProjectManager` over it. Of one thread."""

    def __init__(self, workspace: Path) -> None:
        """Reads nothing yet: `refresh` does."""
        from evidently.ui.service.storage.local import LocalState, create_local_project_manager

        self._workspace = workspace
        self._state = LocalState(str(workspace), None)
        # The button that reads all anew: it is done before each request, and without the drawings.
        self._state.reload_snapshots = lambda *_, **__: None
        self._damaged: set[Path] = set()
        self.manager: Any = create_local_project_manager(str(workspace), autorefresh=False, state=self._state)

    def refresh(self) -> None:
        """Take up what was written since, and drop what was deleted."""
        folders = {UUID(path.parent.name): path.parent for path in self._workspace.glob("*-*/metadata.json")}
        for gone in self._state.projects.keys() - folders.keys():
            del self._state.projects[gone], self._state.snapshots[gone]
        for number, folder in folders.items():
            if number in self._state.projects or self._read_project(number, folder):
                self._refresh_snapshots(number, folder)

    def _read_project(self, number: UUID, folder: Path) -> bool:
        from evidently.ui.service.storage.common import NO_USER
        from evidently.ui.service.storage.local.base import load_project

        project = load_project(self._state.location, folder.name)
        if project is None:
            return False
        self._state.projects[number] = project.bind(self.manager, NO_USER.id)
        self._state.snapshots[number] = {}
        return True

    def _refresh_snapshots(self, project: UUID, folder: Path) -> None:
        known = self._state.snapshots[project]
        files = {UUID(path.stem): path for path in folder.glob("snapshots/????????-*.json")}
        for gone in known.keys() - files.keys():
            del known[gone]
        for number in sorted(files.keys() - known.keys()):
            if (snapshot := self._read(files[number])) is not None:
                known[number] = snapshot
                for told in self._state.callbacks:
                    told(project, number, snapshot)

    def _read(self, path: Path) -> Any:
        from evidently.core.serialization import SnapshotModel

        if path in self._damaged:
            return None
        try:
            return SnapshotModel.parse_obj(_without_drawings(orjson.loads(path.read_bytes())))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._damaged.add(path)
            log.warning("%s is damaged, and left out: %s", path.name, error)
            return None


def _without_drawings(snapshot: dict[str, Any]) -> dict[str, Any]:
    results = {name: {**each, "widget": None} for name, each in snapshot["metric_results"].items()}
    return {**snapshot, "metric_results": results, "widgets": [], "tests_widgets": []}
