"""The sign of life that the supervisor reads."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from mlops.installation import write_private

PERIOD_S = 2.0


class Heartbeat:
    """Writes `path` every two seconds from a thread of its own: `{"pid", "at" (Unix time), "ray"
    ("ok", or why not), "deployments" (state -> count)}`.

    `at` is the time of the last beat only while the loop has called `tell` within `patience_s`; when
    the loop hangs it stays where it is, and the supervisor sees an old sign of life."""

    def __init__(self, path: Path, *, period_s: float = PERIOD_S, patience_s: float = 120.0) -> None:
        self._path = path
        self._period = period_s
        self._patience = patience_s
        self._ray = "starting"
        self._deployments: dict[str, int] = {}
        self._told = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the first beat now, and go on."""
        self._write()
        self._thread.start()

    def tell(self, *, ray: str | None = None, deployments: Mapping[str, int] | None = None) -> None:
        """What the next beats say; also the loop's word that it is alive."""
        self._told = time.monotonic()
        if ray is not None:
            self._ray = ray
        if deployments is not None:
            self._deployments = dict(deployments)

    def stop(self) -> None:
        """End, and take the file away: nobody beats any more."""
        self._end.set()
        self._thread.join(5)
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._end.wait(self._period):
            if time.monotonic() - self._told < self._patience:
                self._write()

    def _write(self) -> None:
        beat = {
            "pid": os.getpid(),
            "at": time.time(),
            "ray": self._ray,
            "deployments": self._deployments,
        }
        # A full disk must not end the worker: the supervisor sees an old beat, and says so.
        try:
            write_private(self._path, json.dumps(beat), durable=False)
        except OSError:
            return
