"""What a service is: a command to keep running, and a question that tells whether it answers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Probe = Callable[[frozenset[int]], str | None]
"""Takes the pids of the service's own processes; returns None when it answers, else why not."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process (with its children) of the stack."""

    name: str
    command: Sequence[str]
    """Arguments; secrets never stand here, since any user of the machine can read them."""
    probe: Probe
    env: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    """URL or host:port, without credentials."""
    after: tuple[str, ...] = ()
    """Services that must answer before this one is spawned."""
    when_ready: Callable[[], None] | None = None
    """Done each time it becomes healthy, before dependants start; must be safe to repeat."""
    before_spawn: Callable[[], None] | None = None
    """Done before each spawn, when no process of the service is left."""
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 10.0
    """From the stop signal to SIGKILL."""
    start_timeout_s: float = 90.0
    """How long a spawned process may take to answer before it is replaced."""
    cwd: Path | None = None
    listen_port: int = 0
    """A port on loopback that the supervisor opens itself and hands on, as `--fd=<number>` of the command:
    while the service is replaced its callers wait in that socket's queue, and none is turned away."""
    wanted: Callable[[], bool] | None = None
    """Whether it shall run now, looked at again and again; None for always. While it shall not it is no part
    of the stack: nobody waits for it, or is told of it. No other service comes after such a one."""


@dataclass(frozen=True, slots=True)
class External:
    """A server elsewhere, by setting: probed, never started."""

    name: str
    probe: Callable[[], str | None]
    address: str = ""
