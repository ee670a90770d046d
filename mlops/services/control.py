"""Start, stop and restart the stack: what `mlops:start`, `mlops:stop` and `mlops:restart` do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import psutil

from mlops.entities import ServiceState, ServiceStatus
from mlops.errors import InvalidInput, ServiceStartFailed, ServiceUnavailable
from mlops.installation import Installation
from mlops.logs.files import LogFile
from mlops.logs.reading import LogFolder
from mlops.services import catalog, evidently, postgres, processes
from mlops.services.names import EVIDENTLY, SERVICES
from mlops.services.status import read_status, status_file, supervisor_pid

Progress = Callable[[Sequence[ServiceStatus]], None]
HEALTHY = (ServiceState.HEALTHY, ServiceState.EXTERNAL)

_POLL_S = 0.05
_STOP_S = 30.0
_GIVE_UP_AFTER = 3
"""Deaths of one service while starting, after which waiting longer is pointless."""


def set_up(installation: Installation) -> None:
    """Make folders, secrets and the database's data directory; safe to repeat and from two at once."""
    installation.prepare()
    if installation.config.database_url is None:
        with _exclusive(installation, "setup.lock"):
            postgres.initialise(installation)


def start(installation: Installation, progress: Progress = lambda _: None) -> list[ServiceStatus]:
    """Start what does not run, wait until every service answers, and return their states; one on request is
    not waited for.

    A second start at the same time waits for the first. What a killed supervisor left is ended first,
    so nothing runs twice. Raises `ServiceStartFailed` naming the service and the end of its log,
    `PortTaken`, `DataDirectoryBroken`, `ConfigError`.
    """
    set_up(installation)
    with _exclusive(installation, "start.lock"):
        if supervisor_pid(installation) is None:
            processes.end_all(installation.root)
            status_file(installation).unlink(missing_ok=True)
            if installation.config.database_url is not None:
                postgres.create_databases(installation.database_url)
            catalog.services(installation)  # so that a bad setting is told here, not in a log
            _launch(installation)
    return _wait_healthy(installation, progress, SERVICES)


def start_evidently(installation: Installation, progress: Progress = lambda _: None) -> None:
    """Have Evidently's UI run, and wait until it answers. Raises `ServiceUnavailable` where the stack does
    not run, `ServiceStartFailed`."""
    if supervisor_pid(installation) is None:
        raise ServiceUnavailable("the stack")
    evidently.want(installation)
    try:
        _wait_healthy(installation, progress, (EVIDENTLY,))
    except ServiceStartFailed:
        evidently.want_no_more(installation)
        raise


def stop_evidently(installation: Installation) -> bool:
    """Have Evidently's UI end, and wait until it has; returns whether it was wanted."""
    was = evidently.want_no_more(installation)
    deadline = time.monotonic() + _STOP_S
    while supervisor_pid(installation) is not None and processes.marked(installation.root, EVIDENTLY):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(EVIDENTLY, "its process does not end")
        time.sleep(_POLL_S)
    return was


def stop(installation: Installation, timeout_s: float = 30.0) -> bool:
    """Stop everything; returns whether anything ran. Leaves no process and no port of ours."""
    pid = supervisor_pid(installation)
    if pid is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            # What the supervisor cannot end in time is ended below.
            processes.end([psutil.Process(pid)], stop_signal=signal.SIGTERM, grace_s=timeout_s - 5.0)
    left = processes.end_all(installation.root)
    evidently.want_no_more(installation)
    status_file(installation).unlink(missing_ok=True)
    if installation.is_prepared:
        shutil.rmtree(installation.short_dir(), ignore_errors=True)
    return pid is not None or left > 0


def restart_service(installation: Installation, name: str, progress: Progress = lambda _: None) -> None:
    """End one service by its stop signal, and wait until the supervisor has brought it back. Raises what
    `ask_restart` does, and `ServiceStartFailed`."""
    before = ask_restart(installation, name)
    deadline = time.monotonic() + installation.config.start_timeout_s
    while time.monotonic() < deadline:
        seen = next((s for s in read_status(installation) if s.name == name), before)
        if seen.pid not in (None, before.pid) and seen.state in HEALTHY:
            return
        progress(read_status(installation))
        time.sleep(_POLL_S)
    raise _failure(installation, name, "it did not come back in time")


def ask_restart(installation: Installation, name: str) -> ServiceStatus:
    """End one service by its stop signal; the supervisor brings it back. Returns how it was before, at once.
    Raises `InvalidInput` for an unknown name, `ServiceUnavailable` when it does not run here."""
    if name not in (*SERVICES, EVIDENTLY):
        raise InvalidInput("service", name, "is not a service", remedy=f"Use one of: {', '.join(SERVICES)}.")
    before = next((seen for seen in read_status(installation) if seen.name == name), None)
    if before is None or before.pid is None:
        raise ServiceUnavailable(name, "it does not run here")
    stop_signal = postgres.STOP_SIGNAL if name == "postgres" else signal.SIGTERM
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(before.pid).send_signal(stop_signal)
    return before


def _launch(installation: Installation) -> None:
    with LogFile(installation.logs_dir / "supervisor.log").open() as log:
        subprocess.run(  # returns as soon as the supervisor holds the lock
            [sys.executable, "-m", "mlops.services"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=installation.root,
            env={**os.environ, "MLOPS_HOME": str(installation.root)},
            check=True,
        )


def _wait_healthy(
    installation: Installation, progress: Progress, names: Collection[str]
) -> list[ServiceStatus]:
    deadline = time.monotonic() + installation.config.start_timeout_s
    born = time.monotonic()
    deaths_before: dict[str, int] = {}
    while True:
        statuses = read_status(installation)
        progress(statuses)
        waiting = [each for each in statuses if each.name in names and each.state not in HEALTHY]
        if not waiting and {each.name for each in statuses} >= set(names):
            return statuses
        if supervisor_pid(installation) is None and time.monotonic() - born > 10.0:
            raise _failure(installation, "supervisor", "it has ended")
        for status in waiting:
            deaths = status.restarts - deaths_before.setdefault(status.name, status.restarts)
            if status.state is ServiceState.UNHEALTHY and deaths >= _GIVE_UP_AFTER:
                raise _failure(installation, status.name, status.detail)
        if time.monotonic() > deadline:
            late = ", ".join(f"{status.name} ({status.detail or status.state})" for status in waiting)
            name = waiting[0].name if waiting else next(iter(names))
            raise _failure(installation, name, f"not healthy in time: {late or name}")
        time.sleep(_POLL_S)


def _failure(installation: Installation, name: str, detail: str) -> ServiceStartFailed:
    tail = LogFolder(installation.logs_dir).tail(name, 15)
    return ServiceStartFailed(name, detail, "\n".join(f"  | {line}" for line in tail))


@contextlib.contextmanager
def _exclusive(installation: Installation, name: str) -> Iterator[None]:
    path: Path = installation.root / f".{name}"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
