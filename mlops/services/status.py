"""What the supervisor sees, read from its status file: no connection, no import of a tool."""

from __future__ import annotations

import fcntl
import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import IO

from mlops.entities import ServiceState, ServiceStatus
from mlops.installation import Installation


def status_file(installation: Installation) -> Path:
    """Where the supervisor writes."""
    return installation.run_dir / "status.json"


def lock_file(installation: Installation) -> Path:
    """The file that a living supervisor holds locked; it names its pid."""
    return installation.run_dir / "supervisor.lock"


def supervisor_pid(installation: Installation) -> int | None:
    """The living supervisor, or None. A lock that no process holds is stale, whatever it says."""
    for _ in range(100):
        try:
            with lock_file(installation).open("r") as file:
                if not _is_held(file):
                    return None
                if pid := file.read():
                    return int(pid)
        except (OSError, ValueError):
            return None
        time.sleep(0.01)  # the launcher has the lock and is about to write the pid
    return None


def _is_held(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def read_status(installation: Installation) -> list[ServiceStatus]:
    """Every service as the supervisor last saw it; all stopped when no supervisor lives."""
    try:
        seen = json.loads(status_file(installation).read_text())
        services = [
            ServiceStatus(
                **{
                    **row,
                    "state": ServiceState(row["state"]),
                    "since": row["since"] and datetime.fromisoformat(row["since"]),
                }
            )
            for row in seen["services"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        services, seen = [], {}
    if services and (seen.get("pid") == os.getpid() or seen.get("pid") == supervisor_pid(installation)):
        return services
    from mlops.services.names import SERVICES

    return [ServiceStatus(name, ServiceState.STOPPED) for name in SERVICES]
