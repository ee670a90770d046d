"""Running one of the system's own commands to read what it prints."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Run = Callable[[tuple[str, ...], float], bytes]
"""Command, longest time in seconds -> what it printed. Raises `OSError` for a command that is missing,
`subprocess.SubprocessError` for one that failed or took too long."""

_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}


def run(command: tuple[str, ...], timeout_s: float) -> bytes:
    """Run a command, named by its absolute path, in no one's language and without a terminal to ask at."""
    # Descriptors are not inherited anyway; closing them all would cost a fork of a large process.
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        timeout=timeout_s,
        check=True,
        close_fds=False,
    )
    return done.stdout
