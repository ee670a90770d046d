"""`python -m mlops.services`: start the supervisor, unless one lives, and leave it behind.

The launcher takes the lock and hands it to the supervisor, a fresh process of its own session, so that
at no moment a second start could find it free. No fork without exec: macOS' libraries do not survive it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO

from mlops.config import MLOpsConfig
from mlops.installation import Installation
from mlops.logs.redaction import Redactor
from mlops.logs.start import start_logging
from mlops.services import catalog
from mlops.services.observing import Observer, observations_dir
from mlops.services.status import lock_file, status_file
from mlops.services.supervisor import Supervisor

# A user's settings for other servers and clusters; each of ours gets its own, explicitly.
_FOREIGN = ("PG", "MLFLOW_", "RAY_")


def launch() -> None:
    """Start the supervisor and return once it holds the lock; nothing where another holds it."""
    installation = Installation(MLOpsConfig.load())
    # "a+" neither truncates another supervisor's pid nor needs the file to exist.
    with lock_file(installation).open("a+") as lock:
        if not _lock(lock):
            return
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "mlops.services", str(lock.fileno())],
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
        lock.truncate(0)
        lock.write(str(supervisor.pid))
        lock.flush()


def supervise(environment: Mapping[str, str]) -> None:
    """Run the services until told to stop; the lock is held by the descriptor we were started with."""
    config = MLOpsConfig.load()
    installation = Installation(config)
    hidden = Redactor(installation.secrets_dir, config.secret_values())
    start_logging("supervisor", installation.logs_dir, hidden)
    supervisor = Supervisor(
        installation.root,
        catalog.services(installation),
        catalog.externals(installation),
        logs=installation.logs_dir,
        status_file=status_file(installation),
        environment={
            **{name: value for name, value in environment.items() if not name.startswith(_FOREIGN)},
            "MLOPS_HOME": str(installation.root),
        },
        observer=Observer(observations_dir(installation)),
    )
    asyncio.run(supervisor.run())


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
    if len(sys.argv) > 1:
        supervise(os.environ)
    else:
        launch()
