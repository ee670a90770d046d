"""Runs whose process died, delivered without anybody's command: `mlops:sync`, in a child process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from mlops.installation import Installation
from mlops.tracking import pending
from mlops.workspace import recorded_projects

log = logging.getLogger(__name__)

LOOK_S, LONGEST_S = 30.0, 600.0
"""Between two looks; and at most, while something cannot be delivered."""
_COMMAND = (sys.executable, "-m", "mlops.cli", "mlops:sync", "--timeout", "0", "--project")
_LOG_CHARS = 4000


class Journals:
    """Looks for runs that wait and that no living process delivers, and starts a child for them: one at
    a time, since it goes on for as long as something arrives. Called by one thread."""

    def __init__(
        self, installation: Installation, *, look_s: float = LOOK_S, command: Sequence[str] = _COMMAND
    ) -> None:
        self._installation = installation
        self._look_s = look_s
        self._command = command
        self._due = 0.0
        self._pauses: dict[str, float] = {}
        """Of each project that could not be delivered: one must not hold up the others."""
        self._not_before: dict[str, float] = {}
        self._project = ""
        """Whose child runs."""
        self._child: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._told: set[str] = set()

    def look(self) -> None:
        """Do what is due; returns at once, and raises nothing that would end the worker."""
        try:
            if self._child is not None:
                self._collect(self._child)
            elif time.monotonic() >= self._due:
                self._due = time.monotonic() + self._look_s
                ready = [
                    name for name in self._waiting() if self._not_before.get(name, 0) <= time.monotonic()
                ]
                if ready:
                    self._start(min(ready, key=lambda name: self._not_before.get(name, 0)))
        except OSError as error:  # a full disk, a folder of somebody else's
            log.warning("the journals cannot be looked after: %s", error)

    def close(self) -> None:
        """End the child: the next one goes on where it was."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
        if self._output is not None:
            self._output.close()

    def _waiting(self) -> list[str]:
        root = self._installation.journal_dir
        registered = set(recorded_projects(self._installation))
        waiting = [
            name for name in pending.projects(root) if any(map(pending.waits, pending.folders(root / name)))
        ]
        for name in set(waiting) - registered - self._told:
            self._told.add(name)
            log.warning("runs of %s wait in the journal, but no project of that name is registered", name)
        return sorted(registered.intersection(waiting))

    def _start(self, project: str) -> None:
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `_collect`
        try:
            self._child = subprocess.Popen(
                [*self._command, project],
                env={**os.environ, "MLOPS_HOME": str(self._installation.root)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError:
            output.close()
            raise
        self._output, self._project = output, project

    def _collect(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            return
        assert self._output is not None  # noqa: S101 - `_start` opened it
        with self._output as output:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()[-_LOG_CHARS:]
        self._child = self._output = None
        project = self._project
        if child.returncode == 0:
            self._pauses.pop(project, None)
            log.info("%s", said)
        else:
            # The server is down, or never takes it: not a child every half minute for that.
            self._pauses[project] = min(2 * self._pauses.get(project, self._look_s), LONGEST_S)
            log.warning("mlops:sync of %s ended with %s: %s", project, child.returncode, said)
        self._not_before[project] = time.monotonic() + self._pauses.get(project, self._look_s)
        self._due = time.monotonic()  # another project may wait
