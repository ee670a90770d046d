"""Which processes are ours, and how they are ended.

Each process of the stack carries a mark in its environment, which its children inherit: it survives
new sessions (Ray's workers), a dead parent (MLflow's orphans) and a dead supervisor, and unlike a
recorded number it cannot come to mean another program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

MARK = "MLOPS_SUPERVISED"


def mark(home: Path, service: str) -> dict[str, str]:
    """The environment that marks a process as `service` of the installation at `home`."""
    return {MARK: f"{home}:{service}"}


def marked(home: Path, service: str | None = None) -> list[psutil.Process]:
    """Living processes of one service, or of the whole installation (its supervisor aside)."""
    wanted = f"{home}:" if service is None else f"{home}:{service}"
    found = []
    for process in _own_processes():
        value = _mark_of(process)
        if value == wanted or (service is None and value.startswith(wanted)):
            found.append(process)
    return found


def service_of(process: psutil.Process) -> str:
    """The service a marked process belongs to."""
    return _mark_of(process).rpartition(":")[2]


def family(pid: int) -> frozenset[int]:
    """The process and its living descendants; empty when it is gone."""
    try:
        process = psutil.Process(pid)
        return frozenset([pid, *(child.pid for child in process.children(recursive=True))])
    except psutil.NoSuchProcess:
        return frozenset()


def end(
    processes: Iterable[psutil.Process], *, stop_signal: int = signal.SIGKILL, grace_s: float = 5.0
) -> None:
    """Send `stop_signal` to each, and SIGKILL to what still lives after `grace_s`."""
    remaining = list(processes)
    for signum in (stop_signal, signal.SIGKILL):
        for process in remaining:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signum)
        _, remaining = psutil.wait_procs(remaining, timeout=grace_s)
        if not remaining:
            return


def end_all(home: Path, service: str | None = None, *, timeout_s: float = 10.0) -> int:
    """Kill every marked process (again, while they fork); returns how many there were."""
    ended, deadline = 0, time.monotonic() + timeout_s
    while found := marked(home, service):
        ended += len(found)
        end(found)
        if time.monotonic() > deadline:
            break
    return ended


def _own_processes() -> Iterator[psutil.Process]:
    me = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == me and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return ""
