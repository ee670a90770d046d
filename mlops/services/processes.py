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
from collections.abc import Iterable
from pathlib import Path

import psutil

MARK = "MLOPS_SUPERVISED"


def mark(home: Path, service: str) -> dict[str, str]:
    """The environment that marks a process as `service` of the installation at `home`."""
    return {MARK: f"{home}:{service}"}


def marked(home: Path, service: str | None = None) -> list[psutil.Process]:
    """Living processes of one service, or of the whole installation (its supervisor aside)."""
    wanted = f"{home}:" if service is None else f"{home}:{service}"
    return [
        process
        for process, mark in _marks().values()
        if mark == wanted or (service is None and mark.startswith(wanted))
    ]


def services_of(home: Path) -> dict[psutil.Process, str]:
    """Each process of the installation (its supervisor aside), with the service it belongs to."""
    prefix = f"{home}:"
    return {
        process: mark.removeprefix(prefix) for process, mark in _marks().values() if mark.startswith(prefix)
    }


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


def _marks() -> dict[int, tuple[psutil.Process, str]]:
    """Our user's processes with their marks. One that has overwritten its environment to show a title,
    as Postgres' children do, has its parent's."""
    me = os.getuid()
    found: dict[int, tuple[psutil.Process, str]] = {}
    parents: dict[int, int] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == me and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process, _mark_of(process)
                parents[process.pid] = process.ppid()
    for pid, (process, _) in found.items():
        ancestor = pid
        while not found[ancestor][1] and parents[ancestor] in found:
            ancestor = parents[ancestor]
        found[pid] = process, found[ancestor][1]
    return found


def _mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return ""
