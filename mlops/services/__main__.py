"""`python -m mlops.services`: the supervisor's process, started by `mlops:start`."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from typing import IO

from mlops.config import MLOpsConfig
from mlops.installation import Installation
from mlops.services import catalog
from mlops.services.status import lock_file, status_file
from mlops.services.supervisor import Supervisor


def main() -> int:
    """Leave the caller, hold the lock and supervise until told to stop; 0 also when another
    supervisor lives."""
    if os.fork():
        return 0  # the caller waits for this half alone; the other is nobody's child
    os.setsid()
    config = MLOpsConfig.load()
    installation = Installation(config)
    # "a+" neither truncates another supervisor's pid nor needs the file to exist.
    with lock_file(installation).open("a+") as lock:
        if not _lock(lock):
            return 0
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        supervisor = Supervisor(
            installation.root,
            catalog.services(installation),
            catalog.externals(installation),
            logs=installation.logs_dir,
            status_file=status_file(installation),
            environment={**os.environ, "MLOPS_HOME": str(installation.root)},
        )
        asyncio.run(supervisor.run())
    return 0


def _lock(file: IO[str], patience_s: float = 2.0) -> bool:
    """Take the lock; patient, since a reader of the status holds it shared for an instant."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
