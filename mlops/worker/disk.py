"""How much disk each project takes on this machine, in a thread of its own: a large folder takes its time."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from mlops.entities import ProjectWorkspace
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.store.store import Store

log = logging.getLogger(__name__)

EVERY_S = 900.0
_BREATH_FILES, _BREATH_S = 1000, 0.02
"""After so many files a pause: nothing waits for this, and other work shall not wait for it."""


class DiskMeter:
    """`start` and `stop` bound its life. Of several workers each measures; what they find is the same."""

    def __init__(self, store: Store, installation: Installation) -> None:
        self._store = store
        self._artifacts = installation.artifacts_dir / "workspaces"  # as MLflow lays them out
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)

    def start(self) -> None:
        """Begin; the tables are there."""
        self._thread.start()

    def stop(self) -> None:
        """End at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Measure every project. Raises `ServiceUnavailable`."""
        for project in self._store.projects.all():
            taken = sum(self._sizes(folder) for folder in self._folders(project))
            if self._stop.is_set():
                return
            self._store.projects.put_disk(project.project_name, taken)

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                self.look()
            except ServiceUnavailable as error:
                log.warning("what projects take of the disk is not written down: %s", error.message)
            except Exception:
                log.exception("what projects take of the disk is not known")
            pause = EVERY_S

    def _folders(self, project: ProjectWorkspace) -> Iterator[Path]:
        """Artifacts of its runs and models; its data's remote, where that is a folder here."""
        yield self._artifacts / project.namespace
        remote = Path(project.dvc_remote_path)
        if project.dvc_remote_path and remote.is_absolute():
            yield remote

    def _sizes(self, folder: Path) -> int:
        total = 0
        files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
        for number, file in enumerate(files, 1):
            try:
                total += file.lstat().st_size
            except OSError:  # removed meanwhile
                continue
            if number % _BREATH_FILES == 0 and self._stop.wait(_BREATH_S):
                break
        return total
